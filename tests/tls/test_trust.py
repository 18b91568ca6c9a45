"""The trusted authorities: exactly those that the user names, or the system's; mistakes in them are named."""

from __future__ import annotations

import ssl
import sys
import warnings
from pathlib import Path

import pytest
import truststore
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from seic import CertificateError, CertificateWarning, Reason, create_ssl_context
from tests._support.pki import DAY, NOW, PASSPHRASE, Minted, authority, mint, openssl, server
from tests._support.tls_servers import TlsServer, call


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unset the machine's own variables, which may name a bundle."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)


def trusts(context: ssl.SSLContext, issuer: Minted) -> bool:
    """Return whether a handshake with a server of that issuer succeeds."""
    with TlsServer(server(issuer)) as far:
        try:
            return call(context, far.port).endswith(b"ok")
        except ssl.SSLCertVerificationError:
            return False


OTHER = authority("Other Root", 71)


@pytest.mark.parametrize(
    "form", ["path", "text-path", "pem-text", "pem", "der", "bundle", "bundle-with-leaf", "directory"]
)
def test_exactly_what_was_named_is_trusted(form: str, root: Minted, tmp_path: Path) -> None:
    """A path, text, bytes or a directory: its authorities are trusted and no other."""
    path = tmp_path / "ca.pem"
    path.write_bytes(root.pem)
    (tmp_path / "notes.txt").write_text("no certificate")
    (tmp_path / "tls.key").write_bytes(root.key_pem)
    (tmp_path / "0a1b2c3d.0").symlink_to("ca.pem")
    forms: dict[str, Path | str | bytes] = {
        "path": path,
        "text-path": str(path),
        "pem-text": root.pem.decode(),
        "pem": root.pem,
        "der": root.der,
        "bundle": mint("Third", ca=True, number=72).pem + root.pem + root.pem,
        "bundle-with-leaf": server(OTHER).pem + root.pem,
        "directory": tmp_path,
    }

    context = create_ssl_context(ca=forms[form])

    assert trusts(context, root)
    assert not trusts(context, OTHER)


def test_a_leaf_in_a_bundle_is_not_trusted_by_itself(root: Minted) -> None:
    """A server's certificate next to an authority is not trusted."""
    context = create_ssl_context(ca=server(OTHER).pem + root.pem)
    assert context.get_ca_certs(binary_form=True) == [root.der]


def test_an_intermediate_by_itself_is_an_anchor(root: Minted) -> None:
    """An intermediate is trusted without its root."""
    between = mint("Between", issuer=root, ca=True, number=72)
    assert trusts(create_ssl_context(ca=between.pem), between)
    assert not trusts(create_ssl_context(ca=between.pem), root)


def test_a_self_signed_server_certificate_can_be_trusted_as_itself() -> None:
    """A server without an authority can be pinned by its certificate."""
    alone = mint("localhost", names=["localhost"], usages=None)
    with TlsServer(alone) as far:
        assert call(create_ssl_context(ca=alone.pem), far.port).endswith(b"ok")


def _public(minted: Minted) -> bytes:
    key = minted.key.public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[no-any-return]


MISTAKES = {
    "empty": (b"", Reason.EMPTY, ["is empty"]),
    "garbage": (b"garbage", Reason.UNKNOWN_FORMAT, ["neither PEM, DER"]),
    "cut": (authority().pem[:-30], Reason.TRUNCATED, ["cut off"]),
    "key": (authority().key_pem, Reason.NO_CERTIFICATE, ["holds: private key", "authority that signed the server's"]),
    "store": (
        openssl("pkcs12", "-export", "-in", "@", "-passout", f"pass:{PASSPHRASE}", given=authority().pair),
        Reason.PASSPHRASE_MISSING,
        ["it is encrypted", "pass them as PEM", "openssl pkcs12 -in FILE -nokeys"],
    ),
    "public-key": (_public(authority()), Reason.NO_CERTIFICATE, ["holds: public key"]),
    "leaf": (server(authority()).pem, Reason.NOT_A_CA, ["only CN=server", "issued by CN=Test Root", "of that issuer"]),
    "expired": (
        mint("Old Root", ca=True, not_after=NOW - DAY / 2).pem,
        Reason.EXPIRED,
        ["CN=Old Root expired on", f"clock says {NOW:%Y-%m-%d}", "present certificate"],
    ),
    "not-yet-valid": (
        mint("New Root", ca=True, not_before=NOW + DAY).pem,
        Reason.NOT_YET_VALID,
        ["CN=New Root is not valid before", "set the clock"],
    ),
}


@pytest.mark.parametrize("row", MISTAKES)
def test_a_mistake_in_the_authorities_names_the_file(row: str, tmp_path: Path) -> None:
    """The error has the bundle's path, a reason code and the remedy."""
    data, reason, words = MISTAKES[row]
    path = tmp_path / "ca.pem"
    path.write_bytes(data)
    for ca, label in ((path, str(path)), (data, "the CA given as bytes")):
        with pytest.raises(CertificateError) as caught:
            create_ssl_context(ca=ca)
        assert (caught.value.reason, caught.value.path) == (reason, label)
        for word in words:
            assert word in str(caught.value)


def test_a_missing_bundle_is_named(tmp_path: Path) -> None:
    """The error names the missing bundle's path."""
    with pytest.raises(CertificateError, match="there is no such file") as caught:
        create_ssl_context(ca=tmp_path / "ca.pem")
    assert caught.value.path == str(tmp_path / "ca.pem")


def test_a_directory_without_certificates_is_named(tmp_path: Path) -> None:
    """A directory without certificates is an error, not an empty set of authorities."""
    (tmp_path / "README").write_text("nothing here")
    with pytest.raises(CertificateError, match="no certificate of an authority") as caught:
        create_ssl_context(ca=tmp_path)
    assert (caught.value.reason, caught.value.path) == (Reason.NO_CERTIFICATE, str(tmp_path))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (OTHER.pem[:-30], "has no '-----END"),
        (b"garbage", "neither PEM, DER nor PKCS#12"),
        (b"", "it is empty"),
        ("absent.pem", "which does not exist"),
        ("b.pem", "it cannot be read"),
    ],
    ids=["cut off", "garbage", "empty", "broken link", "link to itself"],
)
def test_a_bad_file_in_a_directory_is_left_out(data: bytes | str, words: str, root: Minted, tmp_path: Path) -> None:
    """The others are trusted, and a warning names it."""
    (tmp_path / "a.pem").write_bytes(root.pem)
    bad = tmp_path / "b.pem"
    if isinstance(data, str):
        bad.symlink_to(data)
    else:
        bad.write_bytes(data)
    with pytest.warns(CertificateWarning) as caught:
        context = create_ssl_context(ca=tmp_path)
    (warning,) = (one.message for one in caught)
    assert isinstance(warning, CertificateWarning)
    assert warning.reason == Reason.LEFT_OUT
    assert f"{bad}: " in str(warning)
    assert words in str(warning)
    assert trusts(context, root)


def test_a_directory_with_bad_files_only_is_an_error_that_names_the_first(tmp_path: Path) -> None:
    """Nothing usable is left."""
    for name in ("a.pem", "b.pem"):
        (tmp_path / name).write_bytes(b"garbage")
    with pytest.raises(CertificateError, match=r"a\.pem: it is neither PEM") as caught:
        create_ssl_context(ca=tmp_path)
    assert caught.value.path == str(tmp_path / "a.pem")


def test_an_expired_authority_with_a_valid_one_is_not_an_error(root: Minted) -> None:
    """A bundle may keep the old root next to the new one for a while."""
    old = mint("Old Root", ca=True, not_after=NOW - DAY / 2)
    with pytest.warns(CertificateWarning, match="CN=Old Root expired on"):
        context = create_ssl_context(ca=old.pem + root.pem)
    assert trusts(context, root)


@pytest.mark.parametrize(
    ("left", "lifetime", "reason"),
    [
        pytest.param(31, 3650, None, id="long"),
        pytest.param(29, 3650, Reason.AUTHORITY_EXPIRES_SOON, id="soon"),
        pytest.param(29, 40, None, id="short-lived"),
        pytest.param(-1, 3650, Reason.AUTHORITY_EXPIRED, id="expired"),
    ],
)
def test_an_authority_that_ends_is_a_warning(
    left: int, lifetime: int, reason: Reason | None, root: Minted, tmp_path: Path
) -> None:
    """The warning names the file, the authority, its date, this clock and the remedy."""
    ending = mint(
        "Ending Root", ca=True, number=73, not_before=NOW + (left - lifetime) * DAY, not_after=NOW + left * DAY
    )
    path = tmp_path / "ca.pem"
    path.write_bytes(root.pem + ending.pem)

    warned = _warnings(path)

    assert [(one.reason, one.path) for one in warned] == ([] if reason is None else [(reason, str(path))])
    if reason:
        words = ("CN=Ending Root", f"{NOW + left * DAY:%Y-%m-%d}", "clock says", "present certificate")
        for word in words:
            assert word in str(warned[0])


def test_an_authority_with_its_successor_causes_no_warning(root: Minted) -> None:
    """Authorities are replaced in this way: the old one stays for a while under the same name."""
    old = mint("Test Root", ca=True, number=73, not_before=NOW - 9 * DAY, not_after=NOW - DAY)
    coming = mint("Test Root", ca=True, number=73, not_before=NOW + DAY)
    assert not _warnings(old.pem + root.pem)
    assert _warnings(old.pem + coming.pem + OTHER.pem)


def _warnings(ca: Path | bytes | None) -> list[CertificateWarning]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        create_ssl_context(ca=ca)
    return [one.message for one in caught if isinstance(one.message, CertificateWarning)]


def test_the_systems_trust_deserves_no_warning() -> None:
    """The administrator renews the system's authorities."""
    assert _warnings(None) == []


def test_the_systems_trust_is_a_plain_context_read_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, root: Minted
) -> None:
    """On Linux the context is not of a subclass, so it needs no worker thread, and it reads no file per connection."""
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(root.pem)
    monkeypatch.setattr("seic._tls.trust._BUNDLES", (str(bundle),))
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: _paths(tmp_path / "none", tmp_path / "none"))

    context = create_ssl_context()
    bundle.unlink()

    assert type(context) is ssl.SSLContext
    with TlsServer(server(root)) as far:
        assert call(context, far.port).endswith(b"ok")


def _paths(cafile: Path, capath: Path) -> ssl.DefaultVerifyPaths:
    return ssl.DefaultVerifyPaths(None, None, "SSL_CERT_FILE", str(cafile), "SSL_CERT_DIR", str(capath))  # type: ignore[arg-type]


def test_the_machine_under_test_has_a_trust_of_its_own() -> None:
    """The system's authorities are found without a setting."""
    assert create_ssl_context().get_ca_certs()


def test_a_directory_of_hashed_names_is_the_systems_trust_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, root: Minted
) -> None:
    """On Debian OpenSSL's default is a directory of hashed names."""
    monkeypatch.setattr("seic._tls.trust._BUNDLES", ())
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: _paths(tmp_path / "none", tmp_path))
    (tmp_path / _hashed(root)).write_bytes(root.pem)

    context = create_ssl_context()

    assert trusts(context, root)
    assert not trusts(context, OTHER)


def _hashed(minted: Minted) -> str:
    return openssl("x509", "-in", "@", "-noout", "-subject_hash", given=minted.pem).decode().strip() + ".0"


def test_a_system_without_authorities_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A slim container without a bundle is an error before the handshake, with both remedies."""
    monkeypatch.setattr("seic._tls.trust._BUNDLES", ())
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: _paths(tmp_path / "none", tmp_path))
    with pytest.raises(CertificateError, match="install its package 'ca-certificates', or pass ca=") as caught:
        create_ssl_context()
    assert caught.value.reason == Reason.NOT_FOUND


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_truststore_is_used_if_the_system_verifies(platform: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On macOS and Windows the authorities are not in a file."""
    monkeypatch.setattr(sys, "platform", platform)
    assert isinstance(create_ssl_context(), truststore.SSLContext)


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_ssl_cert_file_is_exactly_what_is_trusted(
    platform: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, root: Minted
) -> None:
    """The variable, which curl and OpenSSL know too, replaces the system's trust on every platform."""
    (tmp_path / "ca.pem").write_bytes(root.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))

    with monkeypatch.context() as patch:
        patch.setattr(sys, "platform", platform)
        context = create_ssl_context()

    assert trusts(context, root)
    assert not trusts(context, OTHER)


def test_ssl_cert_dir_is_searched_and_may_name_several(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, root: Minted
) -> None:
    """The variable names directories of hashed names, joined by a separator; both variables together count."""
    (tmp_path / _hashed(root)).write_bytes(root.pem)
    monkeypatch.setenv("SSL_CERT_DIR", f"{tmp_path / 'none'}:{tmp_path}")
    assert trusts(create_ssl_context(), root)

    (tmp_path / "other.pem").write_bytes(OTHER.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "other.pem"))
    both = create_ssl_context()
    assert trusts(both, root)
    assert trusts(both, OTHER)


@pytest.mark.parametrize("there", ["nothing", "the other kind"])
@pytest.mark.parametrize(("variable", "kind"), [("SSL_CERT_FILE", "file"), ("SSL_CERT_DIR", "folder")])
def test_a_variable_that_names_nothing_is_an_error(
    variable: str, kind: str, there: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """OpenSSL would ignore it and trust no authority; the error names the variable and its value."""
    named = tmp_path / "named"
    if there != "nothing":
        named.mkdir() if kind == "file" else named.write_text("")
    monkeypatch.setenv(variable, str(named))
    with pytest.raises(CertificateError, match=f"{variable} names it, but there is no such {kind}") as caught:
        create_ssl_context()
    assert (caught.value.reason, caught.value.path) == (Reason.NOT_FOUND, str(named))


def test_a_folder_without_names_that_are_hashes_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, root: Minted
) -> None:
    """OpenSSL would silently find nothing in it; the error says how to make the names."""
    (tmp_path / "ca.pem").write_bytes(root.pem)
    monkeypatch.setenv("SSL_CERT_DIR", f"{tmp_path / 'none'}:{tmp_path}")
    with pytest.raises(CertificateError, match=r"SSL_CERT_DIR .*; run 'openssl rehash") as caught:
        create_ssl_context()
    assert (caught.value.reason, caught.value.path) == (Reason.NO_CERTIFICATE, f"{tmp_path / 'none'}:{tmp_path}")

    (tmp_path / _hashed(root)).write_bytes(root.pem)
    assert trusts(create_ssl_context(), root)


def test_a_variable_that_names_garbage_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The error names the bundle and the variable."""
    (tmp_path / "ca.pem").write_text("garbage")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    with pytest.raises(CertificateError, match=r"no authorities in it \(SSL_CERT_FILE\)") as caught:
        create_ssl_context()
    assert caught.value.path == str(tmp_path / "ca.pem")


def test_an_empty_variable_is_no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty variable counts as unset."""
    systems = create_ssl_context().get_ca_certs()
    monkeypatch.setenv("SSL_CERT_FILE", "")
    assert create_ssl_context().get_ca_certs() == systems

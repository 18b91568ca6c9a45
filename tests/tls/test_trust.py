"""Which authorities are trusted: exactly those that were named, or the system's, and what is wrong with them."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

import pytest
import truststore
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from seic._errors import CertificateError
from seic._tls.reasons import Reason
from seic._tls.trust import Trust, read_trust
from tests._support.pki import DAY, NOW, PASSPHRASE, Minted, authority, mint, openssl, server
from tests._support.tls_servers import TlsServer, call


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unset the machine's own variables, which name its bundle."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)


def trusts(trust: Trust, issuer: Minted) -> bool:
    """Whether a handshake with a server of that issuer succeeds."""
    with TlsServer(server(issuer)) as far:
        try:
            return call(trust.new_context(), far.port).endswith(b"ok")
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

    trust = read_trust(forms[form])

    assert trusts(trust, root)
    assert not trusts(trust, OTHER)


def test_a_leaf_in_a_bundle_is_not_trusted_by_itself(root: Minted) -> None:
    """A server's certificate beside an authority adds no trust in it."""
    trust = read_trust(server(OTHER).pem + root.pem)
    assert [facts.der for facts in trust.authorities] == [root.der]


def test_an_intermediate_by_itself_is_an_anchor(root: Minted) -> None:
    """Who names an intermediate trusts what it issued, without the root above it."""
    between = mint("Between", issuer=root, ca=True, number=72)
    assert trusts(read_trust(between.pem), between)
    assert not trusts(read_trust(between.pem), root)


def test_a_self_signed_server_certificate_can_be_trusted_as_itself() -> None:
    """Pinning the one certificate of a server without an authority is a way people have."""
    alone = mint("localhost", names=["localhost"], usages=None)
    with TlsServer(alone) as far:
        assert call(read_trust(alone.pem).new_context(), far.port).endswith(b"ok")


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
    """A bundle that cannot serve is an error with its path, a code and the remedy."""
    data, reason, words = MISTAKES[row]
    path = tmp_path / "ca.pem"
    path.write_bytes(data)
    for ca, label in ((path, str(path)), (data, "the CA given as bytes")):
        with pytest.raises(CertificateError) as caught:
            read_trust(ca, now=NOW)
        assert (caught.value.reason, caught.value.path) == (reason, label)
        for word in words:
            assert word in str(caught.value)


def test_a_missing_bundle_is_named(tmp_path: Path) -> None:
    """The path of a bundle that is not there stands in the error."""
    with pytest.raises(CertificateError, match="there is no such file") as caught:
        read_trust(tmp_path / "ca.pem")
    assert caught.value.path == str(tmp_path / "ca.pem")


def test_a_directory_without_certificates_is_named(tmp_path: Path) -> None:
    """A directory where nothing looks like a certificate is an error, not an empty trust."""
    (tmp_path / "README").write_text("nothing here")
    with pytest.raises(CertificateError, match="no certificate of an authority") as caught:
        read_trust(tmp_path)
    assert (caught.value.reason, caught.value.path) == (Reason.NO_CERTIFICATE, str(tmp_path))


def test_a_damaged_file_in_a_directory_is_named_itself(root: Minted, tmp_path: Path) -> None:
    """A certificate file that is cut off is an error even beside good ones: its authority would be missing later."""
    (tmp_path / "a.pem").write_bytes(root.pem)
    (tmp_path / "b.pem").write_bytes(OTHER.pem[:-30])
    with pytest.raises(CertificateError) as caught:
        read_trust(tmp_path)
    assert caught.value.path == str(tmp_path / "b.pem")


def test_an_expired_authority_beside_a_valid_one_is_no_error(root: Minted) -> None:
    """A bundle keeps the old root beside the new one for a while."""
    old = mint("Old Root", ca=True, not_after=NOW - DAY / 2)
    assert trusts(read_trust(old.pem + root.pem), root)


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
    """The warning names the file, the authority, its date, this clock and the remedy, and the rest is trusted."""
    ending = mint(
        "Ending Root", ca=True, number=73, not_before=NOW + (left - lifetime) * DAY, not_after=NOW + left * DAY
    )
    path = tmp_path / "ca.pem"
    path.write_bytes(root.pem + ending.pem)

    warned = read_trust(path).check(NOW)

    assert [(one.reason, one.path) for one in warned] == ([] if reason is None else [(reason, str(path))])
    if reason:
        words = ("CN=Ending Root", f"{NOW + left * DAY:%Y-%m-%d}", "clock says", "present certificate")
        for word in words:
            assert word in str(warned[0])


def test_an_authority_with_its_successor_beside_it_is_no_warning(root: Minted) -> None:
    """So authorities are replaced: the old one stays for a while, under the same name."""
    old = mint("Test Root", ca=True, number=73, not_before=NOW - 9 * DAY, not_after=NOW - DAY)
    coming = mint("Test Root", ca=True, number=73, not_before=NOW + DAY)
    assert not read_trust(old.pem + root.pem).check(NOW)
    assert read_trust(old.pem + coming.pem + OTHER.pem).check(NOW)


def test_the_systems_trust_deserves_no_warning() -> None:
    """What the system trusts is the administrator's to renew."""
    assert read_trust(platform="linux").check() == ()


def test_the_systems_trust_is_a_plain_context_read_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, root: Minted
) -> None:
    """On Linux the context is no subclass, so that it needs no worker thread, and it reads no file per connection."""
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(root.pem)
    monkeypatch.setattr("seic._tls.trust._BUNDLES", (str(bundle),))
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: _paths(tmp_path / "none", tmp_path / "none"))

    trust = read_trust(platform="linux")
    context = trust.new_context()
    bundle.unlink()

    assert trust.label == "the system's trust"
    assert type(context) is ssl.SSLContext
    with TlsServer(server(root)) as far:
        assert call(context, far.port).endswith(b"ok")


def _paths(cafile: Path, capath: Path) -> ssl.DefaultVerifyPaths:
    return ssl.DefaultVerifyPaths(None, None, "SSL_CERT_FILE", str(cafile), "SSL_CERT_DIR", str(capath))  # type: ignore[arg-type]


def test_the_machine_under_test_has_a_trust_of_its_own() -> None:
    """What this system trusts is found without a setting."""
    context = read_trust(platform="linux").new_context()
    assert context.verify_mode == ssl.CERT_REQUIRED


def test_a_directory_of_hashed_names_is_the_systems_trust_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, root: Minted
) -> None:
    """Debian keeps no single file where OpenSSL looks, but a directory of hashed names."""
    monkeypatch.setattr("seic._tls.trust._BUNDLES", ())
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: _paths(tmp_path / "none", tmp_path))
    (tmp_path / _hashed(root)).write_bytes(root.pem)

    trust = read_trust(platform="linux")

    assert trust.cafile is None
    assert trusts(trust, root)
    assert not trusts(trust, OTHER)


def _hashed(minted: Minted) -> str:
    return openssl("x509", "-in", "@", "-noout", "-subject_hash", given=minted.pem).decode().strip() + ".0"


def test_a_system_without_authorities_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A slim container without a bundle is an error before the handshake, with both remedies."""
    monkeypatch.setattr("seic._tls.trust._BUNDLES", ())
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: _paths(tmp_path / "none", tmp_path))
    with pytest.raises(CertificateError, match="install its package 'ca-certificates', or pass ca=") as caught:
        read_trust(platform="linux")
    assert caught.value.reason == Reason.NOT_FOUND


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_where_the_system_verifies_truststore_asks_it(platform: str) -> None:
    """On macOS and Windows the trust is in no file."""
    context = read_trust(platform=platform).new_context()
    assert isinstance(context, truststore.SSLContext)


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_ssl_cert_file_is_exactly_what_is_trusted(
    platform: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, root: Minted
) -> None:
    """The variable that curl and OpenSSL know replaces the system's trust on every platform."""
    (tmp_path / "ca.pem").write_bytes(root.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))

    trust = read_trust(platform=platform)

    assert trust.label == "SSL_CERT_FILE"
    assert trusts(trust, root)
    assert not trusts(trust, OTHER)


def test_ssl_cert_dir_is_searched_and_may_name_several(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, root: Minted
) -> None:
    """The variable holds directories of hashed names, with a separator between them; both variables add up."""
    (tmp_path / _hashed(root)).write_bytes(root.pem)
    monkeypatch.setenv("SSL_CERT_DIR", f"{tmp_path / 'none'}:{tmp_path}")
    assert trusts(read_trust(), root)

    (tmp_path / "other.pem").write_bytes(OTHER.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "other.pem"))
    both = read_trust()
    assert both.label == "SSL_CERT_FILE and SSL_CERT_DIR"
    assert trusts(both, root)
    assert trusts(both, OTHER)


@pytest.mark.parametrize("there", ["nothing", "the other kind"])
@pytest.mark.parametrize(("variable", "kind"), [("SSL_CERT_FILE", "file"), ("SSL_CERT_DIR", "folder")])
def test_a_variable_that_names_nothing_is_an_error(
    variable: str, kind: str, there: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """OpenSSL would pass over it and trust nobody; the error names the variable and its value."""
    named = tmp_path / "named"
    if there != "nothing":
        named.mkdir() if kind == "file" else named.write_text("")
    monkeypatch.setenv(variable, str(named))
    with pytest.raises(CertificateError, match=f"{variable} names it, but there is no such {kind}") as caught:
        read_trust()
    assert (caught.value.reason, caught.value.path) == (Reason.NOT_FOUND, str(named))


def test_a_folder_without_names_that_are_hashes_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, root: Minted
) -> None:
    """OpenSSL finds nothing in it and says nothing; the error tells how to make the names."""
    (tmp_path / "ca.pem").write_bytes(root.pem)
    monkeypatch.setenv("SSL_CERT_DIR", f"{tmp_path / 'none'}:{tmp_path}")
    with pytest.raises(CertificateError, match=r"SSL_CERT_DIR .*; run 'openssl rehash") as caught:
        read_trust()
    assert (caught.value.reason, caught.value.path) == (Reason.NO_CERTIFICATE, f"{tmp_path / 'none'}:{tmp_path}")

    (tmp_path / _hashed(root)).write_bytes(root.pem)
    assert trusts(read_trust(), root)


def test_a_variable_that_names_garbage_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A bundle without a certificate is named with the variable that led to it."""
    (tmp_path / "ca.pem").write_text("garbage")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    with pytest.raises(CertificateError, match=r"no authorities in it \(SSL_CERT_FILE\)") as caught:
        read_trust().new_context()
    assert caught.value.path == str(tmp_path / "ca.pem")


def test_an_empty_variable_is_no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable set to nothing names nothing."""
    monkeypatch.setenv("SSL_CERT_FILE", "")
    assert read_trust(platform="linux").label == "the system's trust"


def test_two_readings_of_the_same_are_equal_and_of_a_changed_bundle_are_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, root: Minted
) -> None:
    """Contexts are shared by the trust's value, so that value must change with the files."""
    path = tmp_path / "ca.pem"
    path.write_bytes(root.pem)
    assert read_trust(path) == read_trust(path)
    named = read_trust(path)
    path.write_bytes(OTHER.pem)
    assert read_trust(path) != named

    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    os.utime(path, ns=(1, 1))
    before = read_trust()
    assert before == read_trust()
    os.utime(path, ns=(2, 2))
    assert before != read_trust()

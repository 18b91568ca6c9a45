"""ClientCertificate: its facts, its repr without the key, and its warnings about dates, names and file modes."""

from __future__ import annotations

import copy
import datetime as dt
import hashlib
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID as Usage
from cryptography.x509.oid import NameOID

from seic import CertificateError, CertificateWarning, ClientCertificate, Reason
from tests._support.pki import DAY, NOW, PASSPHRASE, Minted, authority, mint, openssl


def load(minted: Minted, folder: Path) -> ClientCertificate:
    """Write the pair to files and load it."""
    certificate, key = minted.write(folder)
    return ClientCertificate.load(certificate, key=key)


def test_its_facts_are_those_that_openssl_prints(client: Minted, tmp_path: Path) -> None:
    """Subject, issuer, serial and thumbprint agree with the openssl program."""
    certificate = load(client, tmp_path)
    printed = openssl("x509", "-in", "@", "-noout", "-serial", "-fingerprint", "-sha256", "-enddate", given=client.pem)
    lines = dict(line.split("=", 1) for line in printed.decode().splitlines())

    assert certificate.serial_number == lines["serial"]
    assert certificate.thumbprint == lines["sha256 Fingerprint"].replace(":", "").lower()
    assert f"{certificate.not_after:%b %e %H:%M:%S %Y} GMT" == lines["notAfter"]
    assert certificate.subject == "CN=svc-user"
    assert certificate.issuer == "CN=Test Root"
    assert certificate.awaited_issuer == "CN=Test Root"
    assert certificate.common_name == "svc-user"
    assert certificate.not_before == NOW - DAY
    assert certificate.files == (tmp_path / "client.pem", tmp_path / "client.key")


def test_the_thumbprint_of_rfc_8705_is_base64url_of_the_digest(client: Minted, tmp_path: Path) -> None:
    """x5t#S256 is the SHA-256 of the DER in base64url without padding (RFC 8705 section 3.1)."""
    from base64 import urlsafe_b64decode

    certificate = load(client, tmp_path)
    assert len(certificate.x5t_s256) == 43
    assert urlsafe_b64decode(certificate.x5t_s256 + "=") == hashlib.sha256(client.der).digest()


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("rsa", "RSA 2048"), ("rsa3072", "RSA 3072"), ("ec", "EC P-256"), ("ec384", "EC P-384"), ("ed25519", "Ed25519")],
)
def test_the_kind_of_key_reads_as_people_say_it(kind: str, expected: str) -> None:
    """The key's type comes with its size or curve."""
    assert ClientCertificate.load(mint(key=kind).pair).key_type == expected


def test_the_most_specific_cn_counts() -> None:
    """The last of several CNs is the most specific one."""
    names = [x509.NameAttribute(NameOID.COMMON_NAME, text) for text in ("Accounts", "svc-user")]
    assert ClientCertificate.load(mint(subject=names).pair).common_name == "svc-user"


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        pytest.param([], "serial", id="none"),
        pytest.param([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Example")], "O=Example", id="organisation"),
    ],
)
def test_a_certificate_without_a_cn_is_still_named(
    subject: list[x509.NameAttribute[str]], expected: str, root: Minted
) -> None:
    """Messages name a certificate without a CN by its subject, or by its serial number."""
    minted = mint(issuer=root, subject=subject, not_after=NOW)
    with pytest.raises(CertificateError, match=rf"\({expected}") as caught:
        ClientCertificate.load(minted.pair).check(NOW)
    assert caught.value.reason == Reason.EXPIRED


def test_it_prints_its_facts_and_never_its_key(
    client: Minted, tmp_path: Path, assert_no_leak: Callable[..., None]
) -> None:
    """Str and repr show the public facts, and neither key nor passphrase."""
    certificate_path, key = client.write(tmp_path)
    key.write_bytes(client.key_bytes(password=PASSPHRASE))
    certificate = ClientCertificate.load(certificate_path, key=key, password=PASSPHRASE)

    printed = certificate.describe(NOW)
    for row in (
        "subject  CN=svc-user",
        "issuer   CN=Test Root",
        f"serial   {certificate.serial_number}",
        f"sha256   {certificate.thumbprint}",
        "(700.0 days left)",
        "key      EC P-256",
        "chain    none sent",
        f"from     {certificate_path}",
    ):
        assert row in printed
    assert "(expired 1.0 days ago)" in certificate.describe(NOW + 701 * DAY)
    assert repr(certificate).startswith("<ClientCertificate CN=svc-user, issuer CN=Test Root, serial ")
    assert repr(certificate).endswith(f"from {certificate_path}, key ***>")
    assert_no_leak(certificate, certificate.leaf, certificate._source, certificate._source.passphrase, keys=(client,))


def test_it_cannot_be_pickled_and_a_copy_is_itself(client: Minted) -> None:
    """A private key must not end in a pickle."""
    certificate = ClientCertificate.load(client.pair)
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(certificate)
    assert copy.deepcopy(certificate) is certificate


def test_two_are_equal_by_certificate_and_key(client: Minted, root: Minted, tmp_path: Path) -> None:
    """The files make no difference; another certificate for the same key does."""
    one, same, other = load(client, tmp_path), ClientCertificate.load(client.pair), ClientCertificate.load(mint().pair)
    assert one == same
    assert hash(one) == hash(same)
    assert one != other


def test_it_reads_its_files_again(client: Minted, root: Minted, tmp_path: Path) -> None:
    """Reload returns the files' present content, and leaves the old value unchanged."""
    old = load(client, tmp_path)
    renewed = mint(issuer=root, number=8)
    renewed.write(tmp_path)

    assert old.reload().leaf.der == renewed.der
    assert old.leaf.der == client.der


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        pytest.param(NOW + 10 * DAY - dt.timedelta(seconds=1), None, id="last-second"),
        pytest.param(NOW + 10 * DAY, Reason.EXPIRED, id="end"),
        pytest.param(NOW - DAY, None, id="begin"),
        pytest.param(NOW - DAY - dt.timedelta(seconds=1), Reason.NOT_YET_VALID, id="second-before"),
    ],
)
def test_the_clock_rules_out_what_expired_or_is_not_yet_valid(
    now: dt.datetime, reason: Reason | None, root: Minted, tmp_path: Path
) -> None:
    """Outside its dates a certificate is refused before any handshake, with the file, the subject and this clock."""
    certificate = load(mint(issuer=root, not_after=NOW + 10 * DAY), tmp_path)
    if reason is None:
        certificate.check(now)
        return
    with pytest.raises(CertificateError) as caught:
        certificate.check(now)
    error = caught.value
    assert (error.reason, error.path) == (reason, str(tmp_path / "client.pem"))
    assert "(CN=svc-user)" in str(error)
    assert f"this machine's clock says {now:%Y-%m-%d %H:%M} UTC" in str(error)
    assert ("have CN=Test Root renew it" if reason == Reason.EXPIRED else "set the clock") in str(error)


@pytest.mark.parametrize(
    ("lifetime", "left", "soon"),
    [
        pytest.param(730, 30, False, id="two-years-with-30-days"),
        pytest.param(730, 29.9, True, id="two-years-with-less"),
        pytest.param(90, 18, False, id="90-days-with-a-fifth"),
        pytest.param(90, 17.9, True, id="90-days-with-less"),
        pytest.param(1, 0.2, False, id="one-day-with-a-fifth"),
        pytest.param(1, 0.19, True, id="one-day-with-less"),
    ],
)
def test_expiring_soon_is_by_days_and_by_share_of_the_lifetime(
    lifetime: float, left: float, soon: bool, root: Minted, tmp_path: Path
) -> None:
    """A long-lived certificate warns for 30 days, a short-lived one for a fifth of its lifetime."""
    certificate = load(mint(issuer=root, not_before=NOW, not_after=NOW + lifetime * DAY), tmp_path)
    now = NOW + (lifetime - left) * DAY

    warned = certificate.check(now)

    assert certificate.expires_soon(now) is soon
    assert certificate.days_left(now) == pytest.approx(left)
    assert [(one.reason, one.path) for one in warned] == [(Reason.EXPIRES_SOON, certificate.path)] * soon
    if soon:
        assert f"in {left:.1f} days (CN=svc-user); have CN=Test Root renew it" in str(warned[0])


def test_without_a_moment_it_goes_by_this_machines_clock(client: Minted, root: Minted) -> None:
    """Every check uses the real clock by default."""
    certificate = ClientCertificate.load(client.pair)
    assert 699 < certificate.days_left() <= 700
    assert not certificate.expires_soon()
    assert certificate.check() == ()
    with pytest.raises(CertificateError):
        ClientCertificate.load(mint(issuer=root, not_after=NOW - DAY / 2).pair).check()


def test_an_expired_intermediate_in_the_file_is_a_warning(root: Minted) -> None:
    """It is not an error, since the server may know a newer one; the warning names the intermediate and the remedy."""
    old = mint("Old Intermediate", issuer=root, ca=True, number=71, not_after=NOW - DAY / 2)
    warned = ClientCertificate.load(mint(issuer=old).pair + old.pem).check(NOW)

    assert [one.reason for one in warned] == [Reason.CHAIN_EXPIRED]
    assert "CN=Old Intermediate sent with CN=svc-user" in str(warned[0])
    assert "replace it with the issuer's present one" in str(warned[0])


@pytest.mark.parametrize("signs", [None, True])
def test_a_self_signed_certificate_that_calls_itself_an_authority_is_a_warning(signs: bool | None) -> None:
    """The certificates of 'openssl req -x509' work only with servers that pin them."""
    made = openssl(
        "req", "-x509", "-key", "@", "-subj", "/CN=svc-user", "-days", "300",
        *(("-addext", "keyUsage=digitalSignature") if signs else ()),
        given=mint().key_pem,
    )  # fmt: skip
    certificate = ClientCertificate.load(made + mint().key_pem)

    assert certificate.leaf.is_ca
    assert certificate.awaited_issuer is None
    assert [one.reason for one in certificate.check()] == [Reason.IS_A_CA]


@pytest.mark.parametrize(
    "usages",
    [None, [Usage.CLIENT_AUTH, Usage.SERVER_AUTH], [Usage.ANY_EXTENDED_KEY_USAGE]],
    ids=["none", "both", "any"],
)
def test_a_certificate_for_clients_among_other_things_loads(
    usages: list[x509.ObjectIdentifier] | None, root: Minted
) -> None:
    """No extended key usage, several of them, and 'any' all allow a client."""
    assert ClientCertificate.load(mint(issuer=root, usages=usages, signs=True).pair).check(NOW) == ()


@pytest.mark.parametrize(
    ("mode", "warns"),
    [(0o600, ""), (0o400, ""), (0o700, ""), (0o644, "every user"), (0o602, "every user"), (0o660, "its group")],
)
@pytest.mark.parametrize("shape", ["apart", "combined"])
def test_a_key_that_others_can_read_is_a_warning(
    shape: str, mode: int, warns: str, client: Minted, tmp_path: Path
) -> None:
    """The warning names the key's file, its mode, the users that can read it, and the command."""
    certificate_path, key = client.write(tmp_path)
    if shape == "combined":
        key = certificate_path
        key.write_bytes(client.pair)
    key.chmod(mode)

    warned = ClientCertificate.load(certificate_path, key=key if shape == "apart" else None).check(NOW)

    assert [(one.reason, one.path) for one in warned] == [(Reason.KEY_EXPOSED, str(key))] * bool(warns)
    if warns:
        assert f"open to {warns}" in str(warned[0])
        assert f"(mode {mode:04o}); run 'chmod 600 {key}'" in str(warned[0])


@pytest.mark.parametrize(
    ("mode", "owner", "is_open"),
    [
        (0o600, 1000, False),
        (0o640, 1000, True),
        (0o610, 1000, True),
        (0o604, 1000, True),
        (0o600, 0, False),
        (0o640, 0, False),
        (0o660, 0, True),
        (0o650, 0, True),
        (0o644, 0, True),
    ],
)
def test_a_group_may_read_only_roots_files(
    *, mode: int, owner: int, is_open: bool, client: Minted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user's key is for that user only; root may let a service's group read one."""
    certificate, key = client.write(tmp_path)
    key.chmod(mode)
    stat = Path.stat

    def owned(path: Path, **how: Any) -> os.stat_result:
        fields = list(stat(path, **how))
        fields[4] = owner
        return os.stat_result(fields)

    monkeypatch.setattr(Path, "stat", owned)
    warned = ClientCertificate.load(certificate, key=key).check(NOW)
    assert [one.reason for one in warned] == [Reason.KEY_EXPOSED] * is_open


@pytest.mark.parametrize("form", ["pkcs8", "store"])
def test_an_encrypted_key_that_every_user_can_read_is_no_warning(form: str, client: Minted, tmp_path: Path) -> None:
    """The encryption protects it."""
    path = tmp_path / "client"
    store = ("pkcs12", "-export", "-in", "@", "-passout", f"pass:{PASSPHRASE}")
    path.write_bytes(
        client.pem + client.key_bytes(password=PASSPHRASE) if form == "pkcs8" else openssl(*store, given=client.pair)
    )
    path.chmod(0o644)
    assert not ClientCertificate.load(path, password=PASSPHRASE).check(NOW)


@pytest.mark.parametrize(
    ("username", "said"),
    [
        pytest.param("svc-user", None, id="same"),
        pytest.param("svc-other", "'svc-other'; the gateway", id="other"),
        pytest.param("SVC-USER", "'SVC-USER' (only the case differs)", id="case"),
        pytest.param("svc-user ", "'svc-user '; the gateway", id="space"),
    ],
)
def test_the_cn_is_compared_with_the_service_account(username: str, said: str | None, client: Minted) -> None:
    """A CN that differs from the username is a warning, or an error with `strict`."""
    certificate = ClientCertificate.load(client.pair)
    warned = certificate.check_common_name(username)
    if said is None:
        assert warned is None
        assert certificate.check_common_name(username, strict=True) is None
        return
    assert isinstance(warned, CertificateWarning)
    assert warned.reason == Reason.COMMON_NAME
    assert said in str(warned)
    with pytest.raises(CertificateError, match="pass the certificate that was issued for this account") as caught:
        certificate.check_common_name(username, strict=True)
    assert str(caught.value) == str(warned)


def test_a_certificate_without_a_cn_differs_from_every_account() -> None:
    """The warning says that there is no CN."""
    warned = ClientCertificate.load(mint(None).pair).check_common_name("svc-user")
    assert warned is not None
    assert "has no CN" in str(warned)


def test_a_warning_keeps_its_facts_through_a_pickle(client: Minted) -> None:
    """A warning can be sent to another process."""
    warned = ClientCertificate.load(client.pair).check_common_name("svc-other")
    twin = pickle.loads(pickle.dumps(warned))  # noqa: S301 - its own bytes
    assert (str(twin), twin.path, twin.reason) == (str(warned), warned.path, warned.reason)  # type: ignore[union-attr]


def test_importing_and_holding_costs_no_cryptography() -> None:
    """Only loading a certificate costs the 36 ms of importing cryptography."""
    program = "import sys; import seic; print('cryptography' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "False"


def test_a_mistake_in_an_authority_file_of_the_directory_is_named(client: Minted, tmp_path: Path) -> None:
    """The error names ca.crt."""
    (tmp_path / "tls.crt").write_bytes(client.pem)
    (tmp_path / "tls.key").write_bytes(client.key_pem)
    (tmp_path / "ca.crt").write_bytes(authority().pem[:-40])
    with pytest.raises(CertificateError) as caught:
        ClientCertificate.load(tmp_path)
    assert (caught.value.reason, caught.value.path) == (Reason.TRUNCATED, str(tmp_path / "ca.crt"))

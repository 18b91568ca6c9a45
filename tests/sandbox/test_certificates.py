"""The certificate authority of the sandbox."""

from __future__ import annotations

import datetime as dt
import ssl
from collections.abc import Mapping
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from seic.sandbox import CertificateAuthority, IssuedCertificate
from tests._support.sandbox_client import client_context, load_pair

NOW = dt.datetime.now(dt.UTC)


@pytest.fixture(scope="module")
def authority() -> CertificateAuthority:
    """An authority for tests that do not change it."""
    return CertificateAuthority("test CA")


def shake_hands(client: ssl.SSLContext, server: ssl.SSLContext, name: str) -> Mapping[str, object] | None:
    """Run a handshake in memory and return the certificate that the server received."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client_side = client.wrap_bio(to_client, to_server, server_hostname=name)
    server_side = server.wrap_bio(to_server, to_client, server_side=True)
    pending = [client_side, server_side]
    for _ in range(10):
        for side in list(pending):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            pending.remove(side)
    assert not pending
    return server_side.getpeercert()


@pytest.mark.parametrize(
    ("key_type", "kind"),
    [("ec", ec.EllipticCurvePrivateKey), ("rsa", rsa.RSAPrivateKey), ("ed25519", ed25519.Ed25519PrivateKey)],
)
def test_pem_has_a_matching_pair_of_the_requested_type(
    key_type: str, kind: type, authority: CertificateAuthority
) -> None:
    """Certificate and key load from their PEM, match, and are signed by the authority."""
    issued = authority.issue("someone", key_type=key_type)  # type: ignore[arg-type]
    certificate = x509.load_pem_x509_certificate(issued.cert_pem)
    key = serialization.load_pem_private_key(issued.key_pem, None)
    assert isinstance(key, kind)
    assert key.public_key() == certificate.public_key()
    certificate.verify_directly_issued_by(authority.certificate)
    assert certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "someone"


@pytest.mark.parametrize("key_type", ["ec", "rsa", "ed25519"])
def test_authority_signs_with_any_key_type(key_type: str) -> None:
    """Certificates and revocation lists, with each type of the root's key."""
    authority = CertificateAuthority(key_type=key_type)  # type: ignore[arg-type]
    authority.issue("x").certificate.verify_directly_issued_by(authority.certificate)
    crl = x509.load_pem_x509_crl(authority.crl_pem())
    assert crl.is_signature_valid(authority.certificate.public_key())  # type: ignore[arg-type]


def test_unknown_key_type_is_an_error(authority: CertificateAuthority) -> None:
    """The error names the valid types."""
    with pytest.raises(ValueError, match="'ec', 'rsa' or 'ed25519'"):
        authority.issue("x", key_type="dsa")  # type: ignore[arg-type]


def test_key_may_be_encrypted(authority: CertificateAuthority) -> None:
    """An encrypted key needs its password."""
    issued = authority.issue("x")
    pem = issued.encode_key(b"secret")
    assert b"ENCRYPTED" in pem
    assert b"ENCRYPTED" not in issued.key_pem
    with pytest.raises(TypeError):
        serialization.load_pem_private_key(pem, None)
    assert isinstance(serialization.load_pem_private_key(pem, b"secret"), ec.EllipticCurvePrivateKey)


def test_repr_shows_no_key(authority: CertificateAuthority) -> None:
    """Not even as an object."""
    assert "key" not in repr(authority.issue("x")).lower()


@pytest.mark.parametrize(
    ("client", "server", "usages"),
    [
        (True, False, {ExtendedKeyUsageOID.CLIENT_AUTH}),
        (False, True, {ExtendedKeyUsageOID.SERVER_AUTH}),
        (True, True, {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH}),
        (False, False, None),
    ],
)
def test_extended_key_usage_can_be_chosen(
    client: bool, server: bool, usages: set[x509.ObjectIdentifier] | None, authority: CertificateAuthority
) -> None:
    """Client authentication, server authentication, both, or no extension."""
    extensions = authority.issue("x", client=client, server=server).certificate.extensions
    if usages is None:
        with pytest.raises(x509.ExtensionNotFound):
            extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    else:
        assert set(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == usages


def test_alternative_names_are_ip_addresses_or_dns_names(authority: CertificateAuthority) -> None:
    """IP addresses of both families are recognised."""
    issued = authority.issue("x", sans=["localhost", "127.0.0.1", "::1"])
    names = issued.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert names.value.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(each) for each in names.value.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    assert not names.critical


def test_empty_subject_makes_the_alternative_names_critical(authority: CertificateAuthority) -> None:
    """RFC 5280 §4.2.1.6."""
    certificate = authority.issue(None, sans=["localhost"]).certificate
    assert len(certificate.subject.rdns) == 0
    assert certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).critical


@pytest.mark.parametrize(
    ("not_before", "not_after", "valid"),
    [
        pytest.param(None, None, True, id="default"),
        pytest.param(NOW - dt.timedelta(days=9), NOW - dt.timedelta(days=8), False, id="ended"),
        pytest.param(None, NOW - dt.timedelta(days=8), False, id="ended, start by default"),
        pytest.param(NOW + dt.timedelta(days=8), None, False, id="in the future, end by default"),
        pytest.param(None, NOW + dt.timedelta(days=8), True, id="ends soon"),
    ],
)
def test_validity_can_be_chosen(
    not_before: dt.datetime | None, not_after: dt.datetime | None, valid: bool, authority: CertificateAuthority
) -> None:
    """Start and end can be set separately; the start is always before the end."""
    certificate = authority.issue("x", not_before=not_before, not_after=not_after).certificate
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    assert start < end
    assert (start <= NOW <= end) is valid
    if not_before is not None:
        assert start == not_before.replace(microsecond=0)
    if not_after is not None:
        assert end == not_after.replace(microsecond=0)


def test_authority_can_be_expired() -> None:
    """Its validity can be set, too."""
    authority = CertificateAuthority(not_after=NOW - dt.timedelta(days=3))
    assert authority.certificate.not_valid_after_utc < NOW


def test_strict_verifiers_accept_the_chain(authority: CertificateAuthority) -> None:
    """A handshake with OpenSSL's strictest checks on both sides succeeds."""
    client_side = client_context(authority.cert_pem, authority.issue("client"))
    client_side.verify_flags |= ssl.VERIFY_X509_STRICT
    server_side = _server(authority.issue("server", sans=["localhost"], client=False, server=True), authority)
    server_side.verify_flags |= ssl.VERIFY_X509_STRICT
    seen = shake_hands(client_side, server_side, "localhost")
    assert seen is not None
    assert seen["subject"] == ((("commonName", "client"),),)


def test_revocation_list_refuses_only_the_revoked_certificate(authority: CertificateAuthority, tmp_path: Path) -> None:
    """OpenSSL checks the list."""
    good, bad = authority.issue("good"), authority.issue("bad")
    authority.revoke(bad)
    authority.revoke(bad.certificate)
    server_side = _server(authority.issue("server", sans=["localhost"], client=False, server=True), authority)
    crl = tmp_path / "crl.pem"
    crl.write_bytes(authority.crl_pem())
    server_side.load_verify_locations(crl)
    server_side.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    assert shake_hands(client_context(authority.cert_pem, good), server_side, "localhost") is not None
    with pytest.raises(ssl.SSLError, match="certificate revoked"):
        shake_hands(client_context(authority.cert_pem, bad), server_side, "localhost")


def test_revocation_lists_are_numbered() -> None:
    """An empty list is valid; a certificate that is revoked twice is listed once; each list has a higher number."""
    authority = CertificateAuthority()
    empty = x509.load_pem_x509_crl(authority.crl_pem())
    issued = authority.issue("x")
    authority.revoke(issued)
    authority.revoke(issued)
    full = x509.load_pem_x509_crl(authority.crl_pem())
    assert [entry.serial_number for entry in empty] == []
    assert [entry.serial_number for entry in full] == [issued.certificate.serial_number]
    numbers = [crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number for crl in (empty, full)]
    assert numbers == [1, 2]


@pytest.mark.parametrize("days", [-8, 8])
def test_validity_of_a_revocation_list_can_be_chosen(days: int, authority: CertificateAuthority) -> None:
    """A list can be out of date."""
    end = NOW + dt.timedelta(days=days)
    crl = x509.load_pem_x509_crl(authority.crl_pem(next_update=end))
    assert crl.next_update_utc == end.replace(microsecond=0)
    assert crl.last_update_utc < end


def _server(issued: IssuedCertificate, authority: CertificateAuthority) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    load_pair(context, issued)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=authority.cert_pem.decode())
    return context

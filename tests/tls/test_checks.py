"""`certificate.checks()`: all that is wrong, or will stop working, before it does."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID as Usage
from cryptography.x509.oid import NameOID

from seic import CertificateError, ClientCertificate, Reason
from tests._support.pki import DAY, NOW, Minted, mint, private_key, signed_over_sha1


def reasons(certificate: ClientCertificate, **arguments: str) -> list[str | None]:
    """Return the reasons of all problems."""
    return [problem.reason for problem in certificate.checks(NOW, **arguments)]


def public(issuer: Minted, policies: Sequence[str], usages: Sequence[x509.ObjectIdentifier]) -> Minted:
    """Make a certificate with policies, as public authorities do."""
    key = private_key("ec", 3)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "svc-user")]))
        .issuer_name(issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + 90 * DAY)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
    )
    if policies:
        named = [x509.PolicyInformation(x509.ObjectIdentifier(one), None) for one in policies]
        builder = builder.add_extension(x509.CertificatePolicies(named), critical=False)
    return Minted(certificate=builder.sign(issuer.key, hashes.SHA256()), key=key, issuer=issuer)


def test_a_certificate_without_problems_has_none(client: Minted) -> None:
    """Nor has one whose issuer is appended."""
    assert reasons(ClientCertificate.load(client.pair)) == []
    assert reasons(ClientCertificate.load(client.pair), username="svc-user") == []
    assert client.issuer is not None
    assert reasons(ClientCertificate.load(client.pair + client.issuer.pem)) == []


def test_the_end_is_no_error_here(root: Minted) -> None:
    """The error of `check` is the first problem."""
    ended = ClientCertificate.load(mint(issuer=root, not_before=NOW - 9 * DAY, not_after=NOW - DAY).pair)
    with pytest.raises(CertificateError) as caught:
        ended.check(NOW)
    (problem,) = ended.checks(NOW)
    assert (problem.reason, str(problem)) == (Reason.EXPIRED, str(caught.value))
    soon = mint(issuer=root, not_before=NOW - 300 * DAY, not_after=NOW + 5 * DAY)
    assert reasons(ClientCertificate.load(soon.pair)) == [Reason.EXPIRES_SOON]


def test_an_intermediate_that_ends_first_is_named(root: Minted) -> None:
    """Long before it has expired."""
    between = mint("Between", issuer=root, ca=True, number=71, not_after=NOW + 100 * DAY)
    minted = mint(issuer=between, not_after=NOW + 400 * DAY)
    (problem,) = ClientCertificate.load(minted.pair + between.pem).checks(NOW)
    assert problem.reason == Reason.CHAIN_ENDS_FIRST
    assert "the intermediate certificate (CN=Between, expires " in str(problem)
    assert "ends before CN=svc-user, expires " in str(problem)


def test_another_name_is_named(client: Minted) -> None:
    """If the account is given."""
    assert reasons(ClientCertificate.load(client.pair), username="another") == [Reason.COMMON_NAME]


@pytest.mark.parametrize(
    ("policies", "found"),
    [
        (["2.23.140.1.2.1"], [Reason.PUBLIC_ISSUER]),
        (["1.3.6.1.4.1.44947.1.1.1", "2.23.140.1.2.2"], [Reason.PUBLIC_ISSUER]),
        (["2.23.140.1.1"], [Reason.PUBLIC_ISSUER]),
        (["2.23.140.1.5.1.1"], []),
        (["1.3.6.1.4.1.99999.1"], []),
        ([], []),
    ],
)
def test_a_certificate_of_a_public_authority_may_be_its_last(
    policies: list[str], found: list[Reason], root: Minted
) -> None:
    """They are known by the policies of the CA/Browser Forum for TLS; that for e-mail is another."""
    minted = public(root, policies, [Usage.SERVER_AUTH, Usage.CLIENT_AUTH])
    assert reasons(ClientCertificate.load(minted.pair)) == found


@pytest.mark.parametrize("key", ["rsa1024", "rsa"])
def test_a_short_key_is_named(key: str, root: Minted) -> None:
    """Whether or not this system's OpenSSL takes it."""
    found = reasons(ClientCertificate.load(mint(issuer=root, key=key).pair))
    assert found == ([Reason.WEAK_KEY] if key == "rsa1024" else [])


def test_a_weak_signature_is_named(root: Minted) -> None:
    """Whether or not this system's OpenSSL takes it."""
    certificate = ClientCertificate.load(signed_over_sha1(mint(issuer=root)).pair)
    begin = certificate.not_before
    assert [problem.reason for problem in certificate.checks(begin)] == [Reason.WEAK_SIGNATURE]
    assert certificate.check(begin) == ()

"""Warnings of cryptography never replace a certificate or its error, under `-W error` too (this suite's filter)."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

import seic
from tests._support.pki import Minted, mint, openssl


def _long_country() -> tuple[bytes, Minted]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        country = x509.NameAttribute(NameOID.COUNTRY_NAME, "USA", _validate=False)
        minted = mint(subject=[country, x509.NameAttribute(NameOID.COMMON_NAME, "svc-user")])
    return minted.pem, minted


def _serial(number: str) -> tuple[bytes, Minted]:
    minted = mint()
    command = ("req", "-x509", "-new", "-key", "@", "-subj", "/CN=svc-user", "-days", "300", "-set_serial", number)
    return openssl(*command, given=minted.key_pem), minted


ODD = pytest.mark.parametrize(
    "make",
    [_long_country, lambda: _serial("0"), lambda: _serial("-5")],
    ids=["country of three letters", "serial 0", "negative serial"],
)


@ODD
def test_a_certificate_that_cryptography_warns_of_loads(make: Callable[[], tuple[bytes, Minted]]) -> None:
    """As it does without the filter."""
    pem, minted = make()
    certificate = seic.ClientCertificate.load(pem, key=minted.key_pem)

    assert "CN=svc-user" in certificate.subject


@ODD
def test_its_mistakes_are_certificate_errors(make: Callable[[], tuple[bytes, Minted]]) -> None:
    """The person reads the reason, not the warning."""
    pem, _ = make()
    with pytest.raises(seic.CertificateError) as caught:
        seic.ClientCertificate.load(pem, key=mint(number=3).key_pem)

    assert caught.value.reason in {"key-mismatch", "is-a-ca"}


@ODD
def test_it_can_be_an_authority(make: Callable[[], tuple[bytes, Minted]]) -> None:
    """Of a bundle, or alone."""
    pem, _ = make()
    assert seic.create_ssl_context(ca=pem).cert_store_stats()["x509"] == 1


@ODD
def test_the_filters_are_as_before(make: Callable[[], tuple[bytes, Minted]]) -> None:
    """The application's warnings are still errors."""
    pem, minted = make()
    seic.ClientCertificate.load(pem, key=minted.key_pem)
    with pytest.raises(UserWarning):
        warnings.warn("the application's", stacklevel=1)

"""Damage of any kind to a certificate's file is a CertificateError and nothing else."""

from __future__ import annotations

import contextlib

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings, strategies

from seic._errors import CertificateError
from seic._tls.certificate import ClientCertificate
from tests._support.pki import PASSPHRASE, Minted, mint, openssl

OTHER = mint("another", number=3)


def _store(minted: Minted) -> bytes:
    sealed = ("pkcs12", "-export", "-in", "@", "-passout", f"pass:{PASSPHRASE}")
    return openssl(*sealed, given=minted.pair)


WHOLE = {
    "pem": (OTHER.pair, None),
    "der": (OTHER.der, OTHER.key_pem),
    "key": (OTHER.pem, OTHER.key_bytes(encoding=Encoding.DER)),
    "store": (_store(OTHER), None),
}


@settings(max_examples=100, derandomize=True, deadline=None)
@given(data=strategies.data())
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("form", WHOLE)
def test_damage_of_any_kind_is_a_certificate_error(form: str, data: strategies.DataObject) -> None:
    """Whatever bytes are changed, lost or added, what is raised is a CertificateError and nothing else."""
    certificate, key = WHOLE[form]
    whole = key if form == "key" and key is not None else certificate
    start = data.draw(strategies.integers(0, len(whole) - 1))
    end = data.draw(strategies.integers(start, min(len(whole), start + 8)))
    damaged = whole[:start] + data.draw(strategies.binary(max_size=8)) + whole[end:]
    with contextlib.suppress(CertificateError):
        if form == "key":
            ClientCertificate.load(certificate, key=damaged)
        else:
            ClientCertificate.load(damaged, key=key, password=PASSPHRASE)

"""The algorithms that a key of an issuer verifies."""

from __future__ import annotations

import itertools
import logging

import pytest
from joserfc.jwk import ECKey, OKPKey, RSAKey

from tests._support.bearers import bearer_of, check
from tests._support.issuer import encode, issuer_of

_KEYS: dict[str, RSAKey | ECKey | OKPKey] = {
    "RSA": RSAKey.generate_key(2048, {"kid": "key-1"}),
    "P-256": ECKey.generate_key("P-256", {"kid": "key-1"}),
    "P-384": ECKey.generate_key("P-384", {"kid": "key-1"}),
    "Ed25519": OKPKey.generate_key("Ed25519", {"kid": "key-1"}),
}
_ALGORITHMS = {
    "RS256": "RSA",
    "PS512": "RSA",
    "ES256": "P-256",
    "ES384": "P-384",
    "Ed25519": "Ed25519",
    "EdDSA": "Ed25519",
}


@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
@pytest.mark.parametrize(("name", "algorithm"), list(itertools.product(_KEYS, _ALGORITHMS)))
async def test_a_key_verifies_algorithms_of_its_type_only(
    name: str, algorithm: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Independent of the token's header (RFC 8725 §3.1)."""
    issuer = issuer_of(_KEYS[name])
    fits = _ALGORITHMS[algorithm] == name
    if fits:
        token = issuer.token(header={"alg": algorithm})
    else:
        token = f"{encode({'alg': algorithm, 'kid': 'key-1'})}.{encode(issuer.claims())}.AAAA"
    with caplog.at_level(logging.INFO, logger="seic.fastapi"):
        status = await check(bearer_of(issuer, algorithms=[*_ALGORITHMS]), token)

    assert status == (200 if fits else 401)
    # The key is not tried at all.
    assert ("unknown key" in caplog.text) is not fits


@pytest.mark.parametrize(("algorithm", "status"), [("RS256", 200), ("PS256", 401)])
async def test_a_key_with_alg_verifies_that_algorithm_only(algorithm: str, status: int) -> None:
    """The issuer has restricted it (RFC 7517 §4.4)."""
    issuer = issuer_of(_KEYS["RSA"])
    issuer.published = [issuer.public(issuer.key, alg="RS256")]

    assert await check(bearer_of(issuer), issuer.token(header={"alg": algorithm})) == status

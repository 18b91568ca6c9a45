"""The issuer of the testing kit, with the time of the tests."""

from __future__ import annotations

import base64
import json
from typing import Any

from joserfc.jwk import RSAKey

import seic
from seic.testing import MockIssuer

URL = "https://idp.example"
JWKS_URL = f"{URL}/jwks"
AUDIENCE = "accounts"
NOW = 1_800_000_000


def encode(part: object) -> str:
    """Encode a part of a token by hand, also an invalid one."""
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


def issuer_of(key: Any = None) -> MockIssuer:
    """Return an issuer at the time of the tests; without a key, with a new one for RSA."""
    key = key or RSAKey.generate_key(2048, {"kid": "key-1"})
    return MockIssuer(url=URL, audience=AUDIENCE, key=key, clock=seic.Clock(wall=lambda: NOW))

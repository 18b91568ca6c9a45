"""`state` (RFC 6749 §10.12) and the code challenge (RFC 7636), which bind a login to the browser that started it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import uuid

#: The only method: `plain` would reveal the verifier in the login's URL (RFC 9700 §2.1.1).
CHALLENGE_METHOD = "S256"


def new_state() -> str:
    """Return a `state`: a random UUID, as the SEI platform requires, with 122 random bits."""
    return str(uuid.uuid4())


def is_same_state(expected: str, returned: str) -> bool:
    """Compare two values of `state` in constant time."""
    return hmac.compare_digest(expected.encode(errors="surrogatepass"), returned.encode(errors="surrogatepass"))


def new_verifier() -> str:
    """Return a code verifier: 256 random bits in 43 characters, as RFC 7636 §4.1 recommends."""
    return secrets.token_urlsafe(32)


def challenge_of(verifier: str) -> str:
    """Return the S256 code challenge of a verifier (RFC 7636 §4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode("ascii")).digest()).rstrip(b"=").decode("ascii")

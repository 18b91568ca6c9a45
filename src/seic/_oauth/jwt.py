"""Looks into an access token that happens to be a JWT; a token never has to be one, and nothing is verified here.

Whether a token is genuine is the API's question. All that is read is how long it lives, as a second opinion.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

from seic._oauth.documents import DefectiveDocument, number_in, read_document

# RFC 7515 §3.1: header, payload and signature.
_PARTS = 3


def lifetime_of(access_token: str) -> float | None:
    """Return the seconds between a JWT's `iat` and `exp` (RFC 7519 §4.1); None for any other token.

    Both are the provider's times, so its clock may be as wrong as it likes.
    """
    claims = claims_of(access_token)
    if claims is None:
        return None
    begin, end = number_in(claims.get("iat")), number_in(claims.get("exp"))
    return end - begin if begin is not None and end is not None and end > begin else None


def claims_of(access_token: str) -> Mapping[str, object] | None:
    """Return what a JWT says, unproven; None for any other token."""
    parts = access_token.split(".")
    if len(parts) != _PARTS:
        return None
    payload = parts[1]
    try:
        return read_document(base64.b64decode(payload + "=" * (-len(payload) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, DefectiveDocument):
        return None

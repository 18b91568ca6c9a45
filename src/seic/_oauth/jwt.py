"""Looks into an access token that happens to be a JWT; a token never has to be one, and nothing is verified here.

Whether a token is genuine is the API's question. All that is read is how long it lives, as a second opinion.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

from seic._oauth.json_body import DefectiveDocument, number_in, read_document

# RFC 7515 §3.1: header, payload and signature.
_PARTS = 3
#: Seconds by which two clocks may well differ.
_SKEW = 60.0


def lifetime_of(access_token: str, *, now: float | None) -> float | None:
    """Return how long a JWT says that it lives, in seconds; None for any other token.

    Where it names `iat` and `exp` (RFC 7519 §4.1) it is the time between them: both are the provider's, so its clock
    may be as wrong as it likes. Where it names its end alone, that is set against this machine's clock; if hardly
    anything is left by it, the clocks are likelier to differ than the token to be born dead, and nothing is known.

    Args:
        access_token: The token.
        now: Seconds since the epoch, when it was asked for; None where the provider named a lifetime, for then nothing
            is set against a clock that may be wrong.
    """
    claims = claims_of(access_token)
    if claims is None:
        return None
    begin, end = number_in(claims.get("iat")), number_in(claims.get("exp"))
    if end is None:
        return None
    if begin is not None:
        return end - begin if end > begin else None
    return end - now if now is not None and end - now > _SKEW else None


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

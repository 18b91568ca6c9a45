"""Claims and lifetime of an access token that is a JWT; nothing is verified, and no token has to be one."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

from seic._oauth.json_body import JsonBodyError, number_in, read_document

# RFC 7515 §3.1: header, payload and signature.
_PARTS = 3
#: Seconds by which two clocks may differ.
_SKEW = 60.0


def lifetime_of(access_token: str, *, now: float | None) -> float | None:
    """Return the lifetime that a JWT claims, in seconds; None for any other token.

    With `iat` and `exp` (RFC 7519 §4.1) it is the time between them, whatever the provider's clock says. With `exp`
    alone it is the time from `now` by this machine's clock; if that is hardly anything, the clocks probably differ, and
    the lifetime is unknown.

    Args:
        access_token: The token.
        now: Seconds since the epoch, when the token was requested; None if the provider named a lifetime, so that no
            clock is compared.
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
    """Return the claims of a JWT, not verified; None for any other token."""
    parts = access_token.split(".")
    if len(parts) != _PARTS:
        return None
    payload = parts[1]
    try:
        return read_document(base64.b64decode(payload + "=" * (-len(payload) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, JsonBodyError):
        return None

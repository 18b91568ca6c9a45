"""The words in which events name how a token request ended."""

from __future__ import annotations

from seic._errors import InvalidTokenResponse, SeicError, TokenEndpointUnavailable, TokenRequestRefused

_FAILURES: dict[type[SeicError], str] = {
    TokenRequestRefused: "refused",
    TokenEndpointUnavailable: "unavailable",
    InvalidTokenResponse: "invalid",
}


def name_failure(error: SeicError) -> str:
    """Return `refused`, `unavailable`, `invalid`, or `failed` for anything else, such as an unusable certificate."""
    return next((word for kind, word in _FAILURES.items() if isinstance(error, kind)), "failed")

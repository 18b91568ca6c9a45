"""Parse an API's error response, in any known form, into an `ApiError`."""

from __future__ import annotations

from collections.abc import Collection

import attrs
import httpx

from seic._errors import ApiError, FieldError, LoggedInElsewhere
from seic._model.provider import Provider
from seic._oauth.challenges import parse_challenges, parse_retry_after
from seic._oauth.error_body import END_OTHER_SESSIONS, LOGGED_IN_ELSEWHERE, ErrorBody, read_error
from seic._oauth.redact import find_tracking_id, sanitize

# A person reads the list, and no form of an application has more fields.
_MAX_FIELD_ERRORS = 100
_LONGEST_CODE = 100
_FIRST_ERROR = 400


def parse_api_error(
    *,
    provider: Provider,
    status: int,
    headers: httpx.Headers,
    body: bytes,
    now: float,
    secrets: Collection[str] = (),
) -> ApiError | None:
    """Parse an API's error response.

    It takes the words of any error document, text or page (`read_error`), and those of a challenge with an error (RFC
    6750 §3) if the body has no code. The provider's text is sanitized and truncated.

    Args:
        provider: The dialect.
        status: The HTTP status.
        headers: The headers.
        body: The body, decompressed; a body of more than 1 MiB is ignored.
        now: Seconds since the epoch, for a `Retry-After` that is a date.
        secrets: The secrets of the request, which an API may echo.

    Returns:
        The error, not raised; None for any other status, and for a response without words.
    """
    if status < _FIRST_ERROR:
        return None
    error = read_error(body, provider=provider, secrets=secrets, content_type=headers.get("Content-Type"))
    if error is None or error.code is None:
        error = _error_in_challenge(headers, provider) or error
    if error is None:
        return None
    code = sanitize(error.code or "", secrets=secrets, limit=_LONGEST_CODE) or None
    words = ": ".join(filter(None, (code, sanitize(error.description or "", secrets=secrets))))
    tracking_id = find_tracking_id(headers, provider.tracking_header, otherwise=error.tracking_id, secrets=secrets)
    elsewhere = status == httpx.codes.FORBIDDEN and error.subcode == LOGGED_IN_ELSEWHERE
    return (LoggedInElsewhere if elsewhere else ApiError)(
        f"the API answered {status}"
        + (f" ({words})" if words else "")
        + (f"; {END_OTHER_SESSIONS}" if elsewhere else "")
        + (f" (tracking id {tracking_id})" if tracking_id else ""),
        status=status,
        code=code,
        tracking_id=tracking_id,
        transient=error.transient,
        retry_after=parse_retry_after(headers.get("Retry-After"), now=now),
        errors=[
            FieldError(*(sanitize(word, secrets=secrets) for word in attrs.astuple(entry)))
            for entry in error.errors[:_MAX_FIELD_ERRORS]
        ],
    )


def _error_in_challenge(headers: httpx.Headers, provider: Provider) -> ErrorBody | None:
    for challenge in parse_challenges(headers.get_list("WWW-Authenticate")):
        schemes = ("bearer", "dpop", provider.authorization_scheme.lower())
        if challenge.scheme in schemes and challenge.parameters.get("error"):
            return ErrorBody(
                code=challenge.parameters["error"], description=challenge.parameters.get("error_description")
            )
    return None

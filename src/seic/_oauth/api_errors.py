"""Parse an API's error response, in any known form, into an `ApiError`."""

from __future__ import annotations

from collections.abc import Collection

import attrs
import httpx

from seic._errors import ApiError, FieldError, LoggedInElsewhere
from seic._oauth.challenges import parse_challenges, parse_retry_after
from seic._oauth.error_body import END_OTHER_SESSIONS, LOGGED_IN_ELSEWHERE, ErrorBody, read_error
from seic._oauth.redact import find_tracking_id, sanitize

# A person reads the list, and no form of an application has more fields.
_MAX_FIELD_ERRORS = 100
_LONGEST_CODE = 100
_FIRST_ERROR = 400


def parse_api_error(
    *,
    tracking_header: str | None,
    status: int,
    headers: httpx.Headers,
    body: bytes,
    now: float,
    secrets: Collection[str] = (),
) -> ApiError | None:
    """Parse an API's error response.

    It knows the gateway's form, the platform's two, RFC 6749 §5.2, RFC 9457, and a Bearer challenge with an error (RFC
    6750 §3) if the body has none. The provider's text is sanitized and truncated.

    Args:
        tracking_header: The response header with the tracking id; None if there is none.
        status: The HTTP status.
        headers: The headers.
        body: The body, decompressed; a body of more than 1 MiB is ignored.
        now: Seconds since the epoch, for a `Retry-After` that is a date.
        secrets: The secrets of the request, which an API may echo.

    Returns:
        The error, not raised; None for any other status, and for a response in no known form.
    """
    if status < _FIRST_ERROR:
        return None
    error = read_error(body) or _error_in_challenge(headers)
    if error is None:
        return None
    code = sanitize(error.code or "", secrets=secrets, limit=_LONGEST_CODE) or None
    words = ": ".join(filter(None, (code, sanitize(error.description or "", secrets=secrets))))
    tracking_id = find_tracking_id(headers, tracking_header, otherwise=error.tracking_id, secrets=secrets)
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


def _error_in_challenge(headers: httpx.Headers) -> ErrorBody | None:
    for challenge in parse_challenges(headers.get_list("WWW-Authenticate")):
        if challenge.scheme == "bearer" and challenge.parameters.get("error"):
            return ErrorBody(
                code=challenge.parameters["error"], description=challenge.parameters.get("error_description")
            )
    return None

"""Reads an API's refusal into an `ApiError`, in whichever known form it is written; sends and decides nothing."""

from __future__ import annotations

from collections.abc import Collection

import attrs
import httpx

from seic._errors import ApiError, FieldError, LoggedInElsewhere
from seic._oauth.challenges import parse_challenges, parse_retry_after
from seic._oauth.error_body import END_OTHER_SESSIONS, LOGGED_IN_ELSEWHERE, ErrorBody, read_error
from seic._oauth.redact import find_tracking_id, sanitize

# A list of errors is for a person to read; a form with more fields than this is no form.
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
    """Read an API's error reply.

    Understood are the gateway's form, both of the platform's, RFC 6749 §5.2, RFC 9457, and a Bearer challenge with an
    error (RFC 6750 §3) where the body says nothing. The provider's words are cleaned and cut short.

    Args:
        tracking_header: The response header that names the call; None where there is none.
        status: The HTTP status.
        headers: The headers.
        body: The body, decompressed; one that is longer than a mebibyte is in no known form.
        now: Seconds since the epoch, for a `Retry-After` that is a date.
        secrets: What the call carried, and an API may echo.

    Returns:
        The error, not raised; None where the status is no error, or the reply is in no known form.
    """
    if status < _FIRST_ERROR:
        return None
    form = read_error(body) or _challenged(headers)
    if form is None:
        return None
    code = sanitize(form.code or "", secrets=secrets, limit=_LONGEST_CODE) or None
    words = ": ".join(filter(None, (code, sanitize(form.description or "", secrets=secrets))))
    tracking_id = find_tracking_id(headers, tracking_header, otherwise=form.tracking_id, secrets=secrets)
    elsewhere = status == httpx.codes.FORBIDDEN and form.subcode == LOGGED_IN_ELSEWHERE
    return (LoggedInElsewhere if elsewhere else ApiError)(
        f"the API answered {status}"
        + (f" ({words})" if words else "")
        + (f"; {END_OTHER_SESSIONS}" if elsewhere else "")
        + (f" (tracking id {tracking_id})" if tracking_id else ""),
        status=status,
        code=code,
        tracking_id=tracking_id,
        transient=form.transient,
        retry_after=parse_retry_after(headers.get("Retry-After"), now=now),
        errors=[
            FieldError(*(sanitize(word, secrets=secrets) for word in attrs.astuple(entry)))
            for entry in form.errors[:_MAX_FIELD_ERRORS]
        ],
    )


def _challenged(headers: httpx.Headers) -> ErrorBody | None:
    for challenge in parse_challenges(headers.get_list("WWW-Authenticate")):
        if challenge.scheme == "bearer" and challenge.parameters.get("error"):
            return ErrorBody(
                code=challenge.parameters["error"], description=challenge.parameters.get("error_description")
            )
    return None

"""`raise_for_status`: raise an API's error response as an `ApiError`."""

from __future__ import annotations

import time
from typing import Any, TypeVar

from seic._api.replayable_body import NOT_REPLAYED
from seic._errors import ApiError
from seic._model.provider import Provider
from seic._oauth.api_errors import parse_api_error
from seic._oauth.challenges import parse_retry_after
from seic._oauth.providers import SEI_GATEWAY
from seic._oauth.redact import credentials_of, find_tracking_id
from seic._public import publish

_R = TypeVar("_R")

_FIRST_ERROR = 400


def raise_for_status(reply: _R, *, provider: Provider = SEI_GATEWAY) -> _R:
    """Return an API's reply; raise `ApiError` if it is an error.

    A redirect is not an error. Of a reply that is being streamed only status and headers are read, unless its body was
    read before.

    Args:
        reply: A response of httpx or httpx2.
        provider: The API's provider, which names the header of the tracking id and the members of errors.

    Raises:
        LoggedInElsewhere: A login elsewhere ended the account's only session.
        ApiError: Any other status of 400 and above, with or without the provider's error document.
    """
    # Two functions, so that no frame of the traceback holds the body.
    error = _error_of(reply, provider)
    if error is None:
        return reply
    raise error


def _error_of(response: Any, provider: Provider) -> ApiError | None:
    status: int = response.status_code
    if status < _FIRST_ERROR:
        return None
    try:
        body: bytes = response.content
    except RuntimeError:  # it is being streamed
        body = b""
    now, secrets = time.time(), credentials_of(response)
    error = parse_api_error(
        provider=provider, status=status, headers=response.headers, body=body, now=now, secrets=secrets
    ) or ApiError(
        f"the API answered {status}",
        status=status,
        tracking_id=find_tracking_id(response.headers, provider.tracking_header, secrets=secrets),
        retry_after=parse_retry_after(response.headers.get("Retry-After"), now=now),
    )
    if NOT_REPLAYED in response.extensions:
        error.add_note(f"It was not sent again with a new token: {response.extensions[NOT_REPLAYED]}.")
    return error


publish("seic", ["raise_for_status"], globals())

"""`RetryTransport`: retry idempotent API requests.

It is a transport and no auth flow: it works in any client, and retries a request with the token that it carries.
"""

from __future__ import annotations

import logging
import math
import ssl
import sys
from random import random
from time import sleep as block
from time import time
from types import TracebackType
from typing import Any, Self

from seic._api.body_prefix import read_prefix, read_prefix_sync
from seic._api.replayable_body import ReplayableBody
from seic._errors import CertificateError, ConfigurationError
from seic._httpx import PROOFS, AsyncBaseTransport, BaseTransport, either
from seic._model.provider import Provider
from seic._oauth.providers import SEI_GATEWAY
from seic._oauth.redact import credentials_in, find_tracking_id
from seic._public import publish
from seic._values import frozen

#: The idempotent methods (RFC 9110 §9.2.2).
_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
#: Statuses to retry if the provider does not say: RFC 9110 §15.5.9, §15.6.3 to §15.6.5, RFC 6585 §4.
_TRANSIENT = frozenset({408, 429, 502, 503, 504})
_UNAUTHORIZED = 401
_FIRST_ERROR = 400
#: The upper limit of the first pause, in seconds. It doubles with each attempt, and the pause is a random share of it
#: (full jitter).
_FIRST_PAUSE = 0.5

#: A connection that failed, or a response that did not arrive. `PoolTimeout` is not among them: more requests do not
#: help a pool without a free connection.
_LOST = ("NetworkError", "RemoteProtocolError", "ConnectTimeout", "ReadTimeout", "WriteTimeout")

_logger = logging.getLogger("seic.api")


@frozen(kw_only=True)
class Retry:
    """The number of attempts and the pauses between them.

    Requests with an idempotent method (GET, HEAD, OPTIONS, TRACE, PUT, DELETE) are retried if their body can be sent
    again. The provider's `transient` decides; without it, a lost connection, a timeout, and 408, 429, 502, 503 and 504
    are retried. A certificate that was refused, on either side, is not: it would be refused again. Pauses grow and are
    random; `Retry-After` is obeyed.

    Args:
        attempts: The maximum number of attempts, the first included.
        longest_pause: The maximum pause, in seconds. A response whose `Retry-After` is longer is returned at once.

    Raises:
        ConfigurationError: A number is not valid.
    """

    attempts: int = 3
    longest_pause: float = 10.0

    def __attrs_post_init__(self) -> None:
        """Refuse invalid numbers."""
        if isinstance(self.attempts, bool) or not isinstance(self.attempts, int) or self.attempts < 1:
            raise ConfigurationError("retry.attempts: must be a whole number, 1 or more", field="retry.attempts")
        is_number = isinstance(self.longest_pause, int | float) and not isinstance(self.longest_pause, bool)
        if not is_number or not 0 <= self.longest_pause < math.inf:
            raise ConfigurationError("retry.longest_pause: must be seconds, 0 or more", field="retry.longest_pause")

    def pause_after(self, attempt: int, *, asked: float | None, chance: float) -> float | None:
        """Return the pause before the next attempt, in seconds; None if there must be none.

        Args:
            attempt: The number of attempts so far.
            asked: The seconds of `Retry-After`, or None.
            chance: A random number in [0, 1).
        """
        if attempt >= self.attempts:
            return None
        if asked is not None:
            return asked if asked <= self.longest_pause else None
        return float(min(_FIRST_PAUSE * 2 ** (attempt - 1), self.longest_pause)) * chance


class RetryTransport(AsyncBaseTransport, BaseTransport):
    """A transport for httpx or httpx2 that retries idempotent requests through another transport.

    Args:
        transport: The transport that sends: an async one for an async client, a blocking one for a blocking client.
        retry: The number of attempts and the pauses.
        provider: The API's provider, which names the header of the tracking id.
    """

    def __init__(self, transport: Any, retry: Retry | None = None, *, provider: Provider = SEI_GATEWAY) -> None:
        #: The transport that sends.
        self.inner = transport
        self._retry = retry or Retry()
        self._tracking_header = provider.tracking_header

    async def handle_async_request(self, request: Any) -> Any:
        """Send the request, and retry it if necessary."""
        if request.method not in _IDEMPOTENT:
            return await self.inner.handle_async_request(request)
        body = ReplayableBody(request.stream)
        await body.save_position()
        handled = sys.exception()
        attempt = 1
        while True:
            try:
                response = await self.inner.handle_async_request(request)
            except either(*_LOST) as error:
                pause = self._after_loss(error, handled, attempt, request)
                if pause is None or not await body.rewind():
                    raise
            else:
                prefix = await read_prefix(response) if _has_error_document(response) else None
                pause = self._after_response(response, prefix, attempt, request)
                if pause is None or not await body.rewind():
                    return response
                await response.aclose()
            import anyio

            await anyio.sleep(pause)
            if (proofs := request.extensions.get(PROOFS)) is not None:
                proofs.sign_retry(request)
            attempt += 1

    def handle_request(self, request: Any) -> Any:
        """Send the request, and retry it if necessary."""
        if request.method not in _IDEMPOTENT:
            return self.inner.handle_request(request)
        body = ReplayableBody(request.stream)
        body.save_position_sync()
        handled = sys.exception()
        attempt = 1
        while True:
            try:
                response = self.inner.handle_request(request)
            except either(*_LOST) as error:
                pause = self._after_loss(error, handled, attempt, request)
                if pause is None or not body.rewind_sync():
                    raise
            else:
                prefix = read_prefix_sync(response) if _has_error_document(response) else None
                pause = self._after_response(response, prefix, attempt, request)
                if pause is None or not body.rewind_sync():
                    return response
                response.close()
            block(pause)
            if (proofs := request.extensions.get(PROOFS)) is not None:
                proofs.sign_retry(request)
            attempt += 1

    async def aclose(self) -> None:
        """Close the connections."""
        await self.inner.aclose()

    def close(self) -> None:
        """Close the connections."""
        self.inner.close()

    async def __aenter__(self) -> Self:
        await self.inner.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        """Close the connections."""
        await self.inner.__aexit__(exc_type, exc_value, traceback)

    def __enter__(self) -> Self:
        self.inner.__enter__()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        """Close the connections."""
        self.inner.__exit__(exc_type, exc_value, traceback)

    def _after_loss(self, error: Exception, handled: BaseException | None, attempt: int, request: Any) -> float | None:
        if _is_certificate_error(error, handled):
            return None
        return self._pause(type(error).__name__, None, attempt, request)

    def _after_response(self, response: Any, prefix: bytes | None, attempt: int, request: Any) -> float | None:
        status = response.status_code
        if not _is_transient(status, prefix or b""):
            return None
        from seic._oauth.challenges import parse_retry_after

        asked = parse_retry_after(response.headers.get("Retry-After"), now=time())
        # Of the request: httpx has not linked it to the response yet.
        secrets = credentials_in(request)
        tracking_id = find_tracking_id(response.headers, self._tracking_header, secrets=secrets)
        return self._pause(f"{status} (tracking_id={tracking_id})", asked, attempt, request)

    def _pause(self, reason: str, asked: float | None, attempt: int, request: Any) -> float | None:
        pause = self._retry.pause_after(attempt, asked=asked, chance=random())  # noqa: S311  # no secret
        if pause is not None:
            url = request.url.copy_with(query=None, fragment=None)
            _logger.info(
                "%s %s: %s; retry in %.2f s if its body can be sent again (attempt %d of %d)",
                request.method,
                url,
                reason,
                pause,
                attempt,
                self._retry.attempts,
                extra={"method": request.method, "url": str(url)},
            )
        return pause


def _is_certificate_error(error: BaseException, handled: BaseException | None) -> bool:
    """Whether it is about a certificate, ours or the server's; an exception that the caller was handling is skipped."""
    seen = {id(handled)}
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        if isinstance(link, (CertificateError, ssl.SSLCertVerificationError)):
            return True
        seen.add(id(link))
        link = link.__cause__ or link.__context__
    return False


def _has_error_document(response: Any) -> bool:
    """Whether the body may be an error document with `transient`."""
    return response.status_code >= _FIRST_ERROR and "json" in response.headers.get("Content-Type", "").lower()


def _is_transient(status: int, body: bytes) -> bool:
    if status < _FIRST_ERROR or status == _UNAUTHORIZED:  # a rejected token stays rejected
        return False
    from seic._oauth.error_body import read_error

    error = read_error(body)
    return status in _TRANSIENT if error is None or error.transient is None else error.transient


publish("seic", ["Retry", "RetryTransport"], globals())

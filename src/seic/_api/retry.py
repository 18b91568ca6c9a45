"""An opt-in for those who want idempotent calls repeated when the API says that this may help.

A transport and no auth flow, so that it serves any client, and repeats a call with the token that it has.
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

import attrs
import httpx

from seic._api.body_prefix import peek, peek_async
from seic._api.dpop_signer import prove_anew
from seic._api.replay import ReplayableBody
from seic._errors import CertificateError, ConfigurationError
from seic._model.provider import Provider
from seic._oauth.challenges import parse_retry_after
from seic._oauth.error_body import read_error
from seic._oauth.providers import SEI_GATEWAY
from seic._oauth.redact import credentials_in, find_tracking_id
from seic._runtime import sleep

#: RFC 9110 §9.2.2: sent twice, they do what they do once.
_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
#: What passes by itself, where the provider does not say: RFC 9110 §15.5.9, §15.6.3 to §15.6.5, RFC 6585 §4.
_PASSING = frozenset({408, 429, 502, 503, 504})
_UNAUTHORIZED = 401
_FIRST_ERROR = 400
#: The upper end of the first pause, in seconds; it doubles with each, and the pause is drawn from all below (full
#: jitter).
_FIRST_PAUSE = 0.5

#: A connection that failed, or an answer that did not come. A pool without a free connection is none of these: more
#: calls would not help it.
_LOST: tuple[type[Exception], ...] = (
    httpx.NetworkError,
    httpx.RemoteProtocolError,
    httpx.ConnectTimeout,
    httpx.ReadTimeout,
    httpx.WriteTimeout,
)
try:
    import httpx2
except ModuleNotFoundError:
    pass
else:
    _LOST += (
        httpx2.NetworkError,
        httpx2.RemoteProtocolError,
        httpx2.ConnectTimeout,
        httpx2.ReadTimeout,
        httpx2.WriteTimeout,
    )

_logger = logging.getLogger("seic.api")


@attrs.frozen(kw_only=True)
class Retry:
    """How often a call is sent, and how long it may pause in between.

    Repeated are the idempotent methods (GET, HEAD, OPTIONS, TRACE, PUT, DELETE) with a body that can be sent again. The
    provider's `transient` decides; where it says nothing, a lost connection, a timeout, and 408, 429, 502, 503 and 504
    are repeated. A certificate that was refused, on either side, is not: it would be again. Pauses grow and are drawn
    by chance; `Retry-After` is kept to.

    Args:
        attempts: How often a call is sent at most, the first time included.
        longest_pause: Seconds. A call whose `Retry-After` asks for more is handed on at once.

    Raises:
        ConfigurationError: A number makes no sense.
    """

    attempts: int = 3
    longest_pause: float = 10.0

    def __attrs_post_init__(self) -> None:
        """Refuse numbers that make no sense."""
        if isinstance(self.attempts, bool) or not isinstance(self.attempts, int) or self.attempts < 1:
            raise ConfigurationError("retry.attempts: must be a whole number, 1 or more", field="retry.attempts")
        is_number = isinstance(self.longest_pause, int | float) and not isinstance(self.longest_pause, bool)
        if not is_number or not 0 <= self.longest_pause < math.inf:
            raise ConfigurationError("retry.longest_pause: must be seconds, 0 or more", field="retry.longest_pause")

    def pause_after(self, attempt: int, *, asked: float | None, chance: float) -> float | None:
        """Return the pause before the next attempt, in seconds; None where there is none.

        Args:
            attempt: How often the call has been sent.
            asked: What `Retry-After` asks for, or None.
            chance: A random number in [0, 1).
        """
        if attempt >= self.attempts:
            return None
        if asked is not None:
            return asked if asked <= self.longest_pause else None
        return float(min(_FIRST_PAUSE * 2 ** (attempt - 1), self.longest_pause)) * chance


class RetryTransport(httpx.AsyncBaseTransport, httpx.BaseTransport):
    """A transport of httpx or httpx2 that repeats idempotent calls through another one.

    Args:
        transport: What sends: an async transport for an async client, a blocking one for a blocking client.
        retry: How often.
        provider: Whose API it is; it names the header of the tracking id.
    """

    def __init__(self, transport: Any, retry: Retry | None = None, *, provider: Provider = SEI_GATEWAY) -> None:
        #: What sends.
        self.inner = transport
        self._retry = retry or Retry()
        self._tracking_header = provider.tracking_header

    async def handle_async_request(self, request: Any) -> Any:
        """Send the request, more than once if need be."""
        if request.method not in _IDEMPOTENT:
            return await self.inner.handle_async_request(request)
        body = ReplayableBody(request.stream)
        await body.mark_async()
        handled = sys.exception()
        attempt = 1
        while True:
            try:
                response = await self.inner.handle_async_request(request)
            except _LOST as error:
                pause = self._after_loss(error, handled, attempt, request)
                if pause is None or not await body.rewind_async():
                    raise
            else:
                said = await peek_async(response) if _explains_itself(response) else None
                pause = self._after_answer(response, said, attempt, request)
                if pause is None or not await body.rewind_async():
                    return response
                await response.aclose()
            await sleep(pause)
            prove_anew(request)
            attempt += 1

    def handle_request(self, request: Any) -> Any:
        """Send the request, more than once if need be."""
        if request.method not in _IDEMPOTENT:
            return self.inner.handle_request(request)
        body = ReplayableBody(request.stream)
        body.mark()
        handled = sys.exception()
        attempt = 1
        while True:
            try:
                response = self.inner.handle_request(request)
            except _LOST as error:
                pause = self._after_loss(error, handled, attempt, request)
                if pause is None or not body.rewind():
                    raise
            else:
                said = peek(response) if _explains_itself(response) else None
                pause = self._after_answer(response, said, attempt, request)
                if pause is None or not body.rewind():
                    return response
                response.close()
            block(pause)
            prove_anew(request)
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
        if _is_verdict(error, handled):
            return None
        return self._pause(type(error).__name__, None, attempt, request)

    def _after_answer(self, response: Any, said: bytes | None, attempt: int, request: Any) -> float | None:
        status = response.status_code
        if not _may_pass(status, said or b""):
            return None
        asked = parse_retry_after(response.headers.get("Retry-After"), now=time())
        # The reply knows of no request yet.
        secrets = credentials_in(request)
        tracking_id = find_tracking_id(response.headers, self._tracking_header, secrets=secrets)
        return self._pause(f"{status} (tracking_id={tracking_id})", asked, attempt, request)

    def _pause(self, reason: str, asked: float | None, attempt: int, request: Any) -> float | None:
        pause = self._retry.pause_after(attempt, asked=asked, chance=random())  # noqa: S311  # no secret
        if pause is not None:
            _logger.info(
                "%s %s met %s, and is sent again in %.2f s unless its body cannot be (attempt %d of %d)",
                request.method,
                request.url.copy_with(query=None, fragment=None),
                reason,
                pause,
                attempt,
                self._retry.attempts,
            )
        return pause


def _is_verdict(error: BaseException, handled: BaseException | None) -> bool:
    """Whether it is about a certificate, ours or the server's; what the caller was handling is not looked at."""
    seen = {id(handled)}
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        if isinstance(link, (CertificateError, ssl.SSLCertVerificationError)):
            return True
        seen.add(id(link))
        link = link.__cause__ or link.__context__
    return False


def _explains_itself(response: Any) -> bool:
    """Whether the body of an error is worth reading: it is in a form that may speak of `transient`."""
    return response.status_code >= _FIRST_ERROR and "json" in response.headers.get("Content-Type", "").lower()


def _may_pass(status: int, body: bytes) -> bool:
    if status < _FIRST_ERROR or status == _UNAUTHORIZED:  # a bad token does not get better
        return False
    form = read_error(body)
    return status in _PASSING if form is None or form.transient is None else form.transient

"""`RateLimitTransport`: has requests wait while the API asks for a pause; see `RateLimit`."""

from __future__ import annotations

from typing import Any

from seic._api.rate_limit import RateLimit
from seic._errors import ConfigurationError
from seic._model.token import is_number

#: The key in a request's `extensions` of the seconds that it may wait, in place of the setting.
TIMEOUT = "seic.rate_limit_timeout"


class RateLimitTransport:
    """Sends requests of one library through another transport.

    Args:
        inner: The transport that sends.
        limit: The limit that all clients of the process share.
        timeout: The longest wait of a request, in seconds.
    """

    def __init__(self, inner: Any, limit: RateLimit, timeout: float) -> None:
        self._inner = inner
        self._limit = limit
        self._timeout = timeout

    async def handle_async_request(self, request: Any) -> Any:
        """Send the request when it is its turn.

        Raises:
            TooManyRequests: It would have to wait for longer than `rate_limit_timeout`.
        """
        limit, number, response = self._limit, 0, None
        self._look()
        if limit.is_on:
            number = await limit.enter(self._seconds(request))
        try:
            response = await self._inner.handle_async_request(request)
        finally:
            limit.leave(number, response)
        return response

    def handle_request(self, request: Any) -> Any:
        """Send the request when it is its turn; see `handle_async_request`."""
        limit, number, response = self._limit, 0, None
        self._look()
        if limit.is_on:
            number = limit.enter_sync(self._seconds(request))
        try:
            response = self._inner.handle_request(request)
        finally:
            limit.leave(number, response)
        return response

    def count_connections(self) -> tuple[int, int]:
        """Return the numbers of connections in use and idle."""
        found: tuple[int, int] = self._inner.count_connections()
        return found

    async def aclose(self) -> None:
        """Close the connections."""
        if self._limit.shared is not None:
            await self._limit.shared.drain()
        await self._inner.aclose()

    def close(self) -> None:
        """Close the connections."""
        if self._limit.shared is not None:
            self._limit.shared.drain_sync()
        self._inner.close()

    async def __aexit__(self, *error: object) -> None:
        """Close the connections."""
        if self._limit.shared is not None:
            await self._limit.shared.drain()
        await self._inner.__aexit__(*error)

    def __exit__(self, *error: object) -> None:
        """Close the connections."""
        if self._limit.shared is not None:
            self._limit.shared.drain_sync()
        self._inner.__exit__(*error)

    def _seconds(self, request: Any) -> float:
        seconds: Any = request.extensions.get(TIMEOUT, self._timeout)
        if not is_number(seconds) or seconds < 0:
            raise ConfigurationError(f"{TIMEOUT}: must be 0 seconds or more, and finite", field=TIMEOUT)
        return float(seconds)

    def _look(self) -> None:
        if (shared := self._limit.shared) is not None:
            shared.look()

"""The API of the benchmarks: in the same process, without the noise of a connection pool, with a network's delay."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import httpx


def no_delay() -> float:
    """Return no delay."""
    return 0.0


class Api(httpx.AsyncBaseTransport):
    """Accepts every request whose token is not revoked.

    Args:
        delay: Returns the seconds that a request takes.
    """

    def __init__(self, delay: Callable[[], float] = no_delay) -> None:
        self.delay = delay
        #: The credentials of the requests so far.
        self.seen: set[str] = set()
        #: Revoked credentials.
        self.revoked: set[str] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request."""
        await asyncio.sleep(self.delay())
        credentials = request.headers["Authorization"]
        self.seen.add(credentials)
        if credentials in self.revoked:
            return httpx.Response(401, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})
        return httpx.Response(200)


class NoOp(httpx.AsyncBaseTransport):
    """Answers at once without any check, so that only the client's own work remains."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request."""
        return httpx.Response(200)


class Split(httpx.AsyncBaseTransport):
    """Sends requests below a path to one transport, and all others to another."""

    def __init__(self, path: str, below: httpx.AsyncBaseTransport, others: httpx.AsyncBaseTransport) -> None:
        self._path = path
        self._below = below
        self._others = others

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Pass the request to its transport."""
        carrier = self._below if request.url.path.startswith(self._path) else self._others
        return await carrier.handle_async_request(request)

    async def aclose(self) -> None:
        """Close both transports."""
        await self._below.aclose()
        await self._others.aclose()


def spread(least: float, most: float) -> Callable[[], float]:
    """Return random delays between two limits, in seconds: the same series for each library."""
    chance = random.Random(1)
    return lambda: chance.uniform(least, most)


def always(seconds: float) -> Callable[[], float]:
    """Return a constant delay."""
    return lambda: seconds

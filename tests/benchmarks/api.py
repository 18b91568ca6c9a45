"""The API that is called: in this process, so that no connection pool is the noise, with a delay like a network's."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import httpx


def no_delay() -> float:
    """Return nothing to wait for."""
    return 0.0


class Api(httpx.AsyncBaseTransport):
    """Takes every call whose token was not revoked.

    Args:
        delay: Gives the seconds that a call takes.
    """

    def __init__(self, delay: Callable[[], float] = no_delay) -> None:
        self.delay = delay
        #: The credentials that calls came with, each once.
        self.seen: set[str] = set()
        #: Those that are not taken any more.
        self.revoked: set[str] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a call."""
        await asyncio.sleep(self.delay())
        credentials = request.headers["Authorization"]
        self.seen.add(credentials)
        if credentials in self.revoked:
            return httpx.Response(401, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})
        return httpx.Response(200)


class NoOp(httpx.AsyncBaseTransport):
    """Answers at once, looking at nothing: what is left is the client's own work."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a call."""
        return httpx.Response(200)


class Split(httpx.AsyncBaseTransport):
    """Sends calls below a path to one transport and all others to another, for a client that sends both through one."""

    def __init__(self, path: str, below: httpx.AsyncBaseTransport, others: httpx.AsyncBaseTransport) -> None:
        self._path = path
        self._below = below
        self._others = others

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Pass a call on."""
        carrier = self._below if request.url.path.startswith(self._path) else self._others
        return await carrier.handle_async_request(request)

    async def aclose(self) -> None:
        """Close both."""
        await self._below.aclose()
        await self._others.aclose()


def spread(least: float, most: float) -> Callable[[], float]:
    """Return a delay that lies anywhere between two, in seconds: the same row of them for whoever is measured."""
    chance = random.Random(1)
    return lambda: chance.uniform(least, most)


def always(seconds: float) -> Callable[[], float]:
    """Return a delay that is the same for each call."""
    return lambda: seconds

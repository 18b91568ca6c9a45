"""One interface to both kinds of client, so that a test runs with both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal, Protocol, TypeAlias

import httpx

import seic

Kind: TypeAlias = Literal["async", "blocking"]
KINDS: tuple[Kind, ...] = ("async", "blocking")


class Face(Protocol):
    """The common interface."""

    async def request(self, method: str, url: str, **options: Any) -> httpx.Response:
        """Send a request."""
        ...

    async def get(self, url: str, **options: Any) -> httpx.Response:
        """Send a request."""
        ...

    async def token(self, *, force: bool = False) -> seic.Token:
        """Return the token."""
        ...

    async def revoke(self) -> None:
        """Revoke the token."""
        ...

    @property
    def stats(self) -> Any:
        """The counters."""
        ...


class _Async:
    def __init__(self, client: seic.AsyncClient) -> None:
        self._client = client

    async def request(self, method: str, url: str, **options: Any) -> httpx.Response:
        return await self._client.request(method, url, **options)

    async def get(self, url: str, **options: Any) -> httpx.Response:
        return await self._client.get(url, **options)

    async def token(self, *, force: bool = False) -> seic.Token:
        return await self._client.token(force=force)

    async def revoke(self) -> None:
        await self._client.revoke()

    @property
    def stats(self) -> Any:
        return self._client.stats


class _Blocking:
    def __init__(self, client: seic.Client) -> None:
        self._client = client

    async def request(self, method: str, url: str, **options: Any) -> httpx.Response:
        return await asyncio.to_thread(self._client.request, method, url, **options)

    async def get(self, url: str, **options: Any) -> httpx.Response:
        return await asyncio.to_thread(self._client.get, url, **options)

    async def token(self, *, force: bool = False) -> seic.Token:
        return await asyncio.to_thread(self._client.token, force=force)

    async def revoke(self) -> None:
        await asyncio.to_thread(self._client.revoke)

    @property
    def stats(self) -> Any:
        return self._client.stats


@asynccontextmanager
async def open_client(kind: Kind, config: seic.Config, **options: Any) -> AsyncIterator[Face]:
    """Open a client of a kind; a blocking one runs in threads."""
    if kind == "async":
        async with seic.AsyncClient(config, **options) as client:
            yield _Async(client)
        return
    with seic.Client(config, **options) as blocking:
        yield _Blocking(blocking)

"""Clients of seic that call a TLS server, and the error of a call that fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeAlias

import httpx
import pytest

import seic
from tests._support.pki import Minted, authority

OTHER = authority("Other Root", 71)
Call: TypeAlias = Callable[[seic.Config], httpx.Response]


def configure(
    port: int, *, client: Minted | None = None, ca: Minted | None = None, host: str = "localhost"
) -> seic.Config:
    """Return a configuration for a server on loopback that presents the client's certificate."""
    origin = f"{host}:{port}"
    return seic.Config(
        provider=seic.OAUTH2,
        hosts=seic.Hosts(mtls=origin, api=origin),
        client_id="client",
        client_secret="secret",
        grant=seic.ClientCredentials(),
        certificate=None if client is None else seic.ClientCertificate.load(client.pair),
        ca=(ca or authority()).pem,
        trust_env=False,
    )


def call(config: seic.Config) -> httpx.Response:
    """Send a request from a thread."""
    with httpx.Client(transport=seic.Transport(config)) as client:
        return client.get(config.base_url)


def call_async(config: seic.Config) -> httpx.Response:
    """Send a request from an event loop."""

    async def get() -> httpx.Response:
        async with httpx.AsyncClient(transport=seic.AsyncTransport(config)) as client:
            return await client.get(config.base_url)

    return asyncio.run(get())


CALLS: list[Call] = [call, call_async]


def fail(send: Call, config: seic.Config) -> httpx.TransportError:
    """Send a request that fails, and return its error, which begins with host and port."""
    with pytest.raises(httpx.TransportError) as caught:
        send(config)
    assert str(caught.value).startswith(httpx.URL(config.base_url).netloc.decode() + ": ")
    return caught.value

"""One token call, sent in each way to a server on loopback that answers as a test wants."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from typing import Any

import attrs
import httpx
import trio

import seic
from seic._config import network_of
from seic._network.transport_factory import TransportFactory
from seic._oauth.reply import Reply
from seic._portal import run
from seic._tokens.exchange import TransportSource, exchange
from seic._transport import identity_of
from tests._support.loopback import RawServer

SECRET = "AppSecret-1"
PASSWORD = "pass word-1"


@attrs.frozen
class Sender:
    """Sends what a test gives it.

    Args:
        transports: Opens a transport for each request.
        provider: The dialect.
    """

    transports: TransportSource
    provider: seic.Provider = seic.OAUTH2

    async def send(self, request: httpx.Request, seconds: float) -> Reply:
        """Send a request."""
        return await exchange(self.transports, request, seconds=seconds, provider=self.provider)


Call = Callable[[Sender, httpx.Request, float], Reply]


def send_blocking(sender: Sender, request: httpx.Request, seconds: float) -> Reply:
    """Send without an event loop."""
    return run(lambda: sender.send(request, seconds))


def send_in_asyncio(sender: Sender, request: httpx.Request, seconds: float) -> Reply:
    """Send in an event loop of asyncio's."""
    return asyncio.run(sender.send(request, seconds))


def send_in_trio(sender: Sender, request: httpx.Request, seconds: float) -> Reply:
    """Send in trio."""
    reply: Reply = trio.run(sender.send, request, seconds)
    return reply


def config(url: str, **changes: Any) -> seic.Config:
    """Return settings for a server on loopback."""
    settings: dict[str, Any] = {
        "provider": seic.SEI_GATEWAY,
        "hosts": seic.Hosts(api=url, allow_http_on_loopback=True),
        "client_id": "AppKey-1",
        "client_secret": SECRET,
        "grant": seic.ClientCredentials(username="svc-user", password=PASSWORD),
    }
    return seic.Config(**{**settings, **changes})


def transports_of(
    settings: seic.Config, transport: httpx.AsyncBaseTransport | httpx.BaseTransport | None = None
) -> TransportFactory:
    """Return what opens the transports of the settings' token calls."""
    return TransportFactory(
        settings.token_url, identity=identity_of(settings), network=network_of(settings), transport=transport
    )


def sender_to(settings: seic.Config) -> Sender:
    """Return a sender that goes over the network."""
    return Sender(transports_of(settings))


def request_to(url: str) -> httpx.Request:
    """Return a token request with secrets in its headers and form."""
    return httpx.Request(
        "POST",
        f"{url}/v2/oauthtoken",
        headers={"Authorization": "Basic " + base64.b64encode(f"AppKey-1:{SECRET}".encode()).decode()},
        data={"grant_type": "client_credentials", "username": "svc-user", "password": PASSWORD},
    )


def answering(raw: bytes) -> RawServer:
    """Return a server that gives this answer, as it is."""
    return RawServer(lambda connection: connection.sendall(raw))


def http(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """Return an answer of HTTP/1.1."""
    lines = [f"HTTP/1.1 {status}", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body

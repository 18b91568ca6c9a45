"""Handshakes that fail, by each kind of client, and what is said of them."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from seic._tls.certificate import ClientCertificate
from seic._tls.context import build_context
from seic._tls.diagnose import Explanation, HandshakeContext, explain_failure
from seic._tls.trust import read_trust
from tests._support.pki import NOW, Minted, authority
from tests._support.tls_servers import call

OTHER = authority("Other Root", 71)


def by_socket(context: ssl.SSLContext, port: int, host: str) -> object:
    """Call as a program on a plain socket does."""
    return call(context, port, host)


def by_httpx(context: ssl.SSLContext, port: int, host: str) -> object:
    """Call by httpx from a thread."""
    with httpx.Client(verify=context, trust_env=False) as client:
        return client.get(f"https://{host}:{port}/")


def by_async_httpx(context: ssl.SSLContext, port: int, host: str) -> object:
    """Call by httpx from an event loop."""

    async def get() -> httpx.Response:
        async with httpx.AsyncClient(verify=context, trust_env=False) as client:
            return await client.get(f"https://{host}:{port}/")

    return asyncio.run(get())


def by_strict_socket(context: ssl.SSLContext, port: int, host: str) -> object:
    """Call on a socket that takes no end of the stream for an answer; ssl's own default hides one without an alert."""
    with (
        socket.create_connection((host, port), timeout=10) as raw,
        context.wrap_socket(raw, server_hostname=host, suppress_ragged_eofs=False) as stream,
    ):
        stream.sendall(b"GET / HTTP/1.1\r\n\r\n")
        return stream.recv(65536)


STYLES = [by_socket, by_httpx, by_async_httpx]


def fail(
    style: Callable[[ssl.SSLContext, int, str], object],
    port: int,
    *,
    client: ClientCertificate | None = None,
    ca: Minted | None = None,
    host: str = "localhost",
) -> Explanation:
    """Connect, expect a failure, and return its explanation."""
    context = build_context(client, read_trust((ca or authority()).pem))
    with pytest.raises((OSError, httpx.TransportError)) as caught:
        style(context, port, host)
    explained = explain_failure(
        caught.value, HandshakeContext(host=host, port=port, certificate=client, now=NOW, context=context)
    )
    assert explained is not None
    assert explained.text.startswith(f"{host}:{port}: ")
    return explained


def load(minted: Minted) -> ClientCertificate:
    """Load with the pair in one file."""
    return ClientCertificate.load(minted.pair)


def handshake(
    certificate: ClientCertificate | None = None, host: str = "mtls.example", now: Any = NOW
) -> HandshakeContext:
    """A handshake for what no server of the tests says."""
    return HandshakeContext(host=host, port=443, certificate=certificate, now=now)


def openssl_error(reason: str | None, text: str = "") -> ssl.SSLError:
    """An error as OpenSSL's are."""
    error = ssl.SSLError(1, text)
    error.reason = reason  # type: ignore[assignment]
    return error


def weak(context: ssl.SSLContext) -> None:
    """Let a server use what is too weak for its OpenSSL."""
    context.set_ciphers("ALL:@SECLEVEL=0")

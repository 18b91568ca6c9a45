"""The sandbox's ports without an HTTP client: TLS as it is, and bytes over it."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator

import httpx

from seic.sandbox import Sandbox
from tests._support.sandbox_client import token_form, token_headers


def port_of(url: str) -> int:
    """Return the port that a URL names."""
    port = httpx.URL(url).port
    assert port is not None
    return port


@contextlib.contextmanager
def tls_socket(url: str, context: ssl.SSLContext) -> Iterator[ssl.SSLSocket]:
    """Connect to a URL's port without any HTTP."""
    with (
        socket.create_connection(("localhost", port_of(url)), timeout=30) as raw,
        context.wrap_socket(raw, server_hostname="localhost") as secure,
    ):
        yield secure


def exchange(url: str, context: ssl.SSLContext, sent: bytes) -> bytes:
    """Send bytes over TLS and return all that comes back."""
    with tls_socket(url, context) as secure:
        secure.sendall(sent)
        received = b""
        while chunk := secure.recv(65536):
            received += chunk
        return received


def token_call(sandbox: Sandbox) -> bytes:
    """Return the bytes of a token call."""
    form = str(httpx.QueryParams(token_form(sandbox))).encode()
    headers = {
        **token_headers(sandbox),
        "Host": "localhost",
        "Connection": "close",
        "Content-Type": "application/x-www-form-urlencoded",
        "Content-Length": str(len(form)),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST /v2/oauthtoken HTTP/1.1\r\n{head}\r\n".encode() + form

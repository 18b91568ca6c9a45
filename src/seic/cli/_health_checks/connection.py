"""Plain connections to a server, through the configured proxy if there is one, one step at a time."""

from __future__ import annotations

import base64
import contextlib
import socket
import ssl
from collections.abc import Iterator
from urllib.parse import unquote

import attrs
import httpx

from seic._model.hosts import Origin
from seic._x509.certificate_info import CertificateInfo

#: The most bytes of an answer that are read.
_MAX_REPLY = 65536


class ProxyConnectError(Exception):
    """The proxy opened no tunnel; the message has its answer.

    Args:
        message: The answer.
        status: Its status; None without one.
    """

    def __init__(self, message: str, status: str | None = None) -> None:
        super().__init__(message)
        self.status = status


@attrs.frozen
class ServerResponse:
    """The beginning of a server's answer to `GET /` without a token."""

    status: int
    headers: httpx.Headers
    body: bytes


def connect(origin: Origin, proxy: httpx.Proxy | None, timeout: float) -> socket.socket:
    """Return a TCP connection to the origin.

    Args:
        origin: The origin.
        proxy: An HTTP proxy; None for a direct connection.
        timeout: Seconds for each step.

    Raises:
        OSError: There is no connection.
        ProxyConnectError: The proxy opened no tunnel.
    """
    host, port = origin.host, origin.port
    if proxy is None:
        return socket.create_connection((host, port), timeout)
    raw = socket.create_connection((proxy.url.host, proxy.url.port or _default_port(proxy)), timeout)
    with contextlib.ExitStack() as stack:
        stack.push(raw)
        if proxy.url.scheme == "https":
            raw = ssl.create_default_context().wrap_socket(raw, server_hostname=proxy.url.host)
        _open_tunnel(raw, f"[{host}]:{port}" if ":" in host else f"{host}:{port}", proxy)
        stack.pop_all()
    return raw


def _default_port(proxy: httpx.Proxy) -> int:
    return 443 if proxy.url.scheme == "https" else 80


def _open_tunnel(raw: socket.socket, target: str, proxy: httpx.Proxy) -> None:
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if proxy.raw_auth is not None:
        lines.append(f"Proxy-Authorization: Basic {base64.b64encode(b':'.join(proxy.raw_auth)).decode()}")
    raw.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
    # One byte at a time: nothing of the tunnel may be read here.
    head = b""
    while not head.endswith(b"\r\n\r\n") and len(head) < _MAX_REPLY:
        some = raw.recv(1)
        if not some:
            break
        head += some
    status = head.partition(b"\r\n")[0].decode("latin-1")
    words = status.split(maxsplit=2)
    if len(words) < 2 or not words[1].startswith("2"):
        if len(words) < 2:
            raise ProxyConnectError("it closed the connection")
        raise ProxyConnectError(f"it answered {' '.join(words[1:])}", words[1])


def ask(stream: ssl.SSLSocket, origin: Origin, agent: str) -> ServerResponse | None:
    """Send `GET /` without a token, and return the beginning of the answer; None if the server closed the connection.

    Raises:
        OSError: The connection broke; under TLS 1.3, this is where a server refuses a client certificate.
    """
    host = str(origin).partition("://")[2]
    stream.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {agent}\r\nConnection: close\r\n\r\n".encode())
    received = b""
    for some in _parts(stream):
        received += some
        if len(received) >= _MAX_REPLY:
            break
    head, _, body = received.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    words = first.split(maxsplit=2)
    if len(words) < 2 or not words[0].startswith("HTTP/") or not words[1].isdecimal():
        return None
    pairs = [line.partition(":")[::2] for line in lines]
    return ServerResponse(int(words[1]), httpx.Headers([(name, value.strip()) for name, value in pairs]), body)


def _parts(stream: ssl.SSLSocket) -> Iterator[bytes]:
    received = False
    while True:
        try:
            some = stream.recv(4096)
        except OSError:
            # Many servers end without the closing alert; the answer is complete enough.
            if received:
                return
            raise
        if not some:
            return
        received = True
        yield some


def chain_of(stream: ssl.SSLSocket) -> list[CertificateInfo]:
    """Return the certificates that the server sent, its own first."""
    from seic._x509.decode import decode

    # Public from Python 3.13 on.
    source = stream if hasattr(stream, "get_unverified_chain") else getattr(stream, "_sslobj", None)
    try:
        sent = source.get_unverified_chain() or []  # type: ignore[union-attr]
    except AttributeError:
        sent = []
    ders = [one if isinstance(one, bytes) else ssl.PEM_cert_to_DER_cert(one.public_bytes()) for one in sent]
    leaf = stream.getpeercert(binary_form=True)
    found: list[CertificateInfo] = []
    for der in ders or ([leaf] if leaf else []):
        with contextlib.suppress(Exception):  # the server may send anything
            found.extend(link.facts for link in decode(der, "the server's certificate", lambda: None).certificates)
    return found


def credentials_of_proxy(proxy: httpx.Proxy) -> set[str]:
    """Return the user and password of a proxy, which no report may have."""
    return {unquote(part.decode("latin-1")) for part in proxy.raw_auth or () if part}

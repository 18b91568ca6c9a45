"""Closed connections: the message names the certificate as a cause if the handshake does not exclude it."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

import seic
from tests._support.pki import Minted, authority, mint, server
from tests._support.tls_servers import TLS12, TLS13, TlsServer

ROOT = authority()
CLIENT = mint(issuer=ROOT)
#: More than the buffers of the connection.
UPLOAD = b"x" * 3_000_000
AGREED = "without an answer after a TLS handshake with our certificate (CN=svc-user"
OPEN = "it may refuse our certificate (CN=svc-user"
SIZE = "request (for its size"


def config(far: TlsServer, client: Minted | None = CLIENT) -> seic.Config:
    """Return a configuration for that server."""
    host = f"localhost:{far.port}"
    return seic.Config(
        provider=seic.OAUTH2,
        hosts=seic.Hosts(mtls=host, api=host),
        client_id="client",
        client_secret="secret",
        grant=seic.ClientCredentials(),
        certificate=None if client is None else seic.ClientCertificate.load(client.pair),
        ca=ROOT.pem,
        trust_env=False,
    )


def blocking(stated: seic.Config, body: bytes) -> None:
    """Upload in a thread."""
    with httpx.Client(transport=seic.Transport(stated)) as client:
        client.post(stated.base_url, content=body)


def awaited(stated: seic.Config, body: bytes) -> None:
    """Upload in an event loop."""

    async def call() -> None:
        async with httpx.AsyncClient(transport=seic.AsyncTransport(stated)) as client:
            await client.post(stated.base_url, content=body)

    asyncio.run(call())


def _without_tickets(context: ssl.SSLContext) -> None:
    context.num_tickets = 0


@pytest.fixture
def serve() -> Iterator[Callable[..., TlsServer]]:
    """Start a server that closes connections without a response."""
    with contextlib.ExitStack() as running:

        def start(**how: Any) -> TlsServer:
            return running.enter_context(TlsServer(server(ROOT), **{"trusts": ROOT, "reply": b"", **how}))

        yield start


def failure(send: Callable[[seic.Config, bytes], None], stated: seic.Config, body: bytes) -> str:
    """Send, expect an error of httpx that is not of seic, and return its message."""
    with pytest.raises(httpx.TransportError) as caught:
        send(stated, body)
    assert not isinstance(caught.value, seic.SeicError)
    return str(caught.value)


SENDS = [blocking, awaited]


@pytest.mark.parametrize("body", [b"", b"x", UPLOAD], ids=["none", "small", "upload"])
@pytest.mark.parametrize("version", [TLS12, TLS13])
@pytest.mark.parametrize("send", SENDS)
def test_a_server_that_took_the_certificate_is_not_said_to_refuse_it(
    send: Any, version: ssl.TLSVersion, body: bytes, serve: Callable[..., TlsServer]
) -> None:
    """The handshake was complete: by its order in TLS 1.2, by the session tickets in TLS 1.3."""
    far = serve(version=version)
    said = failure(send, config(far), body)
    assert AGREED in said
    assert SIZE in said
    assert OPEN not in said


@pytest.mark.parametrize("send", SENDS)
def test_without_a_ticket_both_causes_stay_open(send: Any, serve: Callable[..., TlsServer]) -> None:
    """Without tickets the server may have refused the certificate or the request: the message names both."""
    said = failure(send, config(serve(version=TLS13, prepare=_without_tickets)), UPLOAD)
    assert OPEN in said
    assert SIZE in said
    assert AGREED not in said


@pytest.mark.parametrize("version", [TLS12, TLS13])
@pytest.mark.parametrize("send", SENDS)
def test_a_cut_upload_is_told_to_be_its_size_perhaps(
    send: Any, version: ssl.TLSVersion, serve: Callable[..., TlsServer]
) -> None:
    """A reset during a body can lose the tickets: no cause is certain, and the size is one of them."""
    said = failure(send, config(serve(version=version, reset=True)), UPLOAD)
    assert SIZE in said
    assert AGREED in said if version == TLS12 else OPEN in said or AGREED in said


@pytest.mark.parametrize("send", SENDS)
@pytest.mark.parametrize("body", [b"x", UPLOAD], ids=["small", "upload"])
def test_a_refused_certificate_is_never_said_to_be_taken(
    send: Any, body: bytes, serve: Callable[..., TlsServer]
) -> None:
    """Over TLS 1.3 the alert can be lost during a body, so the refusal stays among the causes."""
    far = serve(version=TLS13, trusts=authority("Other Root", 71))
    with pytest.raises((httpx.TransportError, seic.CertificateError)) as caught:
        send(config(far), body)
    if isinstance(caught.value, seic.CertificateError):
        assert caught.value.reason == "unknown-to-server"
    else:
        assert OPEN in str(caught.value)
    assert AGREED not in str(caught.value)


@pytest.mark.parametrize("send", SENDS)
def test_without_a_certificate_one_may_be_demanded(send: Any, serve: Callable[..., TlsServer]) -> None:
    """Servers that verify after the handshake require one in this way, whatever the handshake showed."""
    said = failure(send, config(serve(version=TLS13, demand=False), None), UPLOAD)
    assert "no client certificate is configured" in said

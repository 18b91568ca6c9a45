"""TLS and HTTP at both hosts."""

from __future__ import annotations

import asyncio
import datetime as dt
import socket
import ssl
from typing import Any

import httpx
import pytest

from seic.sandbox import CertificateAuthority, Sandbox
from tests._support.sandbox_client import ask_token, client_context, token_form, token_headers
from tests._support.sandbox_sockets import exchange, port_of, tls_socket, token_call

NOW = dt.datetime.now(dt.UTC)
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


# TLS


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("host", ["api_url", "mtls_url"])
def test_both_hosts_support_current_tls(host: str, version: ssl.TLSVersion, sandbox: Sandbox) -> None:
    """TLS 1.2 and 1.3, each with a client certificate."""
    context = client_context(sandbox.ca_pem, sandbox.issue_certificate())
    context.minimum_version = context.maximum_version = version
    with httpx.Client(base_url=getattr(sandbox, host), verify=context) as client:
        assert ask_token(client, sandbox).status_code == 200


@pytest.mark.parametrize("host", ["api_url", "mtls_url"])
def test_old_tls_is_refused(host: str, sandbox: Sandbox) -> None:
    """TLS 1.1 and earlier."""
    context = client_context(sandbox.ca_pem, sandbox.issue_certificate())
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"), tls_socket(getattr(sandbox, host), context):
        pass


@pytest.mark.parametrize("host", ["api_url", "mtls_url"])
@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "[::1]"])
def test_certificate_is_valid_for_every_name_of_loopback(name: str, host: str, sandbox: Sandbox) -> None:
    """The name and both addresses, at the same port."""
    context = client_context(sandbox.ca_pem, sandbox.issue_certificate())
    url = f"https://{name}:{port_of(getattr(sandbox, host))}"
    with httpx.Client(base_url=url, verify=context) as client:
        assert ask_token(client, sandbox).status_code == 200


def test_server_certificate_needs_the_own_authority(sandbox: Sandbox) -> None:
    """Another authority of the same name does not verify it."""
    with (
        httpx.Client(verify=client_context(CertificateAuthority().cert_pem)) as client,
        pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        client.get(sandbox.api_url)


@pytest.mark.parametrize(
    ("version", "alert"),
    [(ssl.TLSVersion.TLSv1_2, "HANDSHAKE_FAILURE"), (ssl.TLSVersion.TLSv1_3, "CERTIFICATE_REQUIRED")],
)
def test_mtls_host_refuses_a_handshake_without_certificate(
    version: ssl.TLSVersion, alert: str, sandbox: Sandbox
) -> None:
    """With TLS 1.3, the client gets the alert at its first read."""
    context = client_context(sandbox.ca_pem)
    context.minimum_version = context.maximum_version = version
    with pytest.raises(ssl.SSLError, match=alert):
        exchange(sandbox.mtls_url, context, b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert sandbox.counts.connections == 0


@pytest.mark.parametrize(
    ("defect", "alert"),
    [
        ("foreign", "UNKNOWN_CA"),
        ("expired", "CERTIFICATE_EXPIRED"),
        ("future", "BAD_CERTIFICATE"),
        ("for servers", "UNSUPPORTED_CERTIFICATE"),
    ],
)
def test_mtls_host_refuses_a_defective_certificate(defect: str, alert: str, sandbox: Sandbox) -> None:
    """Each defect has its TLS alert."""
    day = dt.timedelta(days=1)
    certificate = {
        "foreign": lambda: CertificateAuthority("another CA").issue(sandbox.username),
        "expired": lambda: sandbox.issue_certificate(not_after=NOW - 9 * day),
        "future": lambda: sandbox.issue_certificate(not_before=NOW + 9 * day),
        "for servers": lambda: sandbox.authority.issue(sandbox.username, client=False, server=True),
    }[defect]()
    context = client_context(sandbox.ca_pem, certificate)
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # the alert arrives within the handshake
    with pytest.raises(ssl.SSLError, match=alert), tls_socket(sandbox.mtls_url, context):
        pass


@pytest.mark.parametrize("host", ["api_url", "mtls_url"])
def test_plain_http_is_disconnected(host: str, sandbox: Sandbox) -> None:
    """The server does not wait for more."""
    with socket.create_connection(("localhost", port_of(getattr(sandbox, host))), timeout=30) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert plain.recv(65536) == b""


def test_client_that_ignores_the_alert_is_disconnected(sandbox: Sandbox) -> None:
    """The alert is sent once; the next data ends the connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers("aNULL:@SECLEVEL=0")
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    hello = ssl.MemoryBIO()
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), hello).do_handshake()
    with socket.create_connection(("localhost", port_of(sandbox.api_url)), timeout=30) as raw:
        raw.sendall(hello.read())
        alert = raw.recv(65536)
        assert (alert[0], alert[6]) == (21, 40)  # a record of type alert: handshake_failure (RFC 5246 §7.2)
        raw.sendall(b"and yet")
        assert raw.recv(65536) == b""


def test_api_host_requests_no_certificate(sandbox: Sandbox) -> None:
    """The client's certificate is not sent."""
    context = client_context(sandbox.ca_pem, sandbox.issue_certificate("somebody-else"))
    with httpx.Client(base_url=sandbox.api_url, verify=context) as client:
        assert ask_token(client, sandbox).status_code == 200


def test_certificate_is_known_after_session_resumption(sandbox: Sandbox) -> None:
    """A resumed handshake has no certificate message."""
    context = client_context(sandbox.ca_pem, sandbox.issue_certificate("somebody-else"))
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # its tickets arrive within the handshake
    with tls_socket(sandbox.mtls_url, context) as first:
        session = first.session
    with (
        socket.create_connection(("localhost", port_of(sandbox.mtls_url)), timeout=30) as raw,
        context.wrap_socket(raw, server_hostname="localhost", session=session) as secure,
    ):
        assert secure.session_reused
        secure.sendall(token_call(sandbox))
        assert b" 403 " in secure.recv(65536).partition(b"\r\n")[0]


# HTTP


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"GARBAGE a-secret\r\n\r\n", id="no request line"),
        pytest.param(b"GET / HTTP/1.1\r\nAuthorization a-secret\r\n\r\n", id="no colon"),
        pytest.param(b"GET / HTTP/1.1\r\nX: a-secret" + b"x" * 20000 + b"\r\n\r\n", id="header too long"),
    ],
)
def test_malformed_http_is_refused_without_repeating_it(
    sent: bytes, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    """With the gateway's error body and a tracking id."""
    caplog.set_level("DEBUG")
    head, _, body = exchange(sandbox.api_url, client_context(sandbox.ca_pem), sent).partition(b"\r\n\r\n")
    assert b" 400 " in head.partition(b"\r\n")[0]
    assert b"requesttrackingid: " in head
    assert b"gateway.request.invalid" in body
    assert b"a-secret" not in body
    assert "a-secret" not in "".join(record.getMessage() for record in caplog.records)


def test_errors_of_the_loop_are_logged_without_the_exception(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The log has asyncio's message; the message of the exception could be a secret."""
    handlers: list[Any] = []
    set_handler = asyncio.BaseEventLoop.set_exception_handler

    def record(loop: asyncio.BaseEventLoop, handler: Any) -> None:
        handlers.append(handler)
        set_handler(loop, handler)

    monkeypatch.setattr(asyncio.BaseEventLoop, "set_exception_handler", record)
    with Sandbox():
        (handler,) = handlers
        handler(None, {"message": "Fatal error on transport", "exception": ValueError("a-secret")})
    assert [record.name for record in caplog.records] == ["seic.sandbox"]
    assert "Fatal error on transport" in caplog.text
    assert "a-secret" not in caplog.text


async def test_many_concurrent_connections_work(sandbox: Sandbox) -> None:
    """A hundred connections, all open at the same time."""
    context = client_context(sandbox.ca_pem, sandbox.issue_certificate())
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=sandbox.mtls_url, verify=context, limits=limits, timeout=60) as client:
        with sandbox.hold_tokens() as hold:
            calls = [
                asyncio.ensure_future(
                    client.post("/v2/oauthtoken", headers=token_headers(sandbox), data=token_form(sandbox))
                )
                for _ in range(100)
            ]
            await asyncio.to_thread(hold.wait_for, 100, 60)
        replies = await asyncio.gather(*calls)
    assert [reply.status_code for reply in replies] == [200] * 100
    assert len({reply.json()["access_token"] for reply in replies}) == 100
    assert (sandbox.counts.mtls.connections, sandbox.counts.tokens_issued) == (100, 100)

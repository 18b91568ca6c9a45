from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import datetime as dt
import gc
import socket
import ssl
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from seic.sandbox import CertificateAuthority, Sandbox
from seic.sandbox import server as server_module
from tests._support.far_side import (
    ECHO_PATH,
    ask_token,
    client_context,
    get_token,
    mtls_client,
    token_form,
    token_headers,
)

NOW = dt.datetime.now(dt.UTC)
_OPEN_FILES = Path("/proc/self/fd")
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


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


# TLS


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("host", ["api_url", "mtls_url"])
def test_both_hosts_speak_current_tls(host: str, version: ssl.TLSVersion, sandbox: Sandbox) -> None:
    """TLS 1.2 and 1.3, with the peer's certificate seen in both."""
    context = client_context(sandbox.ca_pem, sandbox.issue_certificate())
    context.minimum_version = context.maximum_version = version
    with httpx.Client(base_url=getattr(sandbox, host), verify=context) as client:
        assert ask_token(client, sandbox).status_code == 200


@pytest.mark.parametrize("host", ["api_url", "mtls_url"])
def test_old_tls_is_refused(host: str, sandbox: Sandbox) -> None:
    """A client that knows nothing above TLS 1.1 gets no handshake."""
    context = client_context(sandbox.ca_pem, sandbox.issue_certificate())
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"), tls_socket(getattr(sandbox, host), context):
        pass


@pytest.mark.parametrize("host", ["api_url", "mtls_url"])
@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "[::1]"])
def test_certificate_is_good_for_every_name_of_loopback(name: str, host: str, sandbox: Sandbox) -> None:
    """By name and by both addresses, at the same port."""
    context = client_context(sandbox.ca_pem, sandbox.issue_certificate())
    url = f"https://{name}:{port_of(getattr(sandbox, host))}"
    with httpx.Client(base_url=url, verify=context) as client:
        assert ask_token(client, sandbox).status_code == 200


def test_server_is_trusted_by_its_own_authority_only(sandbox: Sandbox) -> None:
    """Another authority of the same name does not vouch for it."""
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
    """Under TLS 1.3 the client learns of it with its first read."""
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
    """Each gets the alert that TLS has for it."""
    day = dt.timedelta(days=1)
    certificate = {
        "foreign": lambda: CertificateAuthority("another CA").issue(sandbox.username),
        "expired": lambda: sandbox.issue_certificate(not_after=NOW - 9 * day),
        "future": lambda: sandbox.issue_certificate(not_before=NOW + 9 * day),
        "for servers": lambda: sandbox.authority.issue(sandbox.username, client=False, server=True),
    }[defect]()
    context = client_context(sandbox.ca_pem, certificate)
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # where the alert comes within the handshake
    with pytest.raises(ssl.SSLError, match=alert), tls_socket(sandbox.mtls_url, context):
        pass


@pytest.mark.parametrize("host", ["api_url", "mtls_url"])
def test_what_is_no_tls_is_hung_up_on(host: str, sandbox: Sandbox) -> None:
    """Plain HTTP is not waited upon."""
    with socket.create_connection(("localhost", port_of(getattr(sandbox, host))), timeout=30) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert plain.recv(65536) == b""


def test_client_that_ignores_the_alert_is_hung_up_on(sandbox: Sandbox) -> None:
    """It is told once, and what it sends after that ends the connection."""
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


def test_api_host_asks_for_no_certificate(sandbox: Sandbox) -> None:
    """One that a client could show there is not seen."""
    context = client_context(sandbox.ca_pem, sandbox.issue_certificate("somebody-else"))
    with httpx.Client(base_url=sandbox.api_url, verify=context) as client:
        assert ask_token(client, sandbox).status_code == 200


def test_peer_stays_known_over_a_resumed_session(sandbox: Sandbox) -> None:
    """A resumed handshake carries no certificate, and the sandbox still knows whose it is."""
    context = client_context(sandbox.ca_pem, sandbox.issue_certificate("somebody-else"))
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # whose tickets come within the handshake
    with tls_socket(sandbox.mtls_url, context) as first:
        session = first.session
    with (
        socket.create_connection(("localhost", port_of(sandbox.mtls_url)), timeout=30) as raw,
        context.wrap_socket(raw, server_hostname="localhost", session=session) as secure,
    ):
        assert secure.session_reused
        secure.sendall(_post(sandbox))
        assert b" 403 " in secure.recv(65536).partition(b"\r\n")[0]


def _post(sandbox: Sandbox) -> bytes:
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


# HTTP


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"GARBAGE a-secret\r\n\r\n", id="no request line"),
        pytest.param(b"GET / HTTP/1.1\r\nAuthorization a-secret\r\n\r\n", id="no colon"),
        pytest.param(b"GET / HTTP/1.1\r\nX: a-secret" + b"x" * 20000 + b"\r\n\r\n", id="too long a header"),
    ],
)
def test_what_is_no_http_is_refused_without_repeating_it(
    sent: bytes, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    """Even this is answered in the gateway's form, with a tracking id, and logged without its words."""
    caplog.set_level("DEBUG")
    head, _, body = exchange(sandbox.api_url, client_context(sandbox.ca_pem), sent).partition(b"\r\n\r\n")
    assert b" 400 " in head.partition(b"\r\n")[0]
    assert b"requesttrackingid: " in head
    assert b"gateway.request.invalid" in body
    assert b"a-secret" not in body
    assert "a-secret" not in "".join(record.getMessage() for record in caplog.records)


def test_errors_of_the_loop_are_logged_without_their_words(caplog: pytest.LogCaptureFixture) -> None:
    """Asyncio's message is told, and not what the exception beside it says."""
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(server_module._log_loop_error)
    loop.call_exception_handler({"message": "Fatal error on transport", "exception": ValueError("a-secret")})
    loop.close()
    assert [record.name for record in caplog.records] == ["seic.sandbox"]
    assert "Fatal error on transport" in caplog.text
    assert "a-secret" not in caplog.text


async def test_many_connections_at_once_are_served(sandbox: Sandbox) -> None:
    """A hundred connections of their own, all held open together, and every call answered."""
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


# Start and stop


def open_files() -> set[str]:
    """The open sockets and files of this process, where the system tells."""
    found: set[str] = set()
    if not _OPEN_FILES.is_dir():
        return found
    for path in _OPEN_FILES.iterdir():
        with contextlib.suppress(FileNotFoundError):  # the one that lists them is gone by now
            found.add(f"{path.name} {path.readlink()}")
    return found


@pytest.fixture
def nothing_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Demand that no thread, open file or temporary file is left; what other tests had may end meanwhile."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    gc.collect()
    threads, files = set(threading.enumerate()), open_files()
    yield
    gc.collect()  # an unclosed socket or transport warns here, and a warning is an error
    assert set(threading.enumerate()) <= threads
    assert open_files() <= files
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("nothing_left")
def test_stop_leaves_nothing() -> None:
    """After calls on both hosts, nothing runs, listens or lies about."""
    with Sandbox() as sandbox:
        url = sandbox.api_url
        with mtls_client(sandbox) as client:
            get_token(client, sandbox)
    with pytest.raises(httpx.ConnectError), httpx.Client(verify=client_context(sandbox.ca_pem)) as client:
        client.get(url)


@pytest.mark.usefixtures("nothing_left")
def test_stop_cuts_idle_connections() -> None:
    """A client that keeps its connection does not keep the sandbox."""
    with contextlib.ExitStack() as clients:
        with Sandbox() as sandbox:
            idle = [clients.enter_context(mtls_client(sandbox)) for _ in range(3)]
            for client in idle:
                get_token(client, sandbox)
        for client in idle:
            with pytest.raises(httpx.TransportError):
                client.get(ECHO_PATH)


@pytest.mark.usefixtures("nothing_left")
def test_stop_cuts_unfinished_handshakes_and_requests() -> None:
    """Neither a connection that never speaks nor half a request holds it up."""
    with contextlib.ExitStack() as sockets:
        with Sandbox() as sandbox:
            context = client_context(sandbox.ca_pem)
            silent = sockets.enter_context(socket.create_connection(("localhost", port_of(sandbox.api_url))))
            half = sockets.enter_context(tls_socket(sandbox.api_url, context))
            half.sendall(b"POST /v2/oauthtoken HTTP/1.1\r\nContent-Length: 99\r\n")
            # Once a later connection is served, the silent one has been accepted.
            exchange(sandbox.api_url, context, b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            assert silent.recv(1) == b""


@pytest.mark.usefixtures("nothing_left")
def test_stop_cuts_calls_in_flight() -> None:
    """A held answer is never given."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        sandbox = Sandbox()
        with sandbox.hold_tokens() as hold, sandbox, mtls_client(sandbox) as client:
            call = pool.submit(ask_token, client, sandbox)
            hold.wait_for(1)
            sandbox.stop()
            with pytest.raises(httpx.TransportError):
                call.result(timeout=30)


@pytest.mark.usefixtures("nothing_left")
def test_stop_ends_calls_whose_client_has_gone() -> None:
    """A held answer keeps nothing alive once nobody waits for it."""
    with Sandbox() as sandbox, sandbox.hold_tokens() as hold:
        with tls_socket(sandbox.api_url, client_context(sandbox.ca_pem)) as impatient:
            impatient.sendall(_post(sandbox))
            hold.wait_for(1)
        # Once a later connection is served, the end of the first has been seen.
        exchange(sandbox.api_url, client_context(sandbox.ca_pem), b"GARBAGE\r\n\r\n")
        sandbox.stop()


@pytest.mark.usefixtures("nothing_left")
def test_error_in_the_block_stops_it_too() -> None:
    """The error is the block's own."""
    with pytest.raises(ZeroDivisionError), Sandbox():
        raise ZeroDivisionError


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("failing", [1, 2, 4])
def test_failure_to_listen_surfaces_in_the_caller(failing: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever socket it is, the error is raised by the start, and what was opened before is closed."""
    create_server = asyncio.BaseEventLoop.create_server
    calls = 0

    async def refuse(loop: asyncio.BaseEventLoop, *args: object, **kwargs: object) -> object:
        nonlocal calls
        calls += 1
        if calls == failing:
            raise OSError("no more sockets")
        return await create_server(loop, *args, **kwargs)  # type: ignore[call-overload]

    monkeypatch.setattr(asyncio.BaseEventLoop, "create_server", refuse)
    with pytest.raises(OSError, match="no more sockets"), Sandbox():
        pytest.fail("it must not start")
    assert calls == failing


@pytest.mark.usefixtures("nothing_left")
def test_failure_to_start_a_thread_surfaces_in_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sockets that were bound by then are closed."""

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError, match="new thread"), Sandbox():
        pytest.fail("it must not start")


@pytest.mark.usefixtures("nothing_left")
def test_failure_to_bind_surfaces_in_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    """After some attempts for a port that is free in both families, it gives up."""
    bind = socket.socket.bind
    attempts: list[int] = []

    class Socket(socket.socket):
        def bind(self, address: tuple[str, int]) -> None:  # type: ignore[override]
            if self.family == socket.AF_INET6 and address[1] != 0:
                attempts.append(address[1])
                raise OSError("address in use")
            bind(self, address)

    monkeypatch.setattr(socket, "socket", Socket)
    with pytest.raises(OSError, match="address in use"), Sandbox():
        pytest.fail("it must not start")
    assert len(attempts) == server_module._BIND_ATTEMPTS


@pytest.mark.usefixtures("nothing_left")
def test_without_ipv6_it_listens_on_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without ::1 is served by 127.0.0.1 alone."""
    bind = socket.socket.bind

    class Socket(socket.socket):
        def bind(self, address: tuple[str, int]) -> None:  # type: ignore[override]
            if self.family == socket.AF_INET6:
                raise OSError("address not available")
            bind(self, address)

    monkeypatch.setattr(socket, "socket", Socket)
    with Sandbox() as sandbox, mtls_client(sandbox) as client:
        assert ask_token(client, sandbox).status_code == 200

"""The server starts completely or not at all, and leaves nothing when it stops."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import gc
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from seic.sandbox import Sandbox
from tests._support.sandbox_client import ECHO_PATH, ask_token, client_context, get_token, mtls_client
from tests._support.sandbox_sockets import exchange, port_of, tls_socket, token_call

_OPEN_FILES = Path("/proc/self/fd")


def open_files() -> set[str]:
    """Return the open sockets and files of this process, if the system has /proc."""
    found: set[str] = set()
    if not _OPEN_FILES.is_dir():
        return found
    for path in _OPEN_FILES.iterdir():
        with contextlib.suppress(FileNotFoundError):  # the descriptor of the listing itself
            found.add(f"{path.name} {path.readlink()}")
    return found


@pytest.fixture
def nothing_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Check that no thread, open file or temporary file is left; those of other tests may end meanwhile."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    gc.collect()
    threads, files = set(threading.enumerate()), open_files()
    yield
    gc.collect()  # an unclosed socket or transport warns here, and a warning is an error
    assert set(threading.enumerate()) <= threads
    assert open_files() <= files
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("nothing_left")
def test_stop_leaves_nothing_behind() -> None:
    """After requests to both hosts."""
    with Sandbox() as sandbox:
        url = sandbox.api_url
        with mtls_client(sandbox) as client:
            get_token(client, sandbox)
    with pytest.raises(httpx.ConnectError), httpx.Client(verify=client_context(sandbox.ca_pem)) as client:
        client.get(url)


@pytest.mark.usefixtures("nothing_left")
def test_stop_cuts_idle_connections() -> None:
    """A client that keeps its connection does not delay the stop."""
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
    """A silent connection and half a request do not delay the stop."""
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
def test_stop_cuts_pending_requests() -> None:
    """A held request gets no response."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        sandbox = Sandbox()
        with sandbox.hold_tokens() as hold, sandbox, mtls_client(sandbox) as client:
            call = pool.submit(ask_token, client, sandbox)
            hold.wait_for(1)
            sandbox.stop()
            with pytest.raises(httpx.TransportError):
                call.result(timeout=30)


@pytest.mark.usefixtures("nothing_left")
def test_stop_ends_requests_of_disconnected_clients() -> None:
    """A held response does not outlive its client."""
    with Sandbox() as sandbox, sandbox.hold_tokens() as hold:
        with tls_socket(sandbox.api_url, client_context(sandbox.ca_pem)) as impatient:
            impatient.sendall(token_call(sandbox))
            hold.wait_for(1)
        # Once a later connection is served, the end of the first has been seen.
        exchange(sandbox.api_url, client_context(sandbox.ca_pem), b"GARBAGE\r\n\r\n")
        sandbox.stop()


@pytest.mark.usefixtures("nothing_left")
def test_error_in_the_block_stops_the_sandbox() -> None:
    """The error is raised unchanged."""
    with pytest.raises(ZeroDivisionError), Sandbox():
        raise ZeroDivisionError


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("failing", [1, 2, 4])
def test_failure_to_listen_is_raised(failing: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """For any of the sockets; those opened before are closed."""
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
def test_failure_to_start_a_thread_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound sockets are closed."""

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError, match="new thread"), Sandbox():
        pytest.fail("it must not start")


@pytest.mark.usefixtures("nothing_left")
def test_failure_to_bind_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    """After several attempts for a port that is free on IPv4 and IPv6."""
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
    assert len(attempts) == 20


@pytest.mark.usefixtures("nothing_left")
def test_without_ipv6_it_listens_on_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without ::1 uses only 127.0.0.1."""
    bind = socket.socket.bind

    class Socket(socket.socket):
        def bind(self, address: tuple[str, int]) -> None:  # type: ignore[override]
            if self.family == socket.AF_INET6:
                raise OSError("address not available")
            bind(self, address)

    monkeypatch.setattr(socket, "socket", Socket)
    with Sandbox() as sandbox, mtls_client(sandbox) as client:
        assert ask_token(client, sandbox).status_code == 200

"""The end of `seic proxy` by SIGTERM and SIGINT: requests in progress are answered, for a limited time."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from tests._support.command import environment
from tests._support.loopback import PATIENCE
from tests._support.running_proxy import RunningProxy, ScriptedApi, parse_output

VERSIONS = pytest.mark.parametrize("version", ["--http1.1", "--http2-prior-knowledge"])


class _Held:
    """An API whose answers wait for the test."""

    def __init__(self) -> None:
        self.arrived, self.released = threading.Event(), threading.Event()

    def __call__(self, call: Any) -> None:
        self.arrived.set()
        self.released.wait(PATIENCE)
        call.answer(b"done")


def until_refused(port: int) -> None:
    """Wait until the port accepts no connection."""
    with contextlib.suppress(OSError):
        while True:
            socket.create_connection(("127.0.0.1", port), timeout=PATIENCE).close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@VERSIONS
def test_a_request_in_progress(tmp_path: Path, number: signal.Signals, version: str) -> None:
    """It is answered; new connections are refused meanwhile."""
    held = _Held()
    with (
        ScriptedApi(held, tmp_path) as api,
        environment(api.variables, tmp_path),
        RunningProxy() as proxy,
        subprocess.Popen(proxy.curl_command("/held", version), stdout=subprocess.PIPE) as caller,
    ):
        assert held.arrived.wait(PATIENCE)
        proxy.process.send_signal(number)
        until_refused(proxy.port)
        held.released.set()
        got = parse_output(caller.communicate(timeout=PATIENCE)[0])
        assert (got.status, got.body) == (200, b"done")
        assert proxy.process.wait(PATIENCE) == 0
        assert proxy.end() == (0, "")


@VERSIONS
@pytest.mark.parametrize(("grace", "signals"), [("0.2", 1), ("100", 2)])
def test_a_request_that_takes_too_long(tmp_path: Path, version: str, grace: str, signals: int) -> None:
    """It is cut off after the time, or with the second signal; its call to the API ends, too."""
    arrived = threading.Event()

    def handle(call: Any) -> None:
        arrived.set()
        while call.connection.recv(65536):
            pass

    with (
        ScriptedApi(handle, tmp_path) as api,
        environment(api.variables, tmp_path),
        RunningProxy("--grace", grace) as proxy,
        subprocess.Popen(
            proxy.curl_command("/held", version), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as caller,
    ):
        assert arrived.wait(PATIENCE)
        proxy.process.send_signal(signal.SIGTERM)
        until_refused(proxy.port)
        if signals > 1:
            proxy.process.send_signal(signal.SIGTERM)
        _, notes = proxy.process.communicate(timeout=PATIENCE)
        assert proxy.process.returncode == 0
        assert notes == "seic: 1 request was cut off at the end\n"
        assert caller.wait(PATIENCE) != 0
        assert api.ended.wait(PATIENCE)


def test_idle_connections_are_closed(tmp_path: Path) -> None:
    """With a request before, of HTTP/2, and without a byte: none delays the end."""
    with (
        ScriptedApi(lambda call: call.answer(b"done"), tmp_path) as api,
        environment(api.variables, tmp_path),
        RunningProxy("--grace", "100") as proxy,
    ):
        connections = [socket.create_connection(("127.0.0.1", proxy.port), timeout=PATIENCE) for _ in range(3)]
        head = f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{proxy.port}\r\n{proxy.authorization}\r\n\r\n"
        connections[0].sendall(head.encode())
        connections[1].sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        assert connections[0].recv(65536).startswith(b"HTTP/1.1 200")
        assert connections[1].recv(65536)
        assert proxy.end() == (0, "")
        for connection in connections:
            with connection:
                while connection.recv(65536):
                    pass


@VERSIONS
def test_an_upload_in_progress(tmp_path: Path, version: str) -> None:
    """The rest of its body is still read after the signal."""
    arrived = threading.Event()
    bodies: list[bytes] = []

    def handle(call: Any) -> None:
        arrived.set()
        body = b""
        while size := int(call.rfile.readline(), 16):
            body += call.rfile.read(size)
            call.rfile.readline()
        bodies.append(body)
        call.answer(b"done")

    with (
        ScriptedApi(handle, tmp_path) as api,
        environment(api.variables, tmp_path),
        RunningProxy("--grace", "100") as proxy,
        subprocess.Popen(
            proxy.curl_command("/upload", version, "-X", "POST", "-T", "-"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as caller,
    ):
        assert caller.stdin is not None
        caller.stdin.write(b"first")
        caller.stdin.flush()
        assert arrived.wait(PATIENCE)
        proxy.process.send_signal(signal.SIGTERM)
        until_refused(proxy.port)
        got = parse_output(caller.communicate(b"second", timeout=PATIENCE)[0])
        assert (got.status, got.body) == (200, b"done")
        assert proxy.process.wait(PATIENCE) == 0
        assert proxy.end() == (0, "")
    assert bodies == [b"firstsecond"]

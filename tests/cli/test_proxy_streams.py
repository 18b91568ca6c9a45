"""Bodies through `seic proxy`: streamed in both directions at the pace of the slower side."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import socket
import subprocess
import threading
from pathlib import Path
from typing import Any

import h2.connection
import h2.events
import pytest

from tests._support.command import environment
from tests._support.loopback import PATIENCE
from tests._support.running_proxy import RunningProxy, ScriptedApi
from tests._support.sandbox_client import ECHO_PATH

HTTP2 = "--http2-prior-knowledge"
MIB = 1 << 20
VERSIONS = pytest.mark.parametrize("version", ["--http1.1", HTTP2])
_CHUNK = bytes(range(256)) * 256


class Connection:
    """A connection to the proxy with one request, from `__enter__` to `__exit__`."""

    def __init__(self, proxy: RunningProxy, line: str, *fields: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", proxy.port), timeout=PATIENCE)
        head = [line, f"Host: 127.0.0.1:{proxy.port}", proxy.authorization, *fields]
        self._socket.sendall("\r\n".join([*head, "", ""]).encode())

    def __enter__(self) -> socket.socket:
        return self._socket

    def __exit__(self, *_: object) -> None:
        self._socket.close()


def read_until(connection: socket.socket, end: bytes) -> bytes:
    """Read until some bytes have arrived."""
    received = b""
    while end not in received:
        part = connection.recv(65536)
        assert part, received
        received += part
    return received


@VERSIONS
def test_large_bodies(env: pytest.MonkeyPatch, tmp_path: Path, version: str) -> None:
    """64 MiB in each direction arrive complete, with little memory."""
    content = _CHUNK * 1024
    (tmp_path / "body").write_bytes(content)
    with RunningProxy() as proxy:
        assert proxy.curl(ECHO_PATH, version).status == 200
        before = proxy.forget_peak()
        sent = proxy.curl("/v1/uploads", version, "-T", str(tmp_path / "body"), "-X", "POST")
        chunked = proxy.curl(
            "/v1/uploads", version, "-T", str(tmp_path / "body"), "-X", "POST", "-H", "Transfer-Encoding: chunked"
        )
        got = proxy.curl(f"/v1/downloads/{64 * MIB}", version)
        growth = proxy.peak() - before

    assert sent.json == {"length": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    assert chunked.json == sent.json
    assert len(got.body) == 64 * MIB
    assert growth < 24 * MIB


def test_a_reader_that_stops(tmp_path: Path) -> None:
    """The API is not read any further: it cannot send more than the buffers of the sockets hold."""
    blocked = threading.Event()
    sent = [0]

    def handle(call: Any) -> None:
        call.send_response(200)
        call.send_header("Content-Length", str(1024 * MIB))
        call.end_headers()
        call.connection.settimeout(1)
        try:
            while sent[0] < 256 * MIB:
                call.wfile.write(_CHUNK)
                sent[0] += len(_CHUNK)
        except TimeoutError:
            blocked.set()

    with ScriptedApi(handle, tmp_path) as api, environment(api.variables, tmp_path), RunningProxy() as proxy:
        with Connection(proxy, "GET /large HTTP/1.1") as connection:
            read_until(connection, b"\r\n\r\n")
            assert blocked.wait(PATIENCE)
        assert sent[0] < 32 * MIB


def test_an_api_that_stops_reading(tmp_path: Path) -> None:
    """The caller is not read any further."""
    released = threading.Event()
    with (
        ScriptedApi(lambda call: released.wait(PATIENCE), tmp_path) as api,
        environment(api.variables, tmp_path),
        RunningProxy() as proxy,
        Connection(proxy, "POST /large HTTP/1.1", f"Content-Length: {1024 * MIB}") as connection,
    ):
        connection.settimeout(1)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 256 * MIB:
                sent += connection.send(_CHUNK)
        released.set()
    assert sent < 32 * MIB


def test_parts_are_passed_on_at_once(tmp_path: Path) -> None:
    """Each part of a response, and of a request without a length, before the next one exists."""
    parts: list[bytes] = []
    steps = [threading.Event() for _ in range(3)]

    def handle(call: Any) -> None:
        for step in steps[:2]:
            size = int(call.rfile.readline(), 16)
            parts.append(call.rfile.read(size + 2)[:size])
            step.set()
        call.rfile.readline()
        call.send_response(200)
        call.send_header("Transfer-Encoding", "chunked")
        call.end_headers()
        call.wfile.write(b"5\r\nfirst\r\n")
        call.wfile.flush()
        assert steps[2].wait(PATIENCE)
        call.wfile.write(b"0\r\n\r\n")

    with (
        ScriptedApi(handle, tmp_path) as api,
        environment(api.variables, tmp_path),
        RunningProxy() as proxy,
        Connection(proxy, "POST /parts HTTP/1.1", "Transfer-Encoding: chunked") as connection,
    ):
        for step, part in zip(steps, (b"3\r\none\r\n", b"3\r\ntwo\r\n"), strict=False):
            connection.sendall(part)
            assert step.wait(PATIENCE)
        connection.sendall(b"0\r\n\r\n")
        assert read_until(connection, b"first").count(b"first") == 1
        steps[2].set()
        read_until(connection, b"0\r\n\r\n")
    assert parts == [b"one", b"two"]


def test_a_caller_that_asks_first(tmp_path: Path) -> None:
    """`Expect: 100-continue` is answered when the API takes the body, and an error without it."""
    with (
        ScriptedApi(lambda call: call.answer(call.rfile.read(3)), tmp_path) as api,
        environment(api.variables, tmp_path),
        RunningProxy() as proxy,
    ):
        fields = ("Content-Length: 100000", "Expect: 100-continue")
        with Connection(proxy, "POST /asked HTTP/1.1", *fields) as connection:
            assert read_until(connection, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            connection.sendall(b"y" * 100000)
            assert read_until(connection, b"yyy").startswith(b"HTTP/1.1 200")
        assert "Expect" not in dict(api.requests[0][2])
        api.stop()
        with Connection(proxy, "POST /asked HTTP/1.1", *fields) as connection:
            refused = read_until(connection, b"}")
            assert refused.startswith(b"HTTP/1.1 502"), refused
            assert b"\r\nConnection: close\r\n" in refused


def test_a_caller_that_asks_first_over_http2(tmp_path: Path) -> None:
    """The same, with the interim response as a header frame."""
    with (
        ScriptedApi(lambda call: call.answer(call.rfile.read(20)), tmp_path) as api,
        environment(api.variables, tmp_path),
        RunningProxy() as proxy,
        socket.create_connection(("127.0.0.1", proxy.port), timeout=PATIENCE) as connection,
    ):
        frames = h2.connection.H2Connection()
        frames.initiate_connection()
        name, _, value = proxy.authorization.partition(": ")
        host = f"127.0.0.1:{proxy.port}"
        fields = [(":method", "POST"), (":path", "/x"), (":scheme", "http"), (":authority", host)]
        frames.send_headers(1, [*fields, (name.lower(), value), ("expect", "100-continue")])
        statuses, body = [], b""
        while not body:
            connection.sendall(frames.data_to_send())
            for event in frames.receive_data(connection.recv(65536)):
                if isinstance(event, h2.events.InformationalResponseReceived | h2.events.ResponseReceived):
                    statuses.append(dict(event.headers)[b":status"])
                if isinstance(event, h2.events.InformationalResponseReceived):
                    frames.send_data(1, b"y" * 10, end_stream=True)
                if isinstance(event, h2.events.DataReceived):
                    body += event.data
    assert statuses == [b"100", b"200"]
    # In chunks, since the caller named no length.
    assert body == b"a\r\nyyyyyyyyyy\r\n0\r\n\r\n"


@VERSIONS
def test_a_compressed_request(tmp_path: Path, version: str) -> None:
    """It is sent as it is, with its own length."""
    content = gzip.compress(b"content" * 100_000)
    (tmp_path / "body.gz").write_bytes(content)

    def handle(call: Any) -> None:
        call.answer(call.rfile.read(int(call.headers["Content-Length"])), ("Seen", call.headers["Content-Encoding"]))

    with ScriptedApi(handle, tmp_path) as api, environment(api.variables, tmp_path), RunningProxy() as proxy:
        got = proxy.curl("/x", version, "--data-binary", f"@{tmp_path / 'body.gz'}", "-H", "Content-Encoding: gzip")
    assert got.headers["seen"] == "gzip"
    assert got.body == content


@VERSIONS
def test_a_caller_that_leaves(tmp_path: Path, version: str) -> None:
    """Its call to the API ends: before the response, in the middle of it, and in the middle of the request."""
    arrived = threading.Event()

    def handle(call: Any) -> None:
        if call.path == "/response":
            call.send_response(200)
            call.send_header("Content-Length", str(1024 * MIB))
            call.end_headers()
        arrived.set()
        while call.path == "/response":
            call.wfile.write(_CHUNK)
        while call.connection.recv(65536):
            pass

    with ScriptedApi(handle, tmp_path) as api, environment(api.variables, tmp_path), RunningProxy() as proxy:
        for path, arguments in (("/waiting", []), ("/response", ["--limit-rate", "1M"]), ("/request", ["-T", "-"])):
            arrived.clear()
            api.ended.clear()
            command = proxy.curl_command(path, version, "-o", "/dev/null", *arguments)
            with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as caller:
                assert arrived.wait(PATIENCE), path
                assert not api.ended.is_set()
                caller.kill()
                assert api.ended.wait(PATIENCE), path
        metrics = proxy.curl("/-/metrics").body.decode()
    # The request for the metrics is one itself.
    (active,) = [
        line for line in metrics.splitlines() if 'http_server_active_requests{http_request_method="GET"' in line
    ]
    assert active.endswith(" 1.0")


@VERSIONS
def test_an_api_that_dies(tmp_path: Path, version: str) -> None:
    """Before its response it is a 502 with a sentence; in the middle, curl sees that the body is incomplete."""

    def handle(call: Any) -> None:
        if call.path != "/before":
            call.send_response(200)
            call.send_header(
                *(("Content-Length", "10") if call.path == "/length" else ("Transfer-Encoding", "chunked"))
            )
            call.end_headers()
            call.wfile.write(b"5\r\nfirst\r\n" if call.path == "/chunked" else b"first")
            call.wfile.flush()
        raise ConnectionResetError

    with ScriptedApi(handle, tmp_path) as api, environment(api.variables, tmp_path), RunningProxy("-v") as proxy:
        before = proxy.curl("/before", version)
        partial = [proxy.curl(path, version) for path in ("/length", "/chunked")]
        api.stop()
        down = proxy.curl("/down", version)

    assert (before.status, down.status) == (502, 502)
    assert before.headers["proxy-status"] == "seic; error=destination_unavailable"
    assert "the server closed the connection without an answer" in before.problem
    assert api.host.partition(":")[2] in down.problem
    assert api.variables["SEIC_CLIENT_SECRET"].encode() not in before.body + down.body
    # 18 and 56: HTTP/1.1; 92: a stream of HTTP/2.
    assert all(each.code in {18, 56, 92} for each in partial), partial


def test_an_api_that_hangs(tmp_path: Path) -> None:
    """504 after the time without data."""
    released = threading.Event()
    with (
        ScriptedApi(lambda call: released.wait(PATIENCE), tmp_path) as api,
        environment(api.variables, tmp_path),
        RunningProxy("--timeout", "0.3") as proxy,
    ):
        late = proxy.curl("/late")
        released.set()

    assert late.status == 504
    assert late.problem == f"https://{api.host} sent no data for 0.3 s; raise --timeout if it may take longer"
    assert late.headers["proxy-status"] == "seic; error=http_response_timeout"


def test_all_connections_in_use(tmp_path: Path) -> None:
    """504 that names the option."""
    arrived, released = threading.Event(), threading.Event()

    def handle(call: Any) -> None:
        call.send_response(200)
        call.send_header("Connection", "close")
        call.end_headers()
        arrived.set()
        while not released.wait(0.05):
            call.wfile.write(b"more")
        call.close_connection = True

    with (
        ScriptedApi(handle, tmp_path) as api,
        environment(api.variables, tmp_path),
        RunningProxy("--timeout", "1", "--connections", "1") as proxy,
        subprocess.Popen(proxy.curl_command("/first"), stdout=subprocess.PIPE) as first,
    ):
        assert arrived.wait(PATIENCE)
        second = proxy.curl("/second")
        released.set()
        first.communicate(timeout=PATIENCE)
    assert second.status == 504
    assert second.problem == f"all 1 connections to https://{api.host} were in use for 1 s; raise --connections"


def test_a_malformed_body(tmp_path: Path) -> None:
    """400, and nothing of it is sent as a complete request."""
    with (
        ScriptedApi(lambda call: call.rfile.read(), tmp_path) as api,
        environment(api.variables, tmp_path),
        RunningProxy() as proxy,
    ):
        head = f"POST /x HTTP/1.1\r\nHost: 127.0.0.1:{proxy.port}\r\n{proxy.authorization}\r\n"
        received = proxy.talk(f"{head}Transfer-Encoding: chunked\r\n\r\n3\r\none\r\nzz\r\n".encode())
        assert proxy.curl("/-/metrics").status == 200
    assert received.split(b" ")[1] == b"400"

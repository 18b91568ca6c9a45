"""Frames of HTTP/2 and answers of the API that break the rules, through `seic proxy`."""

from __future__ import annotations

import select
import socket
from pathlib import Path
from typing import Any

import h2.connection
import h2.errors
import h2.events
import pytest
from hyperframe.frame import PingFrame

from tests._support.command import environment
from tests._support.loopback import PATIENCE
from tests._support.running_proxy import TOKEN, RunningProxy, ScriptedApi

HTTP2 = "--http2-prior-knowledge"
MIB = 1 << 20
VERSIONS = pytest.mark.parametrize("version", ["--http1.1", HTTP2])


def test_pings_without_a_reader(env: pytest.MonkeyPatch) -> None:
    """A caller that reads no answers to its pings is not read any further; no secret is needed to send them."""
    pings = PingFrame(0, b"12345678").serialize() * 4096
    sent = 0
    with RunningProxy() as proxy, socket.create_connection(("127.0.0.1", proxy.port)) as connection:
        frames = h2.connection.H2Connection()
        frames.initiate_connection()
        connection.sendall(frames.data_to_send())
        before = proxy.forget_peak()
        connection.setblocking(False)
        rest = memoryview(pings)
        # As much as the proxy reads: the buffers of the sockets hold a part of it.
        while sent < 64 * MIB and select.select([], [connection], [], 2)[1]:
            count = connection.send(rest)
            sent += count
            rest = rest[count:] or memoryview(pings)
        growth = proxy.peak() - before
        assert proxy.curl("/-/metrics", HTTP2).status == 200

    assert sent < 64 * MIB
    assert growth < 24 * MIB


def test_a_length_without_a_body(tmp_path: Path) -> None:
    """A request whose length is not that of its body is malformed (RFC 9113 §8.1.1), and is not forwarded."""
    with (
        ScriptedApi(lambda call: call.answer(b""), tmp_path) as api,
        environment(api.variables, tmp_path),
        RunningProxy() as proxy,
        socket.create_connection(("127.0.0.1", proxy.port), timeout=PATIENCE) as connection,
    ):
        frames = h2.connection.H2Connection()
        frames.initiate_connection()
        name, _, value = proxy.authorization.partition(": ")
        fields = [(":method", "POST"), (":path", "/x"), (":scheme", "http")]
        fields += [(":authority", f"127.0.0.1:{proxy.port}"), (name.lower(), value), ("content-length", "5")]
        frames.send_headers(1, fields, end_stream=True)
        connection.sendall(frames.data_to_send())
        ends: list[Any] = []
        while not ends:
            events = frames.receive_data(connection.recv(65536))
            ends = [event for event in events if isinstance(event, h2.events.StreamReset | h2.events.StreamEnded)]
        assert isinstance(ends[0], h2.events.StreamReset)
        assert ends[0].error_code == h2.errors.ErrorCodes.PROTOCOL_ERROR
        assert api.requests == []


def test_a_token_in_the_status_line(tmp_path: Path) -> None:
    """The reason phrase of the API is not passed on, since it may be anything."""

    def handle(call: Any) -> None:
        call.wfile.write(f"HTTP/1.1 200 for {TOKEN}\r\nContent-Length: 2\r\n\r\nok".encode())

    with ScriptedApi(handle, tmp_path) as api, environment(api.variables, tmp_path), RunningProxy() as proxy:
        head = f"Host: 127.0.0.1:{proxy.port}\r\n{proxy.authorization}\r\nConnection: close\r\n"
        received = proxy.talk(f"GET /x HTTP/1.1\r\n{head}\r\n".encode())
    assert received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert TOKEN.encode() not in received


@VERSIONS
def test_a_token_in_a_malformed_answer(tmp_path: Path, version: str) -> None:
    """The sentence and the log name the error, and do not repeat the line."""

    def handle(call: Any) -> None:
        call.wfile.write(f"Authorization: Bearer {TOKEN}\r\n\r\n".encode())

    with ScriptedApi(handle, tmp_path) as api, environment(api.variables, tmp_path), RunningProxy("-v") as proxy:
        got = proxy.curl("/x", version)
        _, log = proxy.end()
    assert got.status == 502
    assert "illegal" in got.problem
    assert TOKEN not in got.problem
    assert TOKEN not in log

"""Replies to a token request, over a real socket: a `Token` or an `InvalidTokenResponse`, in limited memory."""

from __future__ import annotations

import functools
import gzip
import json
import os
import socket
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import httpx
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from seic import OAUTH2, ClientCredentials, InvalidTokenResponse, Token, TokenEndpointUnavailable, TokenRequestRefused
from seic._oauth.messages import MAX_REPLY_BYTES
from seic._portal import run
from seic._tokens.clock import SYSTEM_CLOCK
from seic._tokens.endpoint import TokenEndpoint
from tests._support.loopback import RawServer

GOOD: dict[str, Any] = {"access_token": "token-1", "token_type": "Bearer", "expires_in": 3600, "scope": "read"}
#: Some times the limit of a reply: its parts, the joined bytes, the text, and the parsed value.
MAX_MEMORY = 16 * MAX_REPLY_BYTES
MEGABYTE = 1_000_000


@attrs.define
class Stage:
    """A server with a given response, and the endpoint that reads it."""

    server: RawServer
    endpoint: TokenEndpoint
    parts: Callable[[], Iterator[bytes]] = lambda: iter(())

    def answer(self, connection: socket.socket) -> None:
        """Send the parts until the client disconnects."""
        try:
            for part in self.parts():
                connection.sendall(part)
        except OSError:
            return

    def read(self, parts: Callable[[], Iterator[bytes]]) -> Token | InvalidTokenResponse | TokenRequestRefused:
        """Send a token request that gets this response."""
        self.parts = parts
        endpoint = self.endpoint
        try:
            return run(lambda: endpoint.request(endpoint.build(endpoint.grant), endpoint.grant))
        except (InvalidTokenResponse, TokenRequestRefused) as error:
            return error


class _Wire:
    """New connections without TLS."""

    closes_after_call = True
    user_agent = "test"

    def open(self) -> httpx.AsyncBaseTransport:
        """Return a transport without a TLS context, which is slow to build and not needed."""
        return httpx.AsyncHTTPTransport(verify=False)

    def open_sync(self) -> httpx.BaseTransport:
        """Return a transport without a TLS context, which is slow to build and not needed."""
        return httpx.HTTPTransport(verify=False)

    def explain(self, error: Exception, request: httpx.Request) -> None:
        """Return no explanation."""


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """Run the server for all examples."""
    stages: list[Stage] = []

    def answer(connection: socket.socket) -> None:
        stages[0].answer(connection)

    with RawServer(answer) as server:
        endpoint = TokenEndpoint(
            provider=OAUTH2,
            url=f"{server.url}/token",
            client_id="client-1",
            client_secret="client-secret-1",
            grant=ClientCredentials(),
            transports=_Wire(),
            timeout=30.0,
            clock=SYSTEM_CLOCK,
            emit=lambda _event: None,
        )
        stages.append(Stage(server, endpoint))
        yield stages[0]


def whole(body: bytes, *headers: str) -> Callable[[], Iterator[bytes]]:
    """Return a success with this body."""
    lines = ["HTTP/1.1 200 OK", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""]
    return lambda: iter(["\r\n".join(lines).encode(), body])


def endless(*headers: str, piece: bytes, pieces: int) -> Callable[[], Iterator[bytes]]:
    """Return a success with this many pieces, which ends with the connection."""

    def parts() -> Iterator[bytes]:
        yield "\r\n".join(["HTTP/1.1 200 OK", "Connection: close", *headers, "", ""]).encode()
        for _ in range(pieces):
            yield piece

    return parts


_over_a_socket = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=50)
    | st.sampled_from(["Bearer", "bearerTOKEN", "3600", "1e309", "-1", "0", "mac", "\ud800", "a\r\nb: c", "NaN"])
    | st.integers(min_value=10**30, max_value=10**40)
)
_VALUES = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)
_MEMBERS = st.sampled_from(
    [*GOOD, "refresh_token", "refresh_token_expires_in", "issued_at", "error", "code", "message", "cnf", "x"]
)


@_over_a_socket
@given(changes=st.dictionaries(_MEMBERS, _VALUES), encoding=st.sampled_from(["utf-8", "utf-16", "utf-8-sig", "cp037"]))
def test_any_json(stage: Stage, changes: dict[str, Any], encoding: str) -> None:
    """Every type and encoding has one of the two results; the access token of a token can be sent."""
    body = json.dumps({**GOOD, **changes}).encode(encoding)
    result = stage.read(whole(body))
    if isinstance(result, Token):
        assert encoding != "cp037"
        assert result.access_token.isascii()
        assert result.access_token.isprintable()
        assert result.expires_in is None or 0 < result.expires_in < float("inf")
    elif isinstance(result, TokenRequestRefused):
        assert not changes["access_token"]


@_over_a_socket
@given(names=st.lists(st.sampled_from(sorted(GOOD)), min_size=1, max_size=4))
def test_a_repeated_property(stage: Stage, names: list[str]) -> None:
    """Neither of two values is used, unless they are equal."""
    for change, kind in ((lambda value: value, Token), (lambda value: f"{value}0", InvalidTokenResponse)):
        pairs = [*GOOD.items(), *((name, change(GOOD[name])) for name in names)]
        body = "{" + ",".join(f"{json.dumps(name)}: {json.dumps(value)}" for name, value in pairs) + "}"
        assert isinstance(stage.read(whole(body.encode())), kind)


@_over_a_socket
@given(where=st.lists(st.sampled_from(["extra", 0, "inner"]), max_size=5), name=st.text(max_size=5))
def test_a_repeated_property_at_any_depth(stage: Stage, where: list[object], name: str) -> None:
    """The same at any depth, in lists and objects, since a store of the token would have to choose."""
    inner = f"{{{json.dumps(name)}: 1, {json.dumps(name)}: 2}}"
    for step in where:
        inner = f"[{inner}]" if step == 0 else f"{{{json.dumps(step)}: {inner}}}"
    body = json.dumps(GOOD)[:-1] + f', "more": {inner}}}'
    assert isinstance(stage.read(whole(body.encode())), InvalidTokenResponse)


@_over_a_socket
@given(markup=st.text(max_size=300), head=st.sampled_from(["<!DOCTYPE html><html>", "<?xml version='1.0'?>", "\n <p>"]))
def test_any_page(stage: Stage, markup: str, head: str) -> None:
    """HTML and XML are reported as such, for any content."""
    result = stage.read(whole((head + markup).encode(errors="replace"), "Content-Type: application/json"))
    assert isinstance(result, InvalidTokenResponse)
    assert "HTML or XML" in result.message


@_over_a_socket
@given(size=st.integers(min_value=0, max_value=64), exponent=st.integers(min_value=0, max_value=14))
def test_any_size(stage: Stage, size: int, exponent: int) -> None:
    """A token can have any length below the limit."""
    text = "x" * (size << exponent)
    result = stage.read(whole(json.dumps({**GOOD, "access_token": text}).encode()))
    if 0 < len(text) <= MAX_REPLY_BYTES - 200:
        assert isinstance(result, Token)
        assert result.access_token == text
    elif not text or len(text) >= MAX_REPLY_BYTES:
        assert isinstance(result, InvalidTokenResponse)


@_over_a_socket
@given(body=st.binary(max_size=200), encoding=st.sampled_from(["", "gzip", "deflate", "x-gzip", "br", "zstd", "??"]))
@example(body=b"<html><body>Sign in</body></html>", encoding="")
@example(body=b"", encoding="")
@example(body=b"", encoding="gzip")
@example(body=b"\x1f\x8b", encoding="gzip")
def test_any_bytes(stage: Stage, body: bytes, encoding: str) -> None:
    """Everything but a token is an error, for any Content-Type."""
    headers = [f"Content-Encoding: {encoding}"] if encoding else []
    assert isinstance(stage.read(whole(body, *headers)), InvalidTokenResponse)


@_over_a_socket
@given(cut=st.integers(min_value=0, max_value=10**6), pack=st.sampled_from(["", "gzip", "deflate"]))
def test_truncation(stage: Stage, cut: int, pack: str) -> None:
    """A complete reply is a token, and one without its last byte an error, compressed or not."""
    packs: dict[str, Callable[[bytes], bytes]] = {"": bytes, "gzip": gzip.compress, "deflate": zlib.compress}
    packed = packs[pack](json.dumps(GOOD).encode())
    kept = packed[: cut % (len(packed) + 1)]
    headers = [f"Content-Encoding: {pack}"] if pack else []
    result = stage.read(endless(*headers, piece=kept, pieces=1))
    assert isinstance(result, Token) is (kept == packed)


def peak(call: Callable[[], object]) -> int:
    """Return the maximum memory of a call, in bytes."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@functools.cache
def bomb(*packs: Callable[[bytes], bytes]) -> bytes:
    """Return a hundred megabytes of JSON blanks, compressed once or twice."""
    packed = b" " * (100 * MEGABYTE)
    for pack in packs:
        packed = pack(packed)
    return packed


def bombing(header: str, *packs: Callable[[bytes], bytes]) -> Callable[[], Iterator[bytes]]:
    """Return a success with a bomb, which is created once when needed."""

    def parts() -> Iterator[bytes]:
        return whole(bomb(*packs), f"Content-Encoding: {header}")()

    return parts


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param(endless(piece=b" " * 65536, pieces=160), id="10 MB without a length"),
        pytest.param(endless("Content-Length: 10485760", piece=b"[" * 65536, pieces=160), id="10 MB of brackets"),
        pytest.param(endless("Content-Length: 99999999999", piece=b"{", pieces=1), id="a length that is a lie"),
        pytest.param(
            endless("Transfer-Encoding: chunked", piece=b"10000\r\n" + b"9" * 65536 + b"\r\n", pieces=160),
            id="10 MB of digits in chunks",
        ),
        pytest.param(bombing("gzip", gzip.compress), id="a bomb"),
        pytest.param(bombing("gzip", gzip.compress, gzip.compress), id="a bomb in a bomb"),
        pytest.param(bombing("gzip, gzip", gzip.compress, gzip.compress), id="a bomb in a bomb, said so"),
        pytest.param(bombing("deflate", zlib.compress), id="a deflated bomb"),
        # Not requested, and so not decompressed, whatever httpx supports: their content does not matter.
        pytest.param(endless("Content-Encoding: br", piece=b"\0" * 65536, pieces=160), id="10 MB of brotli"),
        pytest.param(endless("Content-Encoding: zstd", piece=b"\0" * 65536, pieces=160), id="10 MB of zstd"),
        pytest.param(bombing("gzip, br", gzip.compress), id="a bomb said to be packed twice"),
        pytest.param(
            endless("Content-Encoding: gzip", piece=gzip.compress(b"", mtime=0) * 1000, pieces=500),
            id="ten megabytes after the end",
        ),
    ],
)
def test_memory_is_bounded(stage: Stage, parts: Callable[[], Iterator[bytes]]) -> None:
    """The limit applies to all that is read, decompressed and kept, and ends in an error."""
    parts()  # not the memory of the server
    results: list[object] = []
    assert peak(lambda: results.append(_read_or_fail(stage, parts))) < MAX_MEMORY
    assert isinstance(results[0], (InvalidTokenResponse, _Cut))


class _Cut(Exception):
    """The connection ended before the body did."""


def _read_or_fail(stage: Stage, parts: Callable[[], Iterator[bytes]]) -> object:
    try:
        return stage.read(parts)
    except TokenEndpointUnavailable as error:
        # A body that is shorter than its Content-Length: httpx reports a broken connection.
        return _Cut(error.message)


@pytest.mark.parametrize("size", [MAX_REPLY_BYTES, MAX_REPLY_BYTES + 1], ids=["the longest", "one byte more"])
@pytest.mark.parametrize("pack", ["", "gzip"])
def test_both_sides_of_the_limit(stage: Stage, size: int, pack: str) -> None:
    """A reply of exactly the limit is a token, and a longer one is not, before and after decompression."""
    body = json.dumps(GOOD).encode().ljust(size)
    headers = [f"Content-Encoding: {pack}"] if pack else []
    result = stage.read(whole(gzip.compress(body) if pack else body, *headers))
    assert isinstance(result, Token) is (size == MAX_REPLY_BYTES)


def test_random_bytes_that_say_gzip(stage: Stage) -> None:
    """Invalid compressed data is an error, for any length."""
    result = stage.read(whole(os.urandom(MEGABYTE), "Content-Encoding: gzip"))
    assert isinstance(result, InvalidTokenResponse)
    assert result.problem == "content-encoding"

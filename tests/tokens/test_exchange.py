"""One token request: its response is read completely, in limited memory, without redirects."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import httpx
import pytest

import seic
from seic import InvalidTokenResponse
from seic._oauth.messages import MAX_REPLY_BYTES
from seic._tokens.exchange import _BoundedBody
from tests._support.loopback import PATIENCE
from tests._support.sending import (
    PASSWORD,
    SECRET,
    Call,
    Sender,
    answering,
    config,
    http,
    request_to,
    send_blocking,
    send_in_asyncio,
    sender_to,
    transports_of,
)


def test_an_answer_is_read_whole(send: Call) -> None:
    """Status, headers, body; and the request's secrets."""
    with answering(http(b'{"a": 1}', "requesttrackingid: track-1")) as server:
        reply = send(sender_to(config(server.url)), request_to(server.url), PATIENCE)

    assert (reply.status, reply.headers["requesttrackingid"], reply.body) == (200, "track-1", b'{"a": 1}')
    assert SECRET in reply.secrets
    assert PASSWORD in reply.secrets
    assert SECRET not in repr(reply)


def test_a_redirect_is_not_followed(send: Call) -> None:
    """A redirect would forward the credentials."""
    with answering(http(b"", "Location: https://elsewhere.example/", status="302 Found")) as server:
        assert send(sender_to(config(server.url)), request_to(server.url), PATIENCE).status == 302


# Size


def _inflated(body: bytes, encoding: str) -> bytes:
    return http(body, f"Content-Encoding: {encoding}")


_FITS = b"x" * MAX_REPLY_BYTES
_TOO_LONG = b"x" * (MAX_REPLY_BYTES + 1)


@pytest.mark.parametrize(
    ("raw", "length"),
    [
        pytest.param(http(_FITS), MAX_REPLY_BYTES, id="the longest"),
        pytest.param(_inflated(gzip.compress(_FITS), "gzip"), MAX_REPLY_BYTES, id="gzip, the longest"),
        pytest.param(_inflated(gzip.compress(b"{}"), "GZip"), 2, id="gzip, in other letters"),
        pytest.param(_inflated(gzip.compress(b"{}"), "x-gzip"), 2, id="x-gzip"),
        pytest.param(_inflated(zlib.compress(b"{}"), "deflate"), 2, id="deflate"),
        pytest.param(_inflated(b"{}", "identity"), 2, id="identity"),
        pytest.param(_inflated(b"{}", "none"), 2, id="none"),
        pytest.param(_inflated(b"{}", "UTF-8"), 2, id="a charset"),
        pytest.param(_inflated(gzip.compress(b"{}"), "identity, gzip"), 2, id="identity and gzip"),
        pytest.param(_inflated(b"", "gzip"), 0, id="nothing at all"),
    ],
)
def test_a_reply_within_the_limit_is_read(raw: bytes, length: int) -> None:
    """The limit is a mebibyte, after decompression."""
    with answering(raw) as server:
        assert len(send_blocking(sender_to(config(server.url)), request_to(server.url), PATIENCE).body) == length


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        pytest.param(http(_TOO_LONG), "size", id="too long"),
        pytest.param(_inflated(gzip.compress(_TOO_LONG), "gzip"), "size", id="gzip, too long"),
        pytest.param(_inflated(gzip.compress(b"x" * 100_000_000), "gzip"), "size", id="a bomb"),
        pytest.param(_inflated(zlib.compress(_TOO_LONG), "deflate"), "size", id="deflate, too long"),
        pytest.param(_inflated(b"{}", "gzip"), "content-encoding", id="no gzip"),
        pytest.param(_inflated(gzip.compress(b"{}")[:-9], "gzip"), "content-encoding", id="cut off"),
        pytest.param(_inflated(b"{}", "br"), "content-encoding", id="an encoding that was not asked for"),
        pytest.param(_inflated(b"{}", "gzip, gzip"), "content-encoding", id="twice"),
        pytest.param(_inflated(b"{}", "none, br"), "content-encoding", id="one of two"),
    ],
)
# httpcore's generators cannot be closed from outside, and trio warns about unfinished ones.
@pytest.mark.filterwarnings("ignore:.*httpcore.*garbage collected", "ignore:.*httpx.*garbage collected")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_reply_that_cannot_be_read_is_an_error(send: Call, raw: bytes, problem: str) -> None:
    """Nothing beyond the limit is kept in memory."""
    with answering(raw) as server, pytest.raises(InvalidTokenResponse) as caught:
        send(sender_to(config(server.url)), request_to(server.url), PATIENCE)
    assert caught.value.problem == problem


def test_a_bomb_costs_no_more_memory_than_the_limit() -> None:
    """A chunk can inflate a thousandfold; only as much as needed is decompressed."""
    bomb = gzip.compress(b"x" * 100 * MAX_REPLY_BYTES)
    body = _BoundedBody(
        httpx.Request("POST", "https://idp.example"), httpx.Response(200, headers={"Content-Encoding": "gzip"})
    )
    tracemalloc.start()
    try:
        with pytest.raises(InvalidTokenResponse):
            body.feed(bomb)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * MAX_REPLY_BYTES


def test_a_transport_of_the_wrong_kind_is_a_mistake_of_the_settings() -> None:
    """An async one cannot carry a blocking request, nor the reverse."""

    class Async(httpx.AsyncBaseTransport):
        pass

    class Blocking(httpx.BaseTransport):
        pass

    request = request_to("https://api.example")
    settings = config("https://api.example")
    with pytest.raises(seic.ConfigurationError):
        send_blocking(Sender(transports_of(settings, Async())), request, PATIENCE)
    with pytest.raises(seic.ConfigurationError):
        send_in_asyncio(Sender(transports_of(settings, Blocking())), request, PATIENCE)

"""One token call on the wire: bounded in time and size, never redirected, and its failures told without its secrets."""

from __future__ import annotations

import asyncio
import base64
import gzip
import pickle
import socket
import threading
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import trio

import seic
from seic import InvalidTokenResponse, SeicError, TokenEndpointUnavailable
from seic._connector import TokenConnector
from seic._oauth.messages import MAX_REPLY_BYTES
from seic._tokens.lifeline import CallEnded, Lifeline
from seic._tokens.sending import Reply, Sender, _BoundedBody, free_of_secrets
from tests._support.loopback import PATIENCE, RawServer, server_context
from tests._support.pki import Minted, authority
from tests._support.pki import server as server_certificate
from tests._support.reports import report

SECRET = "AppSecret-1"
PASSWORD = "pass word-1"

Call = Callable[[Sender, httpx.Request, float], Reply]


def _blocking(sender: Sender, request: httpx.Request, seconds: float) -> Reply:
    return sender.send_sync(request, seconds, Lifeline())


def _asyncio(sender: Sender, request: httpx.Request, seconds: float) -> Reply:
    return asyncio.run(sender.send(request, seconds))


def _trio(sender: Sender, request: httpx.Request, seconds: float) -> Reply:
    reply: Reply = trio.run(sender.send, request, seconds)
    return reply


@pytest.fixture(params=[_blocking, _asyncio, _trio], ids=["blocking", "asyncio", "trio"])
def send(request: pytest.FixtureRequest) -> Call:
    """Send in each way."""
    call: Call = request.param
    return call


def config(url: str, **changes: Any) -> seic.Config:
    """Return settings for a server on loopback."""
    settings: dict[str, Any] = {
        "provider": seic.SEI_GATEWAY,
        "hosts": seic.Hosts(api=url, allow_http_on_loopback=True),
        "client_id": "AppKey-1",
        "client_secret": SECRET,
        "grant": seic.ClientCredentials(username="svc-user", password=PASSWORD),
    }
    return seic.Config(**{**settings, **changes})


def sender_to(settings: seic.Config) -> Sender:
    """Return a sender that goes over the network."""
    return Sender(TokenConnector(settings))


def request_to(url: str) -> httpx.Request:
    """Return a token request with secrets in its headers and form."""
    return httpx.Request(
        "POST",
        f"{url}/v2/oauthtoken",
        headers={"Authorization": "Basic " + base64.b64encode(f"AppKey-1:{SECRET}".encode()).decode()},
        data={"grant_type": "client_credentials", "username": "svc-user", "password": PASSWORD},
    )


def answering(raw: bytes) -> RawServer:
    """Return a server that gives this answer, as it is."""
    return RawServer(lambda connection: connection.sendall(raw))


def http(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """Return an answer of HTTP/1.1."""
    lines = [f"HTTP/1.1 {status}", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def test_an_answer_is_read_whole(send: Call) -> None:
    """Status, headers, body; and what it must not be told again."""
    with answering(http(b'{"a": 1}', "requesttrackingid: track-1")) as server:
        reply = send(sender_to(config(server.url)), request_to(server.url), PATIENCE)

    assert (reply.status, reply.headers["requesttrackingid"], reply.body) == (200, "track-1", b'{"a": 1}')
    assert SECRET in reply.secrets
    assert PASSWORD in reply.secrets
    assert SECRET not in repr(reply)


def test_a_redirect_is_not_followed(send: Call) -> None:
    """The credentials would go along."""
    with answering(http(b"", "Location: https://elsewhere.example/", status="302 Found")) as server:
        assert send(sender_to(config(server.url)), request_to(server.url), PATIENCE).status == 302


# The deadline


_DEADLINES = (0.3, 1, 3)


def _silent(server: RawServer, connection: socket.socket) -> None:
    server.wait(connection)


def _drip_headers(server: RawServer, connection: socket.socket) -> None:
    server.drip(connection, b"HTTP/1.1 200 OK\r\n", b"X-Drop: 1\r\n")


def _drip_one_header(server: RawServer, connection: socket.socket) -> None:
    server.drip(connection, b"HTTP/1.1 200 OK\r\nX-Long: ", b"x")


def _drip_a_body(server: RawServer, connection: socket.socket) -> None:
    server.drip(connection, b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"x")


def _drip_chunks(server: RawServer, connection: socket.socket) -> None:
    server.drip(connection, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n")


def _drip_early_hints(server: RawServer, connection: socket.socket) -> None:
    server.drip(connection, b"", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n")


@pytest.fixture(scope="module")
def identity() -> Minted:
    """A server's certificate for localhost."""
    return server_certificate(authority())


@pytest.fixture(params=["plain", "tls"])
def slow(request: pytest.FixtureRequest, identity: Minted) -> Iterator[Callable[..., tuple[RawServer, seic.Config]]]:
    """Start a server that is slow in some way, and return it with the settings that reach it."""
    servers: list[RawServer] = []

    def start(manner: Callable[[RawServer, socket.socket], None]) -> tuple[RawServer, seic.Config]:
        context = None
        if request.param == "tls":
            context = server_context(identity)
        server = RawServer(lambda connection: manner(server, connection), context=context)
        servers.append(server.__enter__())
        if context is None:
            return server, config(server.url)
        return server, config(f"https://localhost:{server.port}", ca=authority().pem)

    yield start
    for server in servers:
        server.__exit__(None, None, None)


@pytest.mark.parametrize(
    "manner", [_silent, _drip_headers, _drip_one_header, _drip_a_body, _drip_chunks, _drip_early_hints]
)
def test_no_server_is_slow_enough_to_outlive_the_deadline(
    send: Call, slow: Callable[..., tuple[RawServer, seic.Config]], manner: Callable[[RawServer, socket.socket], None]
) -> None:
    """A drop now and then keeps every read timeout happy; the whole call ends all the same, and its connection too."""
    server, settings = slow(manner)
    # On a busy machine the first deadlines may pass before the server has heard the request.
    for seconds in _DEADLINES:
        server.hung_up.clear()
        with pytest.raises(TokenEndpointUnavailable) as caught:
            send(sender_to(settings), request_to(settings.base_url), seconds)
        assert f"no whole answer within {seconds:g} s" in str(caught.value)
        if server.hung_up.wait(PATIENCE) and server.arrived.is_set():
            return
    pytest.fail("the connection outlived the deadline")


def test_a_handshake_that_never_ends_ends_with_the_deadline(send: Call) -> None:
    """The server takes the connection and says nothing."""
    with RawServer(lambda _: None) as server:
        url = f"https://localhost:{server.port}"
        with pytest.raises(TokenEndpointUnavailable) as caught:
            send(sender_to(config(url)), request_to(url), 0.3)
        assert server.hung_up.wait(PATIENCE)
    assert "no answer within 0.27 s, to the connection or to its TLS handshake" in str(caught.value)


def test_a_blocking_call_can_be_ended_from_outside(slow: Callable[..., tuple[RawServer, seic.Config]]) -> None:
    """Its thread comes out of the read at once, with what is no error."""
    server, settings = slow(_drip_headers)
    line = Lifeline()
    ended = threading.Event()

    def call() -> None:
        with pytest.raises(CallEnded):
            sender_to(settings).send_sync(request_to(settings.base_url), 10 * PATIENCE, line)
        ended.set()

    thread = threading.Thread(target=call)
    thread.start()
    assert server.arrived.wait(PATIENCE)
    line.cut()
    assert ended.wait(PATIENCE)
    thread.join()
    assert server.hung_up.wait(PATIENCE)


def test_a_line_that_was_cut_before_lets_no_call_through() -> None:
    """Whoever cut it does not want another."""
    line = Lifeline()
    line.cut()
    with answering(http(b"{}")) as server, pytest.raises(CallEnded):
        sender_to(config(server.url)).send_sync(request_to(server.url), PATIENCE, line)


def test_a_call_leaves_nothing_behind(send: Call) -> None:
    """Neither a thread that counts the time nor a socket; each of which would warn."""
    before = set(threading.enumerate())
    with answering(http(b"{}")) as server:
        send(sender_to(config(server.url)), request_to(server.url), 10 * PATIENCE)
    for thread in set(threading.enumerate()) - before:
        thread.join(PATIENCE)
        assert not thread.is_alive()


# The size


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
        pytest.param(_inflated(b"", "gzip"), 0, id="nothing at all"),
    ],
)
def test_a_reply_within_the_limit_is_read(raw: bytes, length: int) -> None:
    """The limit is a mebibyte, after decompression."""
    with answering(raw) as server:
        assert len(_blocking(sender_to(config(server.url)), request_to(server.url), PATIENCE).body) == length


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
    ],
)
# httpcore's generators cannot be closed from outside, and trio warns of each that is left before its end.
@pytest.mark.filterwarnings("ignore:.*httpcore.*garbage collected", "ignore:.*httpx.*garbage collected")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_reply_that_cannot_be_read_is_an_error(send: Call, raw: bytes, problem: str) -> None:
    """Nothing beyond the limit is kept in memory."""
    with answering(raw) as server, pytest.raises(InvalidTokenResponse) as caught:
        send(sender_to(config(server.url)), request_to(server.url), PATIENCE)
    assert caught.value.problem == problem


def test_a_bomb_costs_no_more_memory_than_the_limit() -> None:
    """A chunk off the wire may inflate a thousandfold; it is inflated only as far as it is wanted."""
    bomb = gzip.compress(b"x" * 100 * MAX_REPLY_BYTES)
    body = _BoundedBody(httpx.Headers({"Content-Encoding": "gzip"}), "idp.example")
    tracemalloc.start()
    try:
        with pytest.raises(InvalidTokenResponse):
            body.feed(bomb)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * MAX_REPLY_BYTES


# Failures and secrets


def _secrets(text: str) -> list[str]:
    forms = [SECRET, PASSWORD, "pass+word-1", "pass%20word-1", base64.b64encode(f"AppKey-1:{SECRET}".encode()).decode()]
    return [form for form in forms if form in text]


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="no answer"),
        pytest.param(b"what?\r\n\r\n", id="no HTTP"),
        pytest.param(f"{SECRET} {PASSWORD}\r\n\r\n".encode(), id="an echo of the secrets"),
        pytest.param(http(b"abc", "Content-Length: 99"), id="a body cut off"),
        pytest.param(f"HTTP/1.1 200 OK\r\n{PASSWORD}\r\n\r\n".encode(), id="an echo in a header"),
    ],
)
def test_what_is_no_answer_is_told_without_secrets(send: Call, raw: bytes) -> None:
    """Neither message nor cause nor frames nor pickle hold what was sent, whatever the server echoes."""
    with answering(raw) as server, pytest.raises(TokenEndpointUnavailable) as caught:
        send(sender_to(config(server.url)), request_to(server.url), PATIENCE)

    told = report(caught.value) + repr(pickle.dumps(caught.value))
    assert _secrets(told) == []
    assert f"127.0.0.1:{server.port}" in str(caught.value)


def test_nobody_there_names_the_host_and_keeps_the_cause(send: Call) -> None:
    """The library's own error says what the socket said."""
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    listener.close()
    with pytest.raises(TokenEndpointUnavailable) as caught:
        send(sender_to(config(url)), request_to(url), PATIENCE)

    assert url.removeprefix("http://") in str(caught.value)
    assert isinstance(caught.value.__cause__, httpx.ConnectError)
    assert caught.value.__cause__.__traceback__ is None
    assert caught.value.status is None
    assert caught.value.retry_after is None


def test_a_server_that_is_not_trusted_is_not_told_anything(identity: Minted, send: Call) -> None:
    """The handshake fails before the request goes out."""
    context = server_context(identity)
    with RawServer(lambda connection: None, context=context) as server:
        url = f"https://localhost:{server.port}"
        with pytest.raises(SeicError):
            send(sender_to(config(url)), request_to(url), PATIENCE)
        assert not server.arrived.is_set()


def test_a_chain_of_causes_loses_its_requests_and_frames() -> None:
    """Each link of it, and a circle is no trap."""
    request = httpx.Request("POST", "https://idp.example/token?code=secret", headers={"Authorization": "Basic secret"})
    first, second = httpx.ReadError("first", request=request), httpx.ConnectError("second", request=request)
    try:
        raise second from first
    except httpx.ConnectError as error:
        error.__context__ = first
    first.__context__ = second
    result = free_of_secrets(second, ())

    assert result is second
    for link in (first, second):
        assert link.__traceback__ is None
        assert "Authorization" not in link.request.headers
        assert link.request.url == "https://idp.example/token"


@pytest.mark.parametrize("where", ["itself", "its cause"])
def test_an_error_whose_words_hold_a_secret_is_not_kept(where: str) -> None:
    """There is no other way to unsay it."""
    outer, inner = ValueError("harmless"), ValueError("harmless")
    (outer if where == "itself" else inner).args = ("it said s3cret to me",)
    outer.__cause__ = inner
    assert free_of_secrets(outer, ("s3cret",)) is None
    assert free_of_secrets(outer, ("other",)) is outer


@pytest.mark.parametrize("kind", [httpx.ConnectError, httpx.ReadError, httpx.PoolTimeout])
def test_a_secret_of_one_letter_does_not_hide_what_happened(kind: type[httpx.TransportError]) -> None:
    """Whether the request went out is known by the kind; the words go, with all that they came from."""
    error = kind("All connection attempts failed", request=httpx.Request("POST", "https://idp.example/?t=a"))
    error.__cause__ = ValueError("a")
    result = free_of_secrets(error, ("a",))
    assert isinstance(result, kind)
    assert str(result) == "***"
    assert result.__cause__ is None
    with pytest.raises(RuntimeError, match="request"):
        _ = result.request


def test_a_transport_of_the_wrong_kind_is_a_mistake_of_the_settings() -> None:
    """An async one cannot carry a blocking call, nor the other way round."""

    class Async(httpx.AsyncBaseTransport):
        pass

    class Blocking(httpx.BaseTransport):
        pass

    request = request_to("https://api.seic.com")
    settings = config("https://api.seic.com")
    with pytest.raises(seic.ConfigurationError):
        _blocking(Sender(TokenConnector(settings, Async())), request, PATIENCE)
    with pytest.raises(seic.ConfigurationError):
        _asyncio(Sender(TokenConnector(settings, Blocking())), request, PATIENCE)

"""Total timeouts of token requests, with an endpoint that never finishes its reply, over real sockets."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
import trio

import seic
from seic import TokenEndpointUnavailable
from tests._support.clocks import FakeClock
from tests._support.loopback import PATIENCE, RawServer

TOKEN = json.dumps({"access_token": "token-1", "token_type": "BearerToken", "expires_in": "3600"}).encode()
REPLY = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(TOKEN), TOKEN)


class Endpoint(RawServer):
    """An endpoint that sends a number of tokens, and then single bytes of a header.

    Attributes:
        dripping: Set when a reply is being sent byte by byte.
    """

    def __init__(self, *, tokens: int = 0) -> None:
        super().__init__(self._reply)
        self.dripping = threading.Event()
        self._tokens = tokens

    def _reply(self, connection: socket.socket) -> None:
        if self._tokens:
            self._tokens -= 1
            connection.sendall(REPLY)
            return
        self.dripping.set()
        self.drip(connection, b"HTTP/1.1 200 OK\r\nX-Long: ", b"x")

    def config(self, **changes: Any) -> seic.Config:
        """Return a configuration for this endpoint."""
        return settings(hosts=seic.Hosts(api=self.url, allow_http_on_loopback=True), **changes)


def settings(**changes: Any) -> seic.Config:
    """Return a configuration."""
    return seic.Config(
        **{
            "provider": seic.OAUTH2,
            "client_id": "client-1",
            "client_secret": "secret-1",
            "grant": seic.ClientCredentials(),
            **changes,
        }
    )


@pytest.fixture
def others() -> set[threading.Thread]:
    """Return the threads of earlier tests that have not ended yet."""
    return set(threading.enumerate())


def fetchers(others: set[threading.Thread]) -> list[threading.Thread]:
    """Return the threads of this test that refresh tokens."""
    return [thread for thread in threading.enumerate() if thread.name == "seic" and thread not in others]


def test_blocking_callers_get_an_error_at_the_deadline(others: set[threading.Thread]) -> None:
    """All get the same error, and no thread or connection remains."""
    with Endpoint() as endpoint, seic.Client(endpoint.config(token_timeout=0.3)) as client:

        def call(_: int) -> BaseException | None:
            try:
                client.get("/v1/accounts")
            except TokenEndpointUnavailable as error:
                return error
            return None

        with ThreadPoolExecutor(5) as pool:
            errors = list(pool.map(call, range(5)))

        assert all("no whole answer within" in str(error) for error in errors)
        assert client.stats.token_requests == 2
        assert endpoint.hung_up.wait(PATIENCE)
    for thread in fetchers(others):
        thread.join(PATIENCE)
        assert not thread.is_alive()


class Swallowing(Endpoint):
    """An endpoint that never answers its first requests."""

    def __init__(self, *, swallowed: int = 1) -> None:
        super().__init__(tokens=2)
        self.requests = 0
        self._swallowed = swallowed

    def _reply(self, connection: socket.socket) -> None:
        self.requests += 1
        if self.requests <= self._swallowed:
            self.wait(connection)
        else:
            super()._reply(connection)


def test_a_request_that_is_swallowed_does_not_take_all_the_time(others: set[threading.Thread]) -> None:
    """A second attempt on a new connection succeeds, for blocking and for async callers."""

    async def call(config: seic.Config) -> str:
        async with seic.AsyncClient(config) as client:
            return (await client.token()).access_token

    with Swallowing() as endpoint, seic.Client(endpoint.config(token_timeout=2)) as client:
        assert client.token().access_token == "token-1"
        assert (client.stats.token_requests, client.stats.token_failures, endpoint.requests) == (2, 1, 2)
    with Swallowing() as endpoint:
        assert asyncio.run(call(endpoint.config(token_timeout=2))) == "token-1"


def test_a_refresh_token_without_an_answer_is_sent_once() -> None:
    """A second sending could end the login, so the first has all the time."""
    grant = seic.RefreshToken(refresh_token="refresh-1")
    with Swallowing() as endpoint, seic.Client(endpoint.config(token_timeout=0.3, grant=grant)) as client:
        with pytest.raises(TokenEndpointUnavailable, match=r"no whole answer within 0\.3 s"):
            client.token()
        assert endpoint.requests == 1


@pytest.mark.parametrize(
    ("grant", "read"),
    [(seic.ClientCredentials(), 2.7), (seic.RefreshToken(refresh_token="refresh-1"), 9)],
    ids=["repeatable", "single use"],
)
def test_a_connection_does_not_take_all_the_time(grant: seic.Grant, read: float) -> None:
    """Nothing was sent on it, so that a second attempt can send what works only once."""
    limits = []

    def answer(request: httpx.Request) -> httpx.Response:
        limits.append(request.extensions["timeout"])
        if len(limits) == 1:
            raise httpx.ConnectTimeout("late")
        return httpx.Response(200, content=TOKEN)

    config = settings(hosts=seic.Hosts(api="https://idp.example"), token_timeout=10, grant=grant)
    auth = seic.OAuth2Auth(config, transport=httpx.MockTransport(answer), clock=FakeClock().clock)
    assert auth.token_sync().access_token == "token-1"
    assert limits[0] == {"connect": pytest.approx(min(3, read)), "read": read, "write": read, "pool": read}
    assert len(limits) == 2


def _asyncio(main: Callable[[], Any]) -> Any:
    return asyncio.run(main())


@pytest.mark.parametrize("run", [_asyncio, trio.run], ids=["asyncio", "trio"])
def test_async_callers_get_an_error_at_the_deadline(run: Callable[..., Any]) -> None:
    """With asyncio and with trio."""
    with Endpoint() as endpoint:

        async def main() -> None:
            async with seic.AsyncClient(endpoint.config(token_timeout=0.3)) as client:
                with pytest.raises(TokenEndpointUnavailable, match="no whole answer within"):
                    await client.get("/v1/accounts")

        run(main)
        assert endpoint.hung_up.wait(PATIENCE)


def test_closing_cancels_a_refresh_of_a_blocking_caller(others: set[threading.Thread]) -> None:
    """The endpoint hangs in a background refresh, without waiting calls, and the program ends."""
    clock = FakeClock()
    with Endpoint(tokens=1) as endpoint:
        auth = seic.OAuth2Auth(endpoint.config(token_timeout=10 * PATIENCE), clock=clock.clock)
        auth.source.token_sync()
        clock.advance(3000)
        assert auth.source.token_sync().access_token == "token-1"
        assert endpoint.dripping.wait(PATIENCE)
        auth.close()

        assert endpoint.hung_up.wait(PATIENCE)
        for thread in fetchers(others):
            thread.join(PATIENCE)
            assert not thread.is_alive()
        assert auth._source.cache.pending is None
        assert auth.source.token_sync().access_token == "token-1"
        auth.close()


async def test_closing_cancels_a_refresh_of_an_async_caller() -> None:
    """No task remains, which the loop would warn about."""
    clock = FakeClock()
    with Endpoint(tokens=1) as endpoint:
        auth = seic.OAuth2Auth(endpoint.config(token_timeout=10 * PATIENCE), clock=clock.clock)
        await auth.source.token()
        clock.advance(3000)
        assert (await auth.source.token()).access_token == "token-1"
        assert await asyncio.to_thread(endpoint.dripping.wait, PATIENCE)
        await auth.aclose()

        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert await asyncio.to_thread(endpoint.hung_up.wait, PATIENCE)


def test_callers_do_not_wait_for_a_resolver_that_hangs(
    monkeypatch: pytest.MonkeyPatch, others: set[threading.Thread]
) -> None:
    """The system's resolver cannot be cancelled, so callers stop waiting for its thread."""
    monkeypatch.setattr("seic._tokens.source._GRACE", 0.0)
    monkeypatch.setattr("seic._tokens.source.PATIENCE", 0.0)
    answers, asked = threading.Event(), threading.Event()

    def resolve(*_: Any, **__: Any) -> Any:
        asked.set()
        answers.wait(PATIENCE)
        raise socket.gaierror("unknown")

    config = settings(hosts=seic.Hosts(api="https://idp.example"), token_timeout=0.3)
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with seic.Client(config) as client:
        with pytest.raises(TokenEndpointUnavailable, match="no answer within"):
            client.get("/v1/accounts")
        assert asked.is_set()
        answers.set()
    for thread in fetchers(others):
        thread.join(PATIENCE)

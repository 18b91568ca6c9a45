"""The thread and the event loop in which a token is requested, and in which a user's code is called."""

from __future__ import annotations

import asyncio
import contextvars
import subprocess
import sys
import textwrap
import threading
import time
import weakref
from typing import Any

import attrs
import httpx
import pytest
import trio

import seic
from seic.testing import MockProvider
from tests._support.crowds import in_threads
from tests._support.gate import Gate
from tests._support.mocks import PATIENCE, endpoint_mock, refreshing_mock


def _seics() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("seic")}


# Threads


@pytest.mark.parametrize("library", ["asyncio", "trio"])
def test_an_async_program_has_no_thread_of_seics(server: MockProvider, library: str) -> None:
    """Expect none while a token is requested, with plain credentials and without a blocking store."""
    before, during = _seics(), set[threading.Thread]()

    def answer(request: httpx.Request) -> httpx.Response:
        during.update(_seics())
        response: httpx.Response = server.handle_request(request)
        return response

    async def main() -> None:
        config = server.config(store=seic.MemoryStore())
        async with seic.AsyncClient(config, transport=httpx.MockTransport(answer)) as client:
            await client.token()
            await client.token(force=True)

    asyncio.run(main()) if library == "asyncio" else trio.run(main)
    assert during <= before
    assert _seics() <= before


def test_a_first_request_over_the_network_starts_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """The TLS context is built with the client: a thread for it would hardly run next to a full event loop."""
    # No context of another test is at hand.
    monkeypatch.setattr("seic._tls.context._contexts", weakref.WeakValueDictionary())
    monkeypatch.setattr("seic._identity._identities", weakref.WeakValueDictionary())
    started: list[str] = []
    body = b'{"access_token": "a", "expires_in": 3600, "token_type": "Bearer"}'

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        await writer.drain()
        writer.close()

    def start(thread: threading.Thread) -> None:
        started.append(thread.name)
        original(thread)

    async def main() -> None:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as provider:
            url = f"http://127.0.0.1:{provider.sockets[0].getsockname()[1]}"
            config = seic.Config(
                provider=seic.OAUTH2,
                hosts=seic.Hosts(api=url, allow_http_on_loopback=True),
                client_id="c",
                client_secret="s",
                grant=seic.ClientCredentials(),
            )
            async with seic.AsyncClient(config) as client:
                monkeypatch.setattr(threading.Thread, "start", start)
                await client.token()

    original = threading.Thread.start
    asyncio.run(main())
    assert started == []


_BLOCKING = """
import threading, httpx, seic

def answer(request):
    return httpx.Response(200, json={"access_token": "a", "expires_in": 3600, "token_type": "Bearer"})

def names():
    return sorted(thread.name for thread in threading.enumerate() if thread is not threading.main_thread())

class Slow(httpx.BaseTransport):
    def handle_request(self, request):
        return answer(request)

config = seic.Config(
    provider=seic.OAUTH2, hosts=seic.Hosts(api="idp.example"), client_id="c", client_secret="s",
    grant=seic.ClientCredentials(),
)
with seic.Client(config, transport=Slow()) as client:
    client.token()
    client.token(force=True)
    (thread,) = [thread for thread in threading.enumerate() if thread is not threading.main_thread()]
    assert (thread.name, thread.daemon) == ("seic", True), names()
thread.join(10)
assert names() == []
"""


def test_a_blocking_program_has_one_thread_that_ends() -> None:
    """Expect the portal alone, as a daemon, and none a moment after the last request."""
    subprocess.run([sys.executable, "-c", _BLOCKING], check=True, timeout=60)


# The user's code


def test_an_async_transport_is_called_in_the_callers_loop(server: MockProvider) -> None:
    """Expect the loop that the client runs in, in a task that the caller's cancellation does not reach."""
    loops: list[object] = []

    async def answer(request: httpx.Request) -> httpx.Response:
        loops.append(asyncio.get_running_loop())
        response: httpx.Response = server.handle_request(request)
        return response

    async def main() -> object:
        async with seic.AsyncClient(server.config(), transport=httpx.MockTransport(answer)) as client:
            await client.token()
        return asyncio.get_running_loop()

    assert [asyncio.run(main())] == loops


def test_a_blocking_transport_that_hangs_holds_up_no_other_client(server: MockProvider) -> None:
    """Expect it to run outside the loop that blocking callers share."""
    go_on, arrived = Gate(), Gate()

    class Hanging(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            arrived.set()
            assert go_on.wait(PATIENCE)
            response: httpx.Response = server.handle_request(request)
            return response

    hangs = seic.OAuth2Auth(server.config(), transport=Hanging())
    (waiting,) = in_threads(hangs.token_sync)
    assert arrived.wait(PATIENCE)
    assert seic.OAuth2Auth(server.config(client_id="other"), transport=server).token_sync().access_token
    assert not waiting.done()
    go_on.set()
    assert waiting.result(PATIENCE).access_token


def test_a_callable_that_hangs_holds_up_no_other_client(server: MockProvider) -> None:
    """Expect it to be called in a thread of its own."""
    go_on, asked = Gate(), Gate()

    def password() -> str:
        asked.set()
        assert go_on.wait(PATIENCE)
        return "secret"

    grant = seic.Password(username="ann", password=password)
    hangs = seic.OAuth2Auth(server.config(grant=grant), transport=server)
    (waiting,) = in_threads(hangs.token_sync)
    assert asked.wait(PATIENCE)
    assert seic.OAuth2Auth(server.config(client_id="other"), transport=server).token_sync().access_token
    assert not waiting.done()
    go_on.set()
    assert waiting.result(PATIENCE).access_token


@pytest.mark.parametrize(
    "call",
    [lambda auth: auth.token_sync(force=True), seic.OAuth2Auth.revoke_sync, seic.OAuth2Auth.token_info_sync],
    ids=["token", "revoke", "info"],
)
def test_a_client_authentication_of_the_users_runs_outside_the_shared_loop(call: Any) -> None:
    """Expect threads of its own: it may ask a vault, and would hold up every blocking client."""
    threads: list[str] = []

    class Vault(seic.ClientSecretBasic):
        def apply(self, headers: dict[str, str], form: dict[str, str], context: seic.RequestContext) -> None:
            threads.append(threading.current_thread().name)
            super().apply(headers, form, context)

    provider = refreshing_mock()
    transport = httpx.MockTransport(provider.handle_request)
    mine = attrs.evolve(provider.config().provider, client_authentication=Vault())
    auth = seic.OAuth2Auth(provider.config(provider=mine), transport=transport)
    auth.token_sync()
    threads.clear()
    call(auth)
    assert set(threads) == {"seic-call"}


def test_a_grant_of_the_users_runs_outside_the_shared_loop_when_a_nonce_is_demanded(
    server: MockProvider,
) -> None:
    """Expect the second request to be built like the first."""
    threads: list[str] = []

    class Mine:
        grant_type = "urn:example:mine"
        is_refreshed = False
        is_repeatable = True
        ends_at = None

        def check(self, _provider: seic.Provider) -> None:
            """Accept any provider."""

        def fields(self, _provider: seic.Provider) -> dict[str, str]:
            """Return the fields, and note the thread."""
            threads.append(threading.current_thread().name)
            return {"x": "y"}

    replies = [
        httpx.Response(400, json={"error": "use_dpop_nonce"}, headers={"DPoP-Nonce": "nonce-1"}),
        httpx.Response(200, json={"access_token": "a", "token_type": "DPoP", "expires_in": 100}),
    ]
    transport = httpx.MockTransport(lambda _request: replies.pop(0))
    auth = seic.OAuth2Auth(server.config(grant=Mine(), dpop=seic.DPoP()), transport=transport)
    threads.clear()
    assert auth.token_sync().access_token == "a"
    assert threads == ["seic-call"] * 2


async def test_a_callable_that_blocks_leaves_the_event_loop_free(server: MockProvider) -> None:
    """Expect the loop to serve others while a callable runs a command or reads a file."""
    go_on, asked = Gate(), Gate()

    def password() -> str:
        asked.set()
        assert go_on.wait(PATIENCE)
        return "secret"

    grant = seic.Password(username="ann", password=password)
    async with seic.AsyncClient(server.config(grant=grant), transport=server) as client:
        waiting = asyncio.create_task(client.token())
        assert await asked.wait_async(PATIENCE)
        assert not waiting.done()
        go_on.set()
        assert (await waiting).access_token == "token-1"


def test_a_coroutine_listener_of_a_blocking_client_holds_up_no_other_client(server: MockProvider) -> None:
    """Expect it to run in an event loop of its own."""
    go_on, called = Gate(), Gate()

    async def listen(_event: seic.events.Event) -> None:
        called.set()
        go_on.wait(PATIENCE)  # it blocks, which it should not

    hangs = seic.OAuth2Auth(server.config(), transport=server, on_event=listen)
    in_threads(hangs.token_sync)
    assert called.wait(PATIENCE)
    assert seic.OAuth2Auth(server.config(client_id="other"), transport=server).token_sync().access_token
    go_on.set()


@pytest.mark.parametrize("kind", ["async", "blocking"])
def test_a_token_is_requested_in_the_context_of_the_first_caller(server: MockProvider, kind: str) -> None:
    """Expect its context variables, by which tracers link the request to the caller's span."""
    variable, seen = contextvars.ContextVar[str]("variable"), list[str | None]()

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(variable.get(None))
        response: httpx.Response = server.handle_request(request)
        return response

    auth = seic.OAuth2Auth(server.config(), transport=httpx.MockTransport(answer))
    context = contextvars.copy_context()
    context.run(variable.set, "of the caller")
    context.run(auth.token_sync) if kind == "blocking" else context.run(asyncio.run, auth.token())
    assert seen == ["of the caller"]


# A loop without idle time


async def test_a_token_is_not_late_in_a_saturated_loop() -> None:
    """Expect a token within its deadline although callbacks of a millisecond leave the loop no idle time."""
    stopped = False

    def spin(seconds: float) -> None:
        ends = time.perf_counter() + seconds
        while time.perf_counter() < ends:
            sum(range(100))

    async def hog() -> None:
        while not stopped:
            spin(0.001)
            await asyncio.sleep(0)

    async def answer(_request: httpx.Request) -> httpx.Response:
        for _ in range(8):  # about as many turns as a token request takes
            await asyncio.sleep(0.001)
        return httpx.Response(200, json={"access_token": "a", "expires_in": 3600})

    config = attrs.evolve(endpoint_mock().config(), token_timeout=2)
    async with seic.AsyncClient(config, transport=httpx.MockTransport(answer)) as client:
        hogging = asyncio.create_task(hog())
        await asyncio.sleep(0)
        for _ in range(4):
            await client.token(force=True)
        assert client.stats.token_requests == 4
        stopped = True
        await hogging


# Green threads

_GREEN = """
import sys
sys.modules["trio"] = None  # its sockets do not load under eventlet
{patch}
import http.server, json, socketserver, threading
import seic

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        body = json.dumps({{"access_token": "a", "expires_in": 3600, "token_type": "Bearer"}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass

class Server(socketserver.ThreadingTCPServer):
    daemon_threads = True

server = Server(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
config = seic.Config(
    provider=seic.OAUTH2,
    hosts=seic.Hosts(api=f"http://127.0.0.1:{{server.server_address[1]}}", allow_http_on_loopback=True),
    client_id="c", client_secret="s", grant=seic.ClientCredentials(),
)
with seic.Client(config) as client:
    tokens = []
    threads = [threading.Thread(target=lambda: tokens.append(client.token().access_token)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tokens == ["a"] * 5, tokens
    assert client.stats.token_requests == 1
    client.token(force=True)
print("done", flush=True)
"""


@pytest.mark.parametrize(
    ("package", "patch"),
    [
        ("gevent", "from gevent import monkey; monkey.patch_all()"),
        ("eventlet", "import eventlet; eventlet.monkey_patch()"),
    ],
)
def test_a_blocking_client_works_with_green_threads(package: str, patch: str) -> None:
    """Expect a token where the standard library is patched before seic is imported; the portal is a green thread."""
    pytest.importorskip(package)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(_GREEN).format(patch=patch)],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout == "done\n", done.stderr

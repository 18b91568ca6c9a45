"""Redirects in custom transports, which the origin guard can only observe."""

from __future__ import annotations

import asyncio
from types import ModuleType
from typing import Any

import httpx
import httpx2
import pytest

import seic
from seic._errors import HostNotAllowed
from seic._model.hosts import Hosts, Origin
from seic._transport import AsyncTrace, BlockingTrace, OriginGuard, Transport
from tests._support.hops import Recorder, make_config
from tests._support.wire import Wire, wire


@pytest.fixture
def gateway() -> Any:
    """A server in the role of the gateway."""
    with wire() as server:
        yield server


@pytest.fixture
def foreign() -> Any:
    """A server of another origin."""
    with wire() as server:
        yield server


def make_auth(gateway: Wire, **changes: Any) -> seic.OAuth2Auth:
    """Return an auth with this origin, and an in-memory token endpoint."""
    token = httpx.MockTransport(
        lambda _: httpx.Response(200, json={"access_token": "token-1", "token_type": "Bearer", "expires_in": 3600})
    )
    hosts = Hosts(api=gateway.url, allow_http_on_loopback=True)
    return seic.OAuth2Auth(make_config(hosts=hosts, **changes), transport=token)


async def get(url: str, *, blocking: bool, library: ModuleType = httpx, extensions: Any = None, **options: Any) -> Any:
    """Make a call with a custom client that follows redirects."""
    options |= {"follow_redirects": True, "trust_env": False}
    if not blocking:
        async with library.AsyncClient(**options) as client:
            return await client.get(url, extensions=extensions)

    def call() -> Any:
        with library.Client(**options) as client:
            return client.get(url, extensions=extensions)

    return await asyncio.to_thread(call)


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
@pytest.mark.parametrize("blocking", [False, True], ids=["async", "blocking"])
async def test_the_app_key_follows_no_redirect_of_a_users_own_client(
    library: ModuleType, blocking: bool, gateway: Wire, foreign: Wire
) -> None:
    """A plain client that follows redirects sends no header to the other origin."""
    gateway.redirects["/a"] = f"{foreign.url}/b"
    with pytest.raises(HostNotAllowed) as caught:
        await get(f"{gateway.url}/a", blocking=blocking, library=library, auth=make_auth(gateway))

    assert caught.value.host == foreign.url.removeprefix("http://")
    assert [heard.headers["appkey"] for heard in gateway.heard] == ["app-key"]
    assert foreign.heard == []


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
@pytest.mark.parametrize("blocking", [False, True], ids=["async", "blocking"])
async def test_a_users_own_client_follows_redirects_within_the_origin(
    library: ModuleType, blocking: bool, gateway: Wire
) -> None:
    """Each request within the origin has token and AppKey."""
    gateway.redirects["/a"] = "/b"

    reply = await get(f"{gateway.url}/a", blocking=blocking, library=library, auth=make_auth(gateway))

    assert reply.status_code == 200
    assert [heard.path for heard in gateway.heard] == ["/a", "/b"]
    assert [heard.headers["authorization"] for heard in gateway.heard] == ["Bearer token-1"] * 2


@pytest.mark.parametrize("blocking", [False, True], ids=["async", "blocking"])
async def test_a_trace_of_the_users_is_told_as_before(blocking: bool, gateway: Wire, foreign: Wire) -> None:
    """The user's own `trace` gets every step, and the guard still works."""
    steps: list[str] = []

    async def trace(step: str, _info: object) -> None:
        steps.append(step)

    def blocking_trace(step: str, _info: object) -> None:
        steps.append(step)

    auth = make_auth(gateway)
    extensions = {"trace": blocking_trace if blocking else trace}
    gateway.redirects["/a"] = f"{foreign.url}/b"

    await get(f"{gateway.url}/", blocking=blocking, auth=auth, extensions=extensions)

    assert steps[-1] == "http11.response_closed.complete"
    steps.clear()
    with pytest.raises(HostNotAllowed):
        await get(f"{gateway.url}/a", blocking=blocking, auth=auth, extensions=extensions)
    assert steps[-1] == "http11.response_closed.complete"
    assert foreign.heard == []


async def test_a_provider_without_an_id_header_leaves_redirects_to_httpx(gateway: Wire, foreign: Wire) -> None:
    """The library removes the token on the redirect, so that a download from elsewhere works without our headers."""
    gateway.redirects["/a"] = f"{foreign.url}/b"
    auth = make_auth(gateway, provider=seic.OAUTH2, grant=seic.ClientCredentials())

    reply = await get(f"{gateway.url}/a", blocking=False, auth=auth)

    assert reply.status_code == 200
    (heard,) = foreign.heard
    assert "authorization" not in heard.headers
    assert "app-key" not in heard.headers.values()


@pytest.mark.parametrize("blocking", [False, True], ids=["async", "blocking"])
async def test_what_a_deaf_transport_sent_astray_comes_to_light(blocking: bool) -> None:
    """A transport without `trace` follows the redirect; the response is refused, so that the user notices it."""
    recorder = Recorder({"/a": "https://evil.example/b"})
    token = httpx.MockTransport(lambda _: httpx.Response(200, json={"access_token": "t", "token_type": "Bearer"}))
    auth = seic.OAuth2Auth(make_config(), transport=token)
    with pytest.raises(HostNotAllowed) as caught:
        await get("https://api.example/a", blocking=blocking, auth=auth, transport=httpx.MockTransport(recorder))

    assert caught.value.host == "evil.example"
    assert "authorization" not in recorder.seen[-1].headers


def test_a_guarded_transport_spares_the_request_the_trace() -> None:
    """A transport with its own guard needs no trace; a trace of the user stays."""
    guard = OriginGuard(Origin.parse("api.example", field="hosts.api"))
    recorder = Recorder()
    transport = Transport(make_config(), transport=httpx.MockTransport(recorder))

    def own(_step: str, _info: object) -> None:
        pass

    for extensions, expected in (({}, {}), ({"trace": own}, {"trace": own})):
        request = httpx.Request("GET", "https://api.example/", extensions=extensions)
        BlockingTrace(guard).watch(request)
        assert isinstance(request.extensions["trace"], BlockingTrace)
        transport.handle_request(request)
        assert recorder.seen[-1].extensions == expected


def test_two_traces_do_not_pile_up() -> None:
    """A request that is sent again is observed once, and the user's own trace stays."""
    guards = [OriginGuard(Origin.parse(host, field="hosts.api")) for host in ("a.example", "b.example")]
    first, second = (AsyncTrace(guard) for guard in guards)

    async def own(_step: str, _info: object) -> None:
        pass

    plain, traced = httpx.Request("GET", "https://x"), httpx.Request("GET", "https://x", extensions={"trace": own})
    for request in (plain, traced):
        for trace in (first, first, second, second):
            trace.watch(request)
    assert plain.extensions["trace"].then is None
    assert traced.extensions["trace"].then is own

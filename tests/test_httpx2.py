"""seic with httpx2; most tests of clients, transports and pools run on both libraries anyway."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import Any

import httpx
import httpx2
import pytest

import seic
import seic.httpx2
from seic.testing import MockProvider
from tests._support.gated_server import config_for
from tests._support.hops import make_config
from tests._support.mocks import gateway_mock
from tests._support.wire import wire

_HEAD = """\
import asyncio, sys
def answer(request):
    token = {"access_token": "token-1", "token_type": "Bearer", "expires_in": 3600}
    body = token if request.url.path == "/oauth/v2/token" else {"sent": request.headers["Authorization"]}
    return library.Response(200, json=body)
def config():
    return seic.Config(
        provider=seic.OAUTH2, hosts=seic.Hosts("api.example"), client_id="a", client_secret="b",
        grant=seic.ClientCredentials(),
    )
"""
_CALLS = """\
with seic.Client(config(), transport=library.MockTransport(answer)) as client:
    assert client.get("/").json() == {"sent": "Bearer token-1"}
async def main():
    async with seic.AsyncClient(config(), transport=library.MockTransport(answer), retry=seic.Retry()) as client:
        assert (await client.get("/")).json() == {"sent": "Bearer token-1"}
        try:
            await client.get("https://evil.example/")
        except seic.HostNotAllowed as error:
            print(error.host)
    auth = seic.OAuth2Auth(config(), transport=library.MockTransport(answer))
    async with library.AsyncClient(auth=auth, transport=seic.AsyncTransport(config()), base_url=config().base_url) as c:
        try:
            await c.get("/")
        except library.ConnectError as error:
            print(type(error).__module__, error)
asyncio.run(main())
"""
_ALIAS = """\
import httpx2
httpx2.alias_httpx()
import httpx
import seic, seic.httpx2
library = httpx
assert httpx is httpx2
assert issubclass(seic.AsyncClient, httpx2.AsyncClient)
assert isinstance(seic.OAuth2Auth(config()), httpx2.Auth)
"""
_WITHOUT = """\
import httpx
import seic
library = httpx
"""


def _run(head: str, calls: str) -> str:
    """Run a program, and return what it printed."""
    first, _, rest = head.partition("library = httpx\n")
    program = textwrap.dedent(_HEAD) + first + "library = httpx\n" + rest + calls
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_seic_works_where_httpx2_is_httpx() -> None:
    """After `alias_httpx` the two are one library: tokens, calls, the origin guard, and errors in words."""
    said = _run(_ALIAS, _CALLS + "print([name for name in sys.modules if name.startswith('httpcore.')])")

    assert said.splitlines()[0] == "evil.example"
    assert said.splitlines()[1].startswith("httpx2 api.example: could not be reached: the host name")
    assert said.splitlines()[-1] == "[]"


def test_httpx2_is_not_imported_for_httpx() -> None:
    """It takes 20 ms."""
    said = _run(_WITHOUT, _CALLS + "print([name for name in sys.modules if name.startswith('httpx2')])")

    assert said.splitlines()[-1] == "[]"


def test_an_auth_serves_httpx2_if_the_program_imports_it_later() -> None:
    """Its class is an `httpx2.Auth` from then on."""
    _run(_WITHOUT, "auth = seic.OAuth2Auth(config())\nimport httpx2\nhttpx2.AsyncClient(auth=auth)\n")


async def test_one_transport_serves_both_libraries() -> None:
    """Each request goes over connections of its library, and the response is of that library."""
    with wire() as server:
        transport = seic.AsyncTransport(config_for(server.url))
        async with httpx.AsyncClient(transport=transport) as first, httpx2.AsyncClient(transport=transport) as second:
            assert isinstance(await first.get(server.url), httpx.Response)
            assert isinstance(await second.get(server.url), httpx2.Response)
        with pytest.raises(RuntimeError, match="closed"):
            await transport.handle_async_request(httpx2.Request("GET", server.url))

    assert server.connections == 2


@pytest.mark.parametrize("blocking", [False, True], ids=["async", "blocking"])
@pytest.mark.parametrize("kind", ["status", "error"])
async def test_token_requests_go_through_a_transport_of_httpx2(kind: str, blocking: bool) -> None:
    """The request is one of httpx2 there, with its form; its errors are explained as those of httpx."""
    seen: list[Any] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        if kind == "error":
            raise httpx2.ReadTimeout("slow", request=request)
        return httpx2.Response(200, json={"access_token": "token-1", "token_type": "Bearer", "expires_in": "3600"})

    auth = seic.OAuth2Auth(make_config(), transport=httpx2.MockTransport(answer))
    if kind == "error":
        with pytest.raises(seic.TokenEndpointUnavailable, match="no whole answer within"):
            _ = auth.token_sync() if blocking else await auth.token()
    else:
        token = auth.token_sync() if blocking else await auth.token()
        assert token.access_token == "token-1"
        assert isinstance(seen[0], httpx2.Request)
        assert b"grant_type=" in seen[0].content


async def test_a_transport_of_one_kind_is_refused_for_the_other() -> None:
    """As with httpx: the error names its class."""

    class Blocking(httpx2.BaseTransport):
        def handle_request(self, request: httpx2.Request) -> httpx2.Response:
            raise NotImplementedError

    auth = seic.OAuth2Auth(make_config(), transport=Blocking())
    with pytest.raises(seic.ConfigurationError, match="Blocking is for blocking clients only"):
        await auth.token()


async def test_the_clients_name_their_library(gateway: MockProvider) -> None:
    """In the `User-Agent`, for firewalls and logs."""
    async with seic.httpx2.AsyncClient(gateway.config(), transport=gateway) as client:
        reply = await client.get("/x")

    assert isinstance(reply, httpx2.Response)
    assert reply.request.headers["User-Agent"] == f"seic/{seic.__version__} python-httpx2/{httpx2.__version__}"


@pytest.mark.parametrize("module", [httpx, httpx2])
async def test_a_transport_of_the_other_library_is_adapted(module: Any) -> None:
    """Bodies are passed on as streams, and errors become those of the client's library."""
    other = httpx2 if module is httpx else httpx
    client_kind = seic.AsyncClient if module is httpx else seic.httpx2.AsyncClient
    seen: list[bytes] = []

    async def answer(request: Any) -> Any:
        seen.append(await request.aread())
        if request.url.path == "/broken":
            raise other.ReadError("broken", request=request)
        return other.Response(201, content=b"body", headers={"X-A": "1"})

    async def parts() -> Any:
        yield b"one"
        yield b"two"

    auth = seic.OAuth2Auth(make_config(), transport=gateway_mock())
    async with client_kind(make_config(), auth=auth, transport=other.MockTransport(answer)) as client:
        reply = await client.post("/x", content=parts())
        with pytest.raises(module.ReadError, match="broken") as caught:
            await client.get("/broken")

    assert isinstance(reply, module.Response)
    assert (reply.status_code, reply.content, reply.headers["x-a"]) == (201, b"body", "1")
    assert seen == [b"onetwo", b""]
    assert isinstance(caught.value.request, module.Request)


@pytest.mark.parametrize("kind", [seic.Client, seic.httpx2.Client])
def test_cookies_are_kept_as_httpx_keeps_them(kind: Any) -> None:
    """Those of the constructor, of responses, and of the attribute."""
    transport = httpx.MockTransport(lambda _request: httpx.Response(200, headers={"Set-Cookie": "b=2"}))
    auth = seic.OAuth2Auth(make_config(), transport=gateway_mock())
    with kind(make_config(), auth=auth, transport=transport, cookies={"a": "1"}) as client:
        client.get("/x")
        assert dict(client.cookies) == {"a": "1", "b": "2"}
        assert client.get("/x").request.headers["Cookie"] == "a=1; b=2"
        client.cookies = {"c": "3"}
        assert client.get("/x").request.headers["Cookie"] == "c=3"


@pytest.mark.parametrize("kind", [seic.Client, seic.httpx2.Client])
def test_a_closed_client_is_not_opened_again(kind: Any, gateway: MockProvider) -> None:
    """The error says what to do."""
    client = kind(gateway.config(), transport=gateway)
    client.close()
    with pytest.raises(RuntimeError, match="create another one"), client:
        raise AssertionError


@pytest.mark.parametrize("kind", [seic.AsyncClient, seic.httpx2.AsyncClient])
async def test_a_closed_async_client_is_not_opened_again(kind: Any, gateway: MockProvider) -> None:
    """The error says what to do."""
    client = kind(gateway.config(), transport=gateway)
    await client.aclose()
    with pytest.raises(RuntimeError, match="create another one"):
        await client.__aenter__()

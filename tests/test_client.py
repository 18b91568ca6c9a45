from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import anyio
import httpx
import httpx2
import pytest
import respx

import seic
from seic._runtime import Latch
from tests._support.fake_gateway import TOKEN_PATH, FakeGateway
from tests._support.identities import authority, certificate
from tests._support.pki import mint
from tests._support.swapping import PairOnDisk
from tests._support.token_desk import PATIENCE, TokenDesk

_TOKEN = {"access_token": "token-1", "token_type": "BearerToken", "expires_in": "3600"}


@pytest.fixture
def gateway() -> FakeGateway:
    """A gateway in memory."""
    return FakeGateway()


def both(gateway: FakeGateway, **options: Any) -> tuple[seic.AsyncClient, seic.Client]:
    """One client of each kind."""
    return (
        seic.AsyncClient(gateway.config(), transport=gateway.transport, **options),
        seic.Client(gateway.config(), transport=gateway.blocking_transport, **options),
    )


def refused(kind: Any, config: Any, **options: Any) -> seic.ConfigurationError:
    """The error that the options lead to."""
    with pytest.raises(seic.ConfigurationError) as caught:
        kind(config, **options)
    assert str(caught.value).startswith(f"{caught.value.field}: ")
    return caught.value


KINDS = pytest.mark.parametrize("kind", [seic.AsyncClient, seic.Client])


@KINDS
def test_a_client_tells_the_certificate_in_service(kind: Any, tmp_path: Path) -> None:
    """After a renewal it is the new one, whatever was loaded once; without one there is none."""
    old, new = mint(number=61), mint(number=62)
    disk = PairOnDisk(tmp_path, old)
    stated: dict[str, Any] = {
        "provider": seic.OAUTH2,
        "hosts": seic.Hosts(api="api.example", mtls="mtls.example"),
        "client_id": "AppKey-1",
        "client_secret": "AppSecret-1",
        "grant": seic.ClientCredentials(),
    }
    config = seic.Config(**stated, certificate=disk.load())
    client = kind(config)
    assert client.certificate == config.certificate

    disk.put(new)
    assert config.presenter.reload()

    assert client.certificate.leaf.der == new.der
    assert isinstance(config.certificate, seic.ClientCertificate)
    assert config.certificate.leaf.der == old.der
    assert kind(seic.Config(**stated)).certificate is None


# As httpx users expect


async def test_a_call_has_token_and_key_and_a_base_url(gateway: FakeGateway) -> None:
    """A path is enough, and both kinds of client send the same."""
    client, blocking = both(gateway)
    async with client:
        reply = await client.get("/v1/echo", params={"limit": 50})
    with blocking:
        twin = blocking.get("/v1/echo", params={"limit": 50})

    for one in (reply.request, twin.request):
        assert str(one.url) == "https://api.seic.com/v1/echo?limit=50"
        assert one.headers["Authorization"].startswith("Bearer token-")
        assert one.headers["AppKey"] == "AppKey-1"


async def test_httpx_keywords_work(gateway: FakeGateway) -> None:
    """Headers, cookies, parameters, timeout, redirects, hooks, encoding and limits are httpx's and stay so."""
    heard: list[str] = []

    async def hook(request: httpx.Request) -> None:
        heard.append(request.url.path)

    client = gateway.client(
        headers={"X-Team": "a"},
        cookies={"c": "1"},
        params={"p": "2"},
        timeout=7,
        follow_redirects=True,
        max_redirects=3,
        event_hooks={"request": [hook]},
        limits=httpx.Limits(max_connections=5),
        default_encoding="latin-1",
        http1=True,
        http2=False,
        mounts=None,
        proxy=None,
    )
    async with client:
        reply = await client.get("/v1/echo")

    assert reply.request.headers["X-Team"] == "a"
    assert reply.request.headers["Cookie"] == "c=1"
    assert reply.request.url.query == b"p=2"
    assert reply.request.extensions["timeout"] == dict.fromkeys(("connect", "read", "write", "pool"), 7)
    assert client.follow_redirects
    assert heard == ["/v1/echo"]  # the token call is not the user's request


async def test_a_base_url_below_the_origin_is_kept(gateway: FakeGateway) -> None:
    """A user's own base path is prefixed as httpx does it."""
    async with gateway.client(base_url="https://api.seic.com/v1") as client:
        reply = await client.get("echo")

    assert str(reply.request.url) == "https://api.seic.com/v1/echo"


async def test_every_way_to_send_goes_through_the_auth(gateway: FakeGateway) -> None:
    """A request built by hand and a stream have a token as well."""
    async with gateway.client() as client:
        built = await client.send(client.build_request("PUT", "/a", json={}))
        async with client.stream("GET", "/b") as streamed:
            await streamed.aread()

    assert built.request.headers["Authorization"] == "Bearer token-1"
    assert streamed.request.headers["Authorization"] == "Bearer token-1"


async def test_a_call_without_auth_stays_in_the_origin(gateway: FakeGateway) -> None:
    """It has no token, but the certificate would still go to whoever asks for it."""
    client, blocking = both(gateway)
    async with client:
        with pytest.raises(seic.HostNotAllowed):
            await client.get("https://evil.example/", auth=None)
    with blocking, pytest.raises(seic.HostNotAllowed):
        blocking.get("https://evil.example/", auth=None)


async def test_a_url_without_a_scheme_is_a_path(gateway: FakeGateway) -> None:
    """What a browser would take for a host, httpx takes the path of, and puts it below the base URL."""
    async with gateway.client() as client:
        reply = await client.get("//evil.example/x")

    assert str(reply.request.url) == "https://api.seic.com/x"


async def test_a_foreign_url_costs_no_token(gateway: FakeGateway) -> None:
    """The guard comes before everything else."""
    client, blocking = both(gateway)
    async with client:
        with pytest.raises(seic.HostNotAllowed) as caught:
            await client.get("https://evil.example/")
    with blocking, pytest.raises(seic.HostNotAllowed):
        blocking.get("https://evil.example/")

    assert caught.value.host == "evil.example"
    assert gateway.tokens == 0


@KINDS
def test_http2_asks_for_its_package_at_once(kind: Any, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it the client cannot be made: httpx's own error says what to install, before the first call."""
    monkeypatch.setitem(sys.modules, "h2", None)

    with pytest.raises(ImportError, match=r"httpx\[http2\]"):
        kind(gateway.config(), http2=True)


# What would go past the identity


@KINDS
@pytest.mark.parametrize("option", ["verify", "cert", "proxy", "trust_env", "local_address"])
def test_trust_and_identity_are_the_configurations_to_say(kind: Any, option: str, gateway: FakeGateway) -> None:
    """Each is refused, with the place where it belongs."""
    error = refused(kind, gateway.config(), **{option: False})

    assert error.field == option
    assert "say it for both: seic.Config(" in str(error)


@KINDS
def test_a_client_is_made_of_a_config(kind: Any) -> None:
    """A URL in its place is named as the mistake."""
    assert refused(kind, "https://api.seic.com").field == "config"


class Recorder:
    """Answers 200, and notes what passes."""

    def __init__(self) -> None:
        self.urls: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer."""
        self.urls.append(str(request.url))
        return httpx.Response(200)


async def test_a_mount_carries_calls_of_the_origin_only(gateway: FakeGateway) -> None:
    """A transport of the user's own for some URLs gets the same guard; None stands for the client's, as in httpx."""
    recorder = Recorder()
    mounts: dict[str, Any] = {"all://": httpx.MockTransport(recorder), "https://api.seic.com/": None}
    client, blocking = both(gateway, mounts=mounts)
    async with client:
        assert (await client.get("/")).json() == {"path": "/"}  # the gateway's own answer
        with pytest.raises(seic.HostNotAllowed):
            await client.get("https://evil.example/", auth=None)
    with blocking, pytest.raises(seic.HostNotAllowed):
        blocking.get("https://evil.example/", auth=None)
    assert recorder.urls == []
    async with gateway.client(mounts={"https://": httpx.MockTransport(recorder)}) as mounted:
        assert (await mounted.get("/mounted")).status_code == 200
    assert recorder.urls == ["https://api.seic.com/mounted"]


# One auth for several clients


async def test_one_auth_is_one_token_for_several_clients(gateway: FakeGateway) -> None:
    """The second client makes no token request, and closing one leaves the token to the other."""
    config = gateway.config()
    auth = seic.OAuth2Auth(config, transport=gateway.transport)
    async with seic.AsyncClient(config, auth=auth, transport=gateway.transport) as first:
        await first.get("/a")
    second = seic.AsyncClient(config, auth=auth, transport=gateway.transport)
    blocking = seic.Client(config, auth=auth, transport=gateway.blocking_transport)
    async with second:
        await second.get("/b")
    with blocking:
        blocking.get("/c")

    assert gateway.tokens == 1
    assert first.stats == second.stats == auth.stats == blocking.stats


@KINDS
@pytest.mark.parametrize(
    ("changes", "fact"),
    [
        ({"environment": "test"}, "base_url"),
        ({"client_id": "AppKey-2"}, "client_id"),
        ({"certificate": certificate(), "hosts": seic.Hosts(mtls="api.seic.com")}, "certificate"),
        ({"certificate": certificate()}, "base_url"),
    ],
    ids=["environment", "client id", "certificate", "certificate and host"],
)
def test_no_token_is_shared_between_two_identities(
    kind: Any, changes: dict[str, Any], fact: str, gateway: FakeGateway
) -> None:
    """An auth of another host, application or certificate is refused as the client is made."""
    error = refused(kind, gateway.config(), auth=seic.OAuth2Auth(gateway.config(**changes)))

    assert error.field == "auth"
    assert f"its {fact} is another" in str(error)


@KINDS
def test_what_is_not_of_the_identity_may_differ(kind: Any, gateway: FakeGateway) -> None:
    """Two configurations of one identity are as good as one."""
    auth = seic.OAuth2Auth(gateway.config(token_timeout=1), transport=gateway.blocking_transport)

    assert kind(gateway.config(), auth=auth).stats is auth.stats


@KINDS
def test_another_kind_of_auth_is_refused(kind: Any, gateway: FakeGateway) -> None:
    """Httpx takes a pair; here it would silently replace the token."""
    error = refused(kind, gateway.config(), auth=("user", "password-9"))

    assert error.field == "auth"
    assert "password-9" not in str(error)


# Tokens


async def test_the_token_itself_can_be_had(gateway: FakeGateway) -> None:
    """`token` gives the one that calls use; `force` a new one."""
    client, blocking = both(gateway)
    async with client:
        first = await client.token()
        assert await client.token() is first
        assert (await client.token(force=True)).access_token == "token-2"
    with blocking:
        assert blocking.token().access_token == "token-3"
        assert blocking.token(force=True).access_token == "token-4"

    assert first.access_token == "token-1"


@KINDS
def test_a_client_is_made_of_the_environment(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """`from_env` is `Config.from_env` and the client's own keywords."""
    for name in [name for name in os.environ if name.startswith("SEIC_")]:
        monkeypatch.delenv(name)
    for name in ("CLIENT_ID", "CLIENT_SECRET", "USERNAME", "PASSWORD"):
        monkeypatch.setenv(f"SEIC_{name}", "x")
    monkeypatch.setenv("SEIC_ENVIRONMENT", "test")

    client = kind.from_env(timeout=3)

    assert str(client.base_url) == "https://test.api.seic.com"
    assert client.timeout == httpx.Timeout(3)


# Mocks


def _respond(router: respx.MockRouter, host: str) -> None:
    router.post(f"https://{host}{TOKEN_PATH}").respond(json=_TOKEN)
    router.get(f"https://{host}/v1/echo", headers={"Authorization": "Bearer token-1", "AppKey": "AppKey-1"}).respond(
        json={"ok": True}
    )


@pytest.mark.parametrize("with_certificate", [False, True], ids=["api", "mtls"])
async def test_respx_works_with_the_clients(with_certificate: bool, gateway: FakeGateway) -> None:
    """The mocks that httpx users have carry token and API calls; no setting is needed for it."""
    identity = {"certificate": certificate(), "ca": authority().cert_pem} if with_certificate else {}
    config = gateway.config(**identity)
    with respx.mock as router:
        _respond(router, "mtls.api.seic.com" if with_certificate else "api.seic.com")
        async with seic.AsyncClient(config) as client:
            assert (await client.get("/v1/echo")).json() == {"ok": True}
        with seic.Client(config) as blocking:
            assert blocking.get("/v1/echo").json() == {"ok": True}
        assert len(router.calls) == 4


@pytest.mark.parametrize("guarded", [False, True], ids=["plain", "guarded transport"])
async def test_respx_works_with_the_auth_on_a_plain_client(guarded: bool, gateway: FakeGateway) -> None:
    """A client of the user's own, with or without seic's transport, is mocked as ever."""
    config = gateway.config()
    transport = seic.AsyncTransport(config) if guarded else None
    with respx.mock as router:
        _respond(router, "api.seic.com")
        auth = seic.OAuth2Auth(config)
        async with httpx.AsyncClient(auth=auth, transport=transport, base_url=config.base_url) as client:
            assert (await client.get("/v1/echo")).json() == {"ok": True}
        assert len(router.calls) == 2


@pytest.mark.parametrize("guarded", [False, True], ids=["plain", "guarded transport"])
def test_respx_works_with_the_auth_on_a_plain_blocking_client(guarded: bool, gateway: FakeGateway) -> None:
    """The blocking twin is mocked the same way."""
    config = gateway.config()
    transport = seic.Transport(config) if guarded else None
    with respx.mock as router:
        _respond(router, "api.seic.com")
        with httpx.Client(auth=seic.OAuth2Auth(config), transport=transport, base_url=config.base_url) as client:
            assert client.get("/v1/echo").json() == {"ok": True}
        assert len(router.calls) == 2


async def test_the_auth_serves_an_httpx2_client(gateway: FakeGateway) -> None:
    """One auth for clients of both libraries, and one token."""
    config = gateway.config()
    auth = seic.OAuth2Auth(config, transport=gateway.transport)

    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, json=dict(request.headers))

    async with httpx2.AsyncClient(
        auth=auth,  # type: ignore[arg-type]  # a type checker sees one base, since httpx2 may not be there
        transport=httpx2.MockTransport(answer),
        base_url=config.base_url,
    ) as client:
        headers = (await client.get("/v1/echo")).json()
    with httpx2.Client(
        auth=auth,  # type: ignore[arg-type]  # as above
        transport=httpx2.MockTransport(answer),
        base_url=config.base_url,
    ) as blocking:
        twin = blocking.get("/v1/echo").json()

    assert headers["authorization"] == twin["authorization"] == "Bearer token-1"
    assert headers["appkey"] == twin["appkey"] == "AppKey-1"


# The end


async def test_a_closed_client_sends_nothing(gateway: FakeGateway) -> None:
    """Httpx's own error, also after the block and after a second closing."""
    client, blocking = both(gateway)
    async with client:
        await client.get("/")
    await client.aclose()
    blocking.close()
    blocking.close()

    assert client.is_closed
    assert blocking.is_closed
    with pytest.raises(RuntimeError, match="closed"):
        await client.get("/")
    with pytest.raises(RuntimeError, match="closed"):
        blocking.get("/")


@pytest.mark.parametrize("way", ["aclose", "block"])
async def test_closing_leaves_nothing_running(way: str, gateway: FakeGateway) -> None:
    """A token fetch under way ends with the client; who waits for it comes to an end, too."""
    gateway.gate = asyncio.Event()
    client = gateway.client()
    waiting = asyncio.create_task(client.get("/"))
    await gateway.arrived.wait()

    await (client.aclose() if way == "aclose" else client.__aexit__())
    gateway.gate.set()
    await asyncio.wait([waiting])

    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("library", ["asyncio", "trio"])
@pytest.mark.parametrize("way", ["aclose", "block"])
def test_a_closing_that_is_cancelled_closes_all_the_same(library: str, way: str) -> None:
    """It ends the fetch that others wait for without giving it its moment, and closes the connections."""
    desk = TokenDesk()
    closed = Latch()
    heard: list[BaseException] = []

    class Carrier(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            return await desk.handle_async_request(request)

        async def aclose(self) -> None:
            closed.set()

    async def main() -> None:
        desk.hold()
        client = seic.AsyncClient(FakeGateway().config(), transport=Carrier())

        async def wait() -> None:
            try:
                await client.token()
            except seic.TokenError as error:
                heard.append(error)

        async with anyio.create_task_group() as outer:
            outer.start_soon(wait)
            assert await desk.arrived.wait_async(PATIENCE)
            with anyio.CancelScope() as scope:
                scope.cancel()
                await (client.aclose() if way == "aclose" else client.__aexit__())
            assert scope.cancelled_caught
            assert closed.is_set()
            assert client.is_closed
        desk.release()

    anyio.run(main, backend=library)
    assert len(heard) == 1
    assert desk.calls == 1

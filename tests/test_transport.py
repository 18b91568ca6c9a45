from __future__ import annotations

import asyncio
import datetime as dt
import ssl
import threading
from types import ModuleType
from typing import Any, Self

import httpx
import httpx2
import pytest
import respx

import seic
from seic._connector import TokenConnector
from seic._errors import CertificateError, ConfigurationError, HostNotAllowed
from seic._model.hosts import Hosts, Origin
from seic._network import identity
from seic._tls import rotation
from seic._tls.certificate import ClientCertificate
from seic._tls.reasons import CertificateWarning
from seic._tls.trust import read_trust
from seic._transport import AsyncTrace, AsyncTransport, BlockingTrace, OriginGuard, Transport
from tests._support.identities import authority, certificate
from tests._support.wire import Wire, wire


def make_config(**changes: Any) -> seic.Config:
    """The settings of a gateway's application that trusts the tests' authority."""
    settings: dict[str, Any] = {
        "provider": seic.SEI_GATEWAY,
        "client_id": "app-key",
        "client_secret": "app-secret",
        "grant": seic.ClientCredentials(username="svc-user", password="pass-word"),
        "hosts": Hosts(api="api.example", mtls="mtls.example"),
        "ca": authority().cert_pem,
    }
    return seic.Config(**{**settings, **changes})


# The guard


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
@pytest.mark.parametrize(
    ("origin", "url"),
    [
        ("api.example", "https://api.example"),
        ("api.example", "https://api.example:443/x?y#z"),
        ("api.example", "HTTPS://API.Example/x"),
        ("api.example:8443", "https://api.example:8443/"),
        ("api.example", "https://somebody:else@api.example/"),
        ("api.example", "https://evil.example\\@api.example/"),
        ("api.example", "https://api.example/\\evil.example/"),
        ("api.example", "https://api.example//evil.example/"),
        ("127.0.0.1:8443", "https://127.0.0.1:8443/"),
        ("[::1]:8443", "https://[::1]:8443/"),
        ("xn--bcher-kva.example", "https://bücher.example/"),
        ("www.xn--bcher-kva.example", "https://www.xn--bcher-kva.example/"),
    ],
)
def test_the_guard_lets_its_own_origin_pass(library: ModuleType, origin: str, url: str) -> None:
    """However a URL is spelt, what counts is where it leads: scheme, host and port."""
    guard = OriginGuard(Origin.parse(origin, field="hosts.api"))

    assert guard.allows(library.URL(url))
    guard.check(library.URL(url))


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://api.example/", "api.example"),
        ("wss://api.example/", "api.example"),
        ("https://api.example:444/", "api.example:444"),
        ("https://api.example:80/", "api.example:80"),
        ("http://api.example:443/", "api.example:443"),
        ("https://evil.example/", "evil.example"),
        ("https://api.example.evil.example/", "api.example.evil.example"),
        ("https://evilapi.example/", "evilapi.example"),
        ("https://api.example./", "api.example."),
        ("https://mtls.example/", "mtls.example"),
        ("https://api.example@evil.example/", "evil.example"),
        ("https://api.example\\@evil.example/", "evil.example"),
        ("https://api.example:443@evil.example/", "evil.example"),
        ("https://evil.example/@api.example/", "evil.example"),
        ("https://evil.example#@api.example/", "evil.example"),
        ("https://evil.example?@api.example/", "evil.example"),
        ("https://api%2eexample/", "api%2eexample"),
        ("https://аpi.example/", "xn--pi-6kc.example"),
        ("https://xn--a/", "xn--a"),
        ("https://[::1]/", "[::1]"),
        ("https://[::1]:8443/", "[::1]:8443"),
        ("https://127.0.0.1/", "127.0.0.1"),
        ("//evil.example/", "evil.example"),
        ("/path", ""),
        ("", ""),
    ],
)
def test_the_guard_refuses_every_other_origin(library: ModuleType, url: str, host: str) -> None:
    """The error names the host as it would be called, so that a trick in the spelling shows."""
    guard = OriginGuard(Origin.parse("api.example", field="hosts.api"))
    target = library.URL(url)

    assert not guard.allows(target)
    with pytest.raises(HostNotAllowed) as caught:
        guard.check(target)
    assert caught.value.host == host
    assert "https://api.example" in str(caught.value)


@pytest.mark.parametrize("url", ["https://[0:0:0:0:0:0:0:1]:8443/", "https://localhost:8443/", "https://[::1]/"])
def test_two_names_of_one_machine_are_two_origins(url: str) -> None:
    """What another name leads to is not for a comparison to decide."""
    guard = OriginGuard(Origin.parse("[::1]:8443", field="hosts.api"))

    with pytest.raises(HostNotAllowed):
        guard.check(httpx.URL(url))


# Every hop


class Recorder:
    """Answers with redirects where there are any, and notes each request that passes."""

    def __init__(self, redirects: dict[str, str] | None = None) -> None:
        self.seen: list[httpx.Request] = []
        self._redirects = redirects or {}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer."""
        self.seen.append(request)
        target = self._redirects.get(request.url.path)
        return httpx.Response(200) if target is None else httpx.Response(302, headers={"Location": target})


_FOREIGN = [
    "https://evil.example/",
    "http://api.example/",
    "https://api.example:444/",
    "//evil.example/",
    "https://api.example@evil.example/",
    "https://mtls.example/",
]


async def test_a_redirect_within_the_origin_is_followed() -> None:
    """A relative and a whole URL of the same origin are hops like the first."""
    recorder = Recorder({"/a": "/b", "/b": "https://api.example:443/c"})
    transport = AsyncTransport(make_config(), transport=httpx.MockTransport(recorder))
    async with httpx.AsyncClient(transport=transport, follow_redirects=True) as client:
        reply = await client.get("https://api.example/a")

    assert reply.status_code == 200
    assert [str(request.url.path) for request in recorder.seen] == ["/a", "/b", "/c"]


@pytest.mark.parametrize("location", _FOREIGN)
async def test_no_redirect_leads_out_of_the_origin(location: str) -> None:
    """The hop to a foreign origin is refused before anything of it is sent."""
    recorder = Recorder({"/a": "/b", "/b": location})
    transport = AsyncTransport(make_config(), transport=httpx.MockTransport(recorder))
    async with httpx.AsyncClient(transport=transport, follow_redirects=True) as client:
        with pytest.raises(HostNotAllowed):
            await client.get("https://api.example/a")

    assert [str(request.url.path) for request in recorder.seen] == ["/a", "/b"]


@pytest.mark.parametrize("location", _FOREIGN)
def test_no_redirect_leads_a_blocking_client_out_of_the_origin(location: str) -> None:
    """The blocking twin refuses the same."""
    recorder = Recorder({"/a": location})
    transport = Transport(make_config(), transport=httpx.MockTransport(recorder))
    with httpx.Client(transport=transport, follow_redirects=True) as client, pytest.raises(HostNotAllowed):
        client.get("https://api.example/a")

    assert len(recorder.seen) == 1


def test_a_certificate_changes_the_origin() -> None:
    """With a certificate the API host is as foreign as any other."""
    recorder = Recorder()
    transport = Transport(make_config(certificate=certificate()), transport=httpx.MockTransport(recorder))
    with httpx.Client(transport=transport) as client:
        assert client.get("https://mtls.example/").status_code == 200
        with pytest.raises(HostNotAllowed):
            client.get("https://api.example/")


# Hops that a transport of the user's own carries


@pytest.fixture
def gateway() -> Any:
    """A server that counts as the gateway."""
    with wire() as server:
        yield server


@pytest.fixture
def foreign() -> Any:
    """A server that is not."""
    with wire() as server:
        yield server


def make_auth(gateway: Wire, **changes: Any) -> seic.OAuth2Auth:
    """An auth whose origin is the server, and whose tokens come from memory."""
    token = httpx.MockTransport(
        lambda _: httpx.Response(200, json={"access_token": "token-1", "token_type": "Bearer", "expires_in": 3600})
    )
    hosts = Hosts(api=gateway.url, allow_http_on_loopback=True)
    return seic.OAuth2Auth(make_config(hosts=hosts, **changes), transport=token)


async def get(url: str, *, blocking: bool, library: ModuleType = httpx, extensions: Any = None, **options: Any) -> Any:
    """Call with a client of the user's own, which follows redirects."""
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
    """A plain client that follows redirects sends the foreign origin not a single header."""
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
    """Each hop within the origin carries token and AppKey."""
    gateway.redirects["/a"] = "/b"

    reply = await get(f"{gateway.url}/a", blocking=blocking, library=library, auth=make_auth(gateway))

    assert reply.status_code == 200
    assert [heard.path for heard in gateway.heard] == ["/a", "/b"]
    assert [heard.headers["authorization"] for heard in gateway.heard] == ["Bearer token-1"] * 2


@pytest.mark.parametrize("blocking", [False, True], ids=["async", "blocking"])
async def test_a_trace_of_the_users_is_told_as_before(blocking: bool, gateway: Wire, foreign: Wire) -> None:
    """The user's own `trace` hears every step that the guard hears, and the guard still holds."""
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
    """The token is taken off there, so that a download elsewhere goes on, with nothing of ours."""
    gateway.redirects["/a"] = f"{foreign.url}/b"
    auth = make_auth(gateway, provider=seic.OAUTH2, grant=seic.ClientCredentials())

    reply = await get(f"{gateway.url}/a", blocking=False, auth=auth)

    assert reply.status_code == 200
    (heard,) = foreign.heard
    assert "authorization" not in heard.headers
    assert "app-key" not in heard.headers.values()


@pytest.mark.parametrize("blocking", [False, True], ids=["async", "blocking"])
async def test_what_a_deaf_transport_sent_astray_comes_to_light(blocking: bool) -> None:
    """A transport that knows no `trace` follows the redirect; the answer is refused, so that it cannot go unnoticed."""
    recorder = Recorder({"/a": "https://evil.example/b"})
    token = httpx.MockTransport(lambda _: httpx.Response(200, json={"access_token": "t", "token_type": "Bearer"}))
    auth = seic.OAuth2Auth(make_config(), transport=token)
    with pytest.raises(HostNotAllowed) as caught:
        await get("https://api.example/a", blocking=blocking, auth=auth, transport=httpx.MockTransport(recorder))

    assert caught.value.host == "evil.example"
    assert "authorization" not in recorder.seen[-1].headers


def test_a_guarded_transport_spares_the_request_the_trace() -> None:
    """What has a guard of its own is not slowed by a second one; a trace of the user's stays."""
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
    """A request that is sent again is watched by the auth that sends it, once, and the user's own trace is kept."""
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


# The TLS context


class Contexts:
    """Stands in for the room that builds contexts, and notes who asks for what."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, Any, tuple[str, ...]]] = []
        self.threads: set[int] = set()
        self.may_go = threading.Event()
        self.may_go.set()
        self.begun = threading.Event()

    def __call__(self, identity: object, ca: object, *, alpn: tuple[str, ...]) -> ssl.SSLContext:
        """Build one."""
        self.asked.append((identity, ca, alpn))
        self.threads.add(threading.get_ident())
        self.begun.set()
        assert self.may_go.wait(10)
        return ssl.create_default_context()


@pytest.fixture
def contexts(monkeypatch: pytest.MonkeyPatch) -> Contexts:
    """Replace the building of contexts."""
    contexts = Contexts()
    for room in (identity, rotation):
        monkeypatch.setattr(room, "shared_context", contexts)
    return contexts


@respx.mock
async def test_many_first_calls_build_one_context_off_the_loop(
    contexts: Contexts, respx_mock: respx.MockRouter
) -> None:
    """The first builds, the others wait for it, and the event loop's thread never does."""
    respx_mock.get("https://mtls.example/").respond(200)
    config = make_config(certificate=certificate())
    async with httpx.AsyncClient(transport=AsyncTransport(config)) as client:
        replies = await asyncio.gather(*(client.get("https://mtls.example/") for _ in range(100)))

    assert {reply.status_code for reply in replies} == {200}
    assert contexts.asked == [(config.certificate, read_trust(config.ca), ("http/1.1",))]
    assert threading.get_ident() not in contexts.threads


@respx.mock
async def test_a_cancelled_first_call_leaves_the_building_to_the_next(
    contexts: Contexts, respx_mock: respx.MockRouter
) -> None:
    """Whoever waited takes over from a caller that gave up."""
    respx_mock.get("https://api.example/").respond(200)
    contexts.may_go.clear()
    async with httpx.AsyncClient(transport=AsyncTransport(make_config())) as client:
        first = asyncio.create_task(client.get("https://api.example/"))
        await asyncio.to_thread(contexts.begun.wait, 10)
        second = asyncio.create_task(client.get("https://api.example/"))
        await asyncio.sleep(0)  # it waits for the first by now
        first.cancel()
        contexts.may_go.set()
        assert (await second).status_code == 200
        assert first.cancelled()
    assert len(contexts.asked) == 2


async def test_a_transport_that_was_closed_opens_no_connection(contexts: Contexts) -> None:
    """A call that was still building its context when the transport was closed finds out, and leaves nothing open."""
    contexts.may_go.clear()
    transport = AsyncTransport(make_config())
    call = asyncio.create_task(transport.handle_async_request(httpx.Request("GET", "https://api.example/")))
    await asyncio.to_thread(contexts.begun.wait, 10)
    await transport.aclose()
    contexts.may_go.set()

    with pytest.raises(RuntimeError, match="closed"):
        await call


def test_a_blocking_transport_that_was_closed_opens_no_connection(contexts: Contexts) -> None:
    """The blocking twin finds out too."""
    transport = Transport(make_config())
    transport.close()

    with pytest.raises(RuntimeError, match="closed"):
        transport.handle_request(httpx.Request("GET", "https://api.example/"))


@respx.mock
def test_many_threads_build_one_context(contexts: Contexts, respx_mock: respx.MockRouter) -> None:
    """Threads that share a blocking transport share its context."""
    respx_mock.get("https://api.example/").respond(200)
    contexts.may_go.clear()
    with httpx.Client(transport=Transport(make_config())) as client:
        threads = [threading.Thread(target=client.get, args=["https://api.example/"]) for _ in range(10)]
        for thread in threads:
            thread.start()
        assert contexts.begun.wait(10)
        contexts.may_go.set()
        for thread in threads:
            thread.join()

    assert len(contexts.asked) == 1


@pytest.mark.parametrize(("options", "alpn"), [({}, ("http/1.1",)), ({"http2": True}, ("http/1.1", "h2"))])
async def test_clients_that_offer_other_protocols_share_no_context(
    contexts: Contexts, options: dict[str, Any], alpn: tuple[str, ...]
) -> None:
    """The protocols are written into the context, so the token call's stays apart from one with HTTP/2."""
    config = make_config()
    with respx.mock:
        respx.get("https://api.example/").respond(200)
        async with httpx.AsyncClient(transport=AsyncTransport(config, **options)) as client:
            await client.get("https://api.example/")
        async with httpx.AsyncClient(transport=await TokenConnector(config).open_async()) as client:
            await client.get("https://api.example/")

    assert [asked[2] for asked in contexts.asked] == [alpn, ("http/1.1",)]


@pytest.mark.parametrize("kind", [AsyncTransport, Transport])
@pytest.mark.parametrize("option", ["verify", "cert", "proxy", "trust_env", "local_address"])
def test_the_identity_is_the_configurations_to_say(kind: Any, option: str) -> None:
    """`verify` and `cert` would go past it; even the harmless value is refused, so that nobody relies on it."""
    with pytest.raises(ConfigurationError, match=r"seic\.Config") as caught:
        kind(make_config(), **{option: True})

    assert caught.value.field == option


@pytest.mark.parametrize("kind", [AsyncTransport, Transport])
def test_a_transport_is_made_of_a_config(kind: Any) -> None:
    """A URL in its place is named as the mistake."""
    with pytest.raises(ConfigurationError, match=r"not str") as caught:
        kind("https://api.example")

    assert caught.value.field == "config"


def _dated(not_before: dt.timedelta | None = None, not_after: dt.timedelta | None = None) -> ClientCertificate:
    now = dt.datetime.now(dt.UTC)
    start, end = (None if delta is None else now + delta for delta in (not_before, not_after))
    pair = authority().issue("svc-user", not_before=start, not_after=end)
    return ClientCertificate.load(pair.cert_pem, key=pair.key_pem)


@pytest.mark.parametrize(
    ("dates", "reason"),
    [
        ({"not_after": dt.timedelta(days=-1)}, "expired"),
        ({"not_before": dt.timedelta(days=1)}, "not-yet-valid"),
    ],
    ids=["expired", "not yet valid"],
)
async def test_a_certificate_out_of_its_time_opens_no_connection(dates: dict[str, dt.timedelta], reason: str) -> None:
    """What the server would refuse without a word is named before the handshake, for API and token calls."""
    config = make_config(certificate=_dated(**dates))
    request = httpx.Request("GET", "https://mtls.example/")
    with respx.mock(assert_all_called=False) as router:
        for attempt in (
            AsyncTransport(config).handle_async_request(request),
            (await TokenConnector(config).open_async()).handle_async_request(request),
            asyncio.to_thread(Transport(config).handle_request, request),
            asyncio.to_thread(TokenConnector(config).open_sync().handle_request, request),
        ):
            with pytest.raises(CertificateError) as caught:
                await attempt
            assert caught.value.reason == reason

    assert not router.calls


async def test_a_certificate_that_ends_soon_warns() -> None:
    """It still works, and says so in time."""
    config = make_config(certificate=_dated(not_before=dt.timedelta(days=-100), not_after=dt.timedelta(days=2)))

    with respx.mock:
        respx.get("https://mtls.example/").respond(200)
        async with httpx.AsyncClient(transport=AsyncTransport(config)) as client:
            with pytest.warns(CertificateWarning, match="CN=svc-user"):
                await client.get("https://mtls.example/")


# Opening and closing


class Lifecycle(httpx.AsyncBaseTransport, httpx.BaseTransport):
    """A transport that notes what is done to it."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def __enter__(self) -> Self:
        self.calls.append("enter")
        return self

    def close(self) -> None:
        """Note it."""
        self.calls.append("close")

    async def __aenter__(self) -> Self:
        self.calls.append("enter")
        return self

    async def aclose(self) -> None:
        """Note it."""
        self.calls.append("close")


async def test_a_transport_given_is_entered_and_closed_with_the_client() -> None:
    """As httpx does with a transport of its user's: it may open what it needs on entry."""
    inner = Lifecycle()
    async with httpx.AsyncClient(transport=AsyncTransport(make_config(), transport=inner)):
        assert inner.calls == ["enter"]
    assert inner.calls == ["enter", "close"]
    blocking = Lifecycle()
    with httpx.Client(transport=Transport(make_config(), transport=blocking)):
        assert blocking.calls == ["enter"]
    assert blocking.calls == ["enter", "close"]


async def test_a_transport_given_is_closed_without_having_been_entered() -> None:
    """`aclose` and `close` alone do it too."""
    inner = Lifecycle()
    await AsyncTransport(make_config(), transport=inner).aclose()
    Transport(make_config(), transport=inner).close()

    assert inner.calls == ["close", "close"]


async def test_a_transport_that_was_never_used_closes() -> None:
    """There is nothing to close, and no context is built for it."""
    async with AsyncTransport(make_config()):
        pass
    with Transport(make_config()):
        pass


# The way to the token endpoint


def test_a_token_call_goes_through_a_test_transport_of_its_own_kind() -> None:
    """A blocking transport cannot carry an async call: the error says which kind was given."""

    class Blocking(httpx.BaseTransport):
        pass

    class Async(httpx.AsyncBaseTransport):
        pass

    blocking, asynchronous = Blocking(), Async()
    assert TokenConnector(make_config(), blocking).open_sync() is blocking
    assert asyncio.run(TokenConnector(make_config(), asynchronous).open_async()) is asynchronous
    with pytest.raises(ConfigurationError, match="Blocking is for blocking clients"):
        asyncio.run(TokenConnector(make_config(), blocking).open_async())
    with pytest.raises(ConfigurationError, match="Async is for async clients"):
        TokenConnector(make_config(), asynchronous).open_sync()


def test_only_the_networks_transports_are_closed_after_a_token_call() -> None:
    """A test's transport is the test's; one of the connector's own has done its work."""
    assert TokenConnector(make_config()).owned
    assert not TokenConnector(make_config(), Lifecycle()).owned

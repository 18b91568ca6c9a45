"""Transports and connections: shared TLS contexts, opening, closing, and token requests."""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
import threading
import weakref
from typing import Any, Self

import httpx
import pytest
import respx

from seic import (
    AsyncTransport,
    CertificateError,
    CertificateWarning,
    ClientCertificate,
    ConfigurationError,
    Transport,
    _credential,
    _identity,
)
from seic._tls.trust import read_trust_store
from tests._support.hops import make_config
from tests._support.identities import authority, certificate
from tests._support.sending import transports_of

# The TLS context


class Contexts:
    """Replaces the function that builds contexts, and records its callers."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, Any, tuple[str, ...]]] = []
        self.threads: set[int] = set()
        self.may_go = threading.Event()
        self.may_go.set()
        self.begun = threading.Event()

    def __call__(self, identity: object, ca: object, *, alpn: tuple[str, ...]) -> ssl.SSLContext:
        """Build a context."""
        self.asked.append((identity, ca, alpn))
        self.threads.add(threading.get_ident())
        self.begun.set()
        assert self.may_go.wait(10)
        return ssl.create_default_context()


@pytest.fixture
def contexts(monkeypatch: pytest.MonkeyPatch) -> Contexts:
    """Replace the function that builds contexts."""
    contexts = Contexts()
    monkeypatch.setattr(_credential, "shared_context", contexts)
    # No identity of another test's client.
    monkeypatch.setattr(_identity, "_identities", weakref.WeakValueDictionary())
    return contexts


@respx.mock
async def test_many_first_calls_build_one_context_off_the_loop(
    contexts: Contexts, respx_mock: respx.MockRouter
) -> None:
    """The first builds it, the others wait, and the event loop's thread never builds."""
    respx_mock.get("https://mtls.example/").respond(200)
    config = make_config(certificate=certificate())
    async with httpx.AsyncClient(transport=AsyncTransport(config)) as client:
        replies = await asyncio.gather(*(client.get("https://mtls.example/") for _ in range(100)))

    assert {reply.status_code for reply in replies} == {200}
    assert contexts.asked == [(config.certificate, read_trust_store(config.ca), ("http/1.1",))]
    assert threading.get_ident() not in contexts.threads


@respx.mock
async def test_a_cancelled_first_call_leaves_the_building_to_the_next(
    contexts: Contexts, respx_mock: respx.MockRouter
) -> None:
    """A waiting caller uses the context of a cancelled one."""
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
    assert len(contexts.asked) == 1


async def test_a_transport_that_was_closed_opens_no_connection(contexts: Contexts) -> None:
    """A call that builds its context while the transport is closed fails, and leaves nothing open."""
    contexts.may_go.clear()
    transport = AsyncTransport(make_config())
    call = asyncio.create_task(transport.handle_async_request(httpx.Request("GET", "https://api.example/")))
    await asyncio.to_thread(contexts.begun.wait, 10)
    await transport.aclose()
    contexts.may_go.set()

    with pytest.raises(RuntimeError, match="closed"):
        await call


def test_a_blocking_transport_that_was_closed_opens_no_connection(contexts: Contexts) -> None:
    """The blocking twin behaves the same."""
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


@pytest.mark.parametrize(("options", "more"), [({}, []), ({"http2": True}, [("http/1.1", "h2")])])
async def test_clients_that_offer_other_protocols_share_no_context(
    contexts: Contexts, options: dict[str, Any], more: list[tuple[str, ...]]
) -> None:
    """The ALPN protocols are part of the context, so token requests have another than HTTP/2 calls."""
    config = make_config()
    with respx.mock:
        respx.get("https://api.example/").respond(200)
        async with httpx.AsyncClient(transport=AsyncTransport(config, **options)) as client:
            await client.get("https://api.example/")
        async with httpx.AsyncClient(transport=transports_of(config).open()) as client:
            await client.get("https://api.example/")

    assert [asked[2] for asked in contexts.asked] == [("http/1.1",), *more]


@pytest.mark.parametrize("kind", [AsyncTransport, Transport])
@pytest.mark.parametrize("option", ["verify", "cert", "proxy", "trust_env", "local_address"])
def test_the_identity_is_the_configurations_to_say(kind: Any, option: str) -> None:
    """`verify` and `cert` would bypass it; even the default value is refused."""
    with pytest.raises(ConfigurationError, match=r"seic\.Config") as caught:
        kind(make_config(), **{option: True})

    assert caught.value.field == option


@pytest.mark.parametrize("kind", [AsyncTransport, Transport])
def test_a_transport_is_made_of_a_config(kind: Any) -> None:
    """The error for a URL says so."""
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
    """It is an error before the handshake, for API calls and token requests."""
    config = make_config(certificate=_dated(**dates))
    request = httpx.Request("GET", "https://mtls.example/")
    with respx.mock(assert_all_called=False) as router:
        for attempt in (
            AsyncTransport(config).handle_async_request(request),
            transports_of(config).open().handle_async_request(request),
            asyncio.to_thread(Transport(config).handle_request, request),
        ):
            with pytest.raises(CertificateError) as caught:
                await attempt
            assert caught.value.reason == reason

    assert not router.calls


async def test_a_certificate_that_ends_soon_warns() -> None:
    """It still works."""
    config = make_config(certificate=_dated(not_before=dt.timedelta(days=-100), not_after=dt.timedelta(days=2)))

    with respx.mock:
        respx.get("https://mtls.example/").respond(200)
        async with httpx.AsyncClient(transport=AsyncTransport(config)) as client:
            with pytest.warns(CertificateWarning, match="CN=svc-user"):
                await client.get("https://mtls.example/")


# Opening and closing


class Lifecycle(httpx.AsyncBaseTransport, httpx.BaseTransport):
    """A transport that records calls of its methods."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def __enter__(self) -> Self:
        self.calls.append("enter")
        return self

    def close(self) -> None:
        """Record it."""
        self.calls.append("close")

    async def __aenter__(self) -> Self:
        self.calls.append("enter")
        return self

    async def aclose(self) -> None:
        """Record it."""
        self.calls.append("close")


async def test_a_transport_given_is_entered_and_closed_with_the_client() -> None:
    """As httpx does: it can open resources on entry."""
    inner = Lifecycle()
    async with httpx.AsyncClient(transport=AsyncTransport(make_config(), transport=inner)):
        assert inner.calls == ["enter"]
    assert inner.calls == ["enter", "close"]
    blocking = Lifecycle()
    with httpx.Client(transport=Transport(make_config(), transport=blocking)):
        assert blocking.calls == ["enter"]
    assert blocking.calls == ["enter", "close"]


async def test_a_transport_given_is_closed_without_having_been_entered() -> None:
    """With `aclose` or `close` only."""
    inner = Lifecycle()
    await AsyncTransport(make_config(), transport=inner).aclose()
    Transport(make_config(), transport=inner).close()

    assert inner.calls == ["close", "close"]


async def test_a_transport_that_was_never_used_closes() -> None:
    """There is nothing to close, and no context is built."""
    async with AsyncTransport(make_config()):
        pass
    with Transport(make_config()):
        pass


# The way to the token endpoint


def test_a_token_call_goes_through_a_test_transport_of_its_own_kind() -> None:
    """A blocking transport cannot send an async request: the error names its type."""

    class Blocking(httpx.BaseTransport):
        pass

    class Async(httpx.AsyncBaseTransport):
        pass

    blocking, asynchronous = Blocking(), Async()
    assert transports_of(make_config(), blocking).open_sync() is blocking
    assert transports_of(make_config(), asynchronous).open() is asynchronous
    with pytest.raises(ConfigurationError, match="Blocking is for blocking clients"):
        transports_of(make_config(), blocking).open()
    with pytest.raises(ConfigurationError, match="Async is for async clients"):
        transports_of(make_config(), asynchronous).open_sync()


def test_only_the_networks_transports_are_closed_after_a_token_call() -> None:
    """A user's transport stays open; one that seic created is closed."""
    assert transports_of(make_config()).closes_after_call
    assert not transports_of(make_config(), Lifecycle()).closes_after_call

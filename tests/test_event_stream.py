"""The one stream of events: what a listener of a client hears while the client is used."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import logging
import math
from collections.abc import AsyncIterator

import attrs
import httpx
import pytest

import seic
from seic._tls.reasons import CertificateWarning
from seic.events import (
    CallNotReplayed,
    CallReplayed,
    CertificateExpiring,
    CertificateRejected,
    CertificateRotated,
    Event,
    StoreDegraded,
    TokenAcquired,
    TokenEndpointBack,
    TokenEndpointDown,
    TokenFetchBegun,
    TokenFetchEnded,
    TokenRefused,
    TokenRequested,
    TokenWaitBegun,
    TokenWaitEnded,
)
from seic.sandbox import CertificateAuthority
from tests._support.fake_gateway import FakeGateway

HOST = "api.seic.com"
_REFUSAL = {"code": "gateway.authentication.failure", "message": "no", "trackingId": "t", "transient": "false"}
_SECRETS = ("AppSecret-1", "password-1", "token-1", "token-2", "QXBwS2V5LTE6QXBwU2VjcmV0LTE=")


class Heard(list[Event]):
    """A listener that keeps what it heard; durations are set to 0, since they differ from run to run."""

    def __call__(self, event: Event) -> None:
        """Take the next event."""
        fields = {field.name for field in attrs.fields(type(event))}
        self.append(attrs.evolve(event, took=0.0) if "took" in fields else event)  # type: ignore[call-arg]

    def of(self, *kinds: type[Event]) -> list[Event]:
        """Return the events of these kinds."""
        return [event for event in self if isinstance(event, kinds)]

    @property
    def fetch(self) -> int:
        """The number of the first fetch."""
        begun = self.of(TokenFetchBegun)[0]
        assert isinstance(begun, TokenFetchBegun)
        return begun.fetch


@pytest.fixture
def gateway() -> FakeGateway:
    """A gateway in memory."""
    return FakeGateway()


@pytest.fixture
def heard() -> Heard:
    """A listener."""
    return Heard()


async def test_a_first_call_tells_the_whole_story(gateway: FakeGateway, heard: Heard) -> None:
    """The wait, the fetch, its request and the token, in the order of their happening; the next call tells nothing."""
    async with gateway.client(on_event=heard) as client:
        await client.get("/v1/accounts")
        number = heard.fetch
        await client.get("/v1/accounts")

    assert heard == [
        TokenWaitBegun(host=HOST, fetch=number),
        TokenFetchBegun(host=HOST, fetch=number, ahead=False),
        TokenRequested(host=HOST, outcome="acquired", status=200, took=0.0, tracking_id="track-1"),
        TokenAcquired(host=HOST, expires_in=3600.0, took=0.0, tracking_id="track-1"),
        TokenFetchEnded(host=HOST, fetch=number, outcome="acquired", took=0.0, tracking_id="track-1"),
        TokenWaitEnded(host=HOST, fetch=number, took=0.0),
    ]


def test_a_blocking_client_tells_the_same(gateway: FakeGateway, heard: Heard) -> None:
    """The fetch runs in a thread of its own there, and its events come from it."""
    with seic.Client(gateway.config(), transport=gateway.blocking_transport, on_event=heard) as client:
        client.get("/v1/accounts")

    number = heard.fetch
    # The thread ends its fetch and the caller its wait at the same time, so their order is open.
    assert sorted(map(repr, heard)) == sorted(
        map(
            repr,
            [
                TokenWaitBegun(host=HOST, fetch=number),
                TokenFetchBegun(host=HOST, fetch=number, ahead=False),
                TokenRequested(host=HOST, outcome="acquired", status=200, took=0.0, tracking_id="track-1"),
                TokenAcquired(host=HOST, expires_in=3600.0, took=0.0, tracking_id="track-1"),
                TokenFetchEnded(host=HOST, fetch=number, outcome="acquired", took=0.0, tracking_id="track-1"),
                TokenWaitEnded(host=HOST, fetch=number, took=0.0),
            ],
        )
    )


async def test_each_waiting_call_is_told_of_with_the_fetch_it_waits_for(gateway: FakeGateway, heard: Heard) -> None:
    """Many calls, one fetch: as many waits, all of its number."""
    async with gateway.client(on_event=heard) as client:
        await asyncio.gather(*(client.get("/v1/accounts") for _ in range(5)))

    number = heard.fetch
    assert heard.of(TokenWaitBegun) == [TokenWaitBegun(host=HOST, fetch=number)] * 5
    assert heard.of(TokenWaitEnded) == [TokenWaitEnded(host=HOST, fetch=number, took=0.0)] * 5
    assert len(heard.of(TokenFetchBegun, TokenFetchEnded)) == 2


async def test_a_cancelled_wait_ends_too(gateway: FakeGateway, heard: Heard) -> None:
    """A gauge of waiting calls must not drift when callers give up."""
    gateway.gate = asyncio.Event()
    async with gateway.client(on_event=heard) as client:
        task = asyncio.create_task(client.get("/v1/accounts"))
        await gateway.arrived.wait()
        task.cancel()
        await asyncio.wait([task])
        assert len(heard.of(TokenWaitEnded)) == 1
        assert heard.of(TokenFetchEnded) == []
        gateway.gate.set()
        await client.token()


async def test_a_cancelled_fetch_is_abandoned(gateway: FakeGateway, heard: Heard) -> None:
    """Closing the client ends a fetch under way; whoever traces it learns that it ended."""
    gateway.gate = asyncio.Event()
    client = gateway.client(on_event=heard)
    task = asyncio.create_task(client.token())
    await gateway.arrived.wait()
    task.cancel()
    await client.aclose()

    assert heard.of(TokenFetchEnded) == [
        TokenFetchEnded(host=HOST, fetch=heard.fetch, outcome="abandoned", took=0.0, tracking_id=None)
    ]


async def test_a_token_renewed_ahead_says_so(gateway: FakeGateway, heard: Heard) -> None:
    """Nobody waits for a renewal in the advisory window, and the event tells it from the first."""
    async with gateway.client() as client:
        await client.token()
        _enter_advisory_window(client)
        stop = client.listen(heard)
        await client.get("/v1/accounts")
        await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()})
        stop()

    assert heard.of(TokenAcquired) == [
        TokenAcquired(host=HOST, expires_in=3600.0, took=0.0, ahead=True, tracking_id=_last_track(heard))
    ]
    assert heard.of(TokenWaitBegun) == []


async def test_a_refusal_names_code_status_and_tracking_id(gateway: FakeGateway, heard: Heard) -> None:
    """It is what the provider's support asks for."""
    gateway.plan.append(httpx.Response(401, json=_REFUSAL))
    async with gateway.client(on_event=heard) as client:
        with pytest.raises(seic.TokenRequestRefused):
            await client.get("/v1/accounts")

    assert heard.of(TokenRefused, TokenRequested) == [
        TokenRequested(
            host=HOST,
            outcome="refused",
            status=401,
            took=0.0,
            error="seic.TokenRequestRefused",
            tracking_id="track-1",
        ),
        TokenRefused(host=HOST, status=401, code="gateway.authentication.failure", tracking_id="track-1"),
    ]


async def test_an_endpoint_goes_down_and_comes_back(gateway: FakeGateway, heard: Heard) -> None:
    """While the old token serves, the outage is told once an attempt, and the recovery with the count of failures."""
    async with gateway.client() as client:
        await client.token()
        client.listen(heard)
        for _ in range(2):
            gateway.plan.append(httpx.Response(503))
            _enter_advisory_window(client)
            await client.get("/v1/accounts")
            await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()})
        _enter_advisory_window(client)
        await client.get("/v1/accounts")
        await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()})

    first, second, back = heard.of(TokenEndpointDown, TokenEndpointBack)
    for down in (first, second):
        assert isinstance(down, TokenEndpointDown)
        assert down.serving
        assert down.retry_in > 0
        assert down.tracking_id is not None
    assert isinstance(back, TokenEndpointBack)
    assert back.failures == 2
    assert back.tracking_id is not None


@pytest.mark.parametrize(
    ("answer", "outcome", "status"),
    [
        pytest.param(httpx.Response(400, json=_REFUSAL), "refused", 400, id="refused"),
        pytest.param(httpx.Response(503, headers={"Retry-After": "9"}), "unavailable", 503, id="unavailable"),
        pytest.param(httpx.ConnectError("refused"), "unavailable", None, id="no connection"),
        pytest.param(httpx.Response(200, text="<html>"), "invalid", 200, id="no token"),
        pytest.param(httpx.Response(200, content=b"x" * (2**20 + 1)), "invalid", 200, id="a body too large"),
    ],
)
async def test_each_failed_request_has_its_outcome(
    answer: httpx.Response | Exception, outcome: str, status: int | None, gateway: FakeGateway, heard: Heard
) -> None:
    """The words are few and stable, so that a metric can be grouped by them."""
    gateway.plan.extend([answer, answer])
    async with gateway.client(on_event=heard) as client:
        with pytest.raises(seic.TokenError):
            await client.token()

    (ended,) = heard.of(TokenFetchEnded)
    asked = heard.of(TokenRequested)
    assert isinstance(ended, TokenFetchEnded)
    assert ended.outcome == outcome
    assert {(event.outcome, event.status) for event in asked if isinstance(event, TokenRequested)} == {
        (outcome, status)
    }


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        pytest.param(httpx.Response(400, json=_REFUSAL), "seic.TokenRequestRefused", id="ours"),
        pytest.param(httpx.ConnectTimeout("late"), "httpx.ConnectTimeout", id="of the connection"),
        pytest.param(TimeoutError(), "TimeoutError", id="of Python's own"),
        pytest.param(httpx.Response(200, text="<html>"), "seic.InvalidTokenResponse", id="no token"),
    ],
)
async def test_a_failed_request_names_the_class_of_its_error(
    answer: httpx.Response | Exception, error: str, gateway: FakeGateway, heard: Heard
) -> None:
    """That of the connection's own failure, where there was one: ours would say no more than the outcome."""
    gateway.plan.extend([answer, answer])
    async with gateway.client(on_event=heard) as client:
        with pytest.raises(seic.TokenError):
            await client.token()

    assert {event.error for event in heard.of(TokenRequested) if isinstance(event, TokenRequested)} == {error}


@pytest.mark.parametrize("error", [None, httpx.ReadError("gone")], ids=["answered", "broken off"])
async def test_the_version_of_http_is_told_where_it_is_known(
    error: Exception | None, gateway: FakeGateway, heard: Heard
) -> None:
    """As the transport knows it, from the head of the answer on."""

    async def body() -> AsyncIterator[bytes]:
        yield b"{" if error else b'{"access_token": "token-1"}'
        if error:
            raise error

    gateway.plan.extend(httpx.Response(200, content=body(), extensions={"http_version": b"HTTP/2"}) for _ in range(2))
    async with gateway.client(on_event=heard) as client:
        with pytest.raises(seic.TokenError) if error else contextlib.nullcontext():
            await client.token()

    told = heard.of(TokenRequested)
    assert told
    assert all(isinstance(event, TokenRequested) and event.http_version == "2" for event in told)
    assert all(isinstance(event, TokenRequested) and event.status == 200 for event in told)


async def test_a_token_out_of_a_store_was_not_requested(gateway: FakeGateway, heard: Heard) -> None:
    """Nothing went to the endpoint, so nothing is counted as acquired."""
    store = seic.MemoryStore()
    async with seic.AsyncClient(gateway.config(store=store), transport=gateway.transport) as client:
        await client.token()
    async with seic.AsyncClient(gateway.config(store=store), transport=gateway.transport, on_event=heard) as client:
        await client.token()

    (ended,) = heard.of(TokenFetchEnded)
    assert isinstance(ended, TokenFetchEnded)
    assert ended.outcome == "stored"
    assert heard.of(TokenAcquired, TokenRequested) == []


class _BrokenStore:
    blocking = False

    def load(self, key: str) -> seic.Token | None:
        raise ConnectionError("redis://:password-9@host")

    def save(self, key: str, token: seic.Token) -> None:
        raise ConnectionError("redis://:password-9@host")

    def delete(self, key: str) -> None:
        raise ConnectionError("redis://:password-9@host")


async def test_a_degraded_store_is_told_without_its_words(gateway: FakeGateway, heard: Heard) -> None:
    """A store's error may quote a URL with a password, so its kind is told and no more."""
    async with seic.AsyncClient(
        gateway.config(store=_BrokenStore()), transport=gateway.transport, on_event=heard
    ) as client:
        await client.token()

    assert heard.of(StoreDegraded) == [
        StoreDegraded(operation="load", problem="ConnectionError"),
        StoreDegraded(operation="save", problem="ConnectionError"),
    ]


async def test_a_replay_is_told_with_the_id_of_the_rejection(gateway: FakeGateway, heard: Heard) -> None:
    """The rejected call's tracking id is the one that support can look up."""
    async with gateway.client() as client:
        await client.get("/v1/accounts")
        gateway.dead.add("token-1")
        client.listen(heard)
        await client.get("/v1/accounts")

    assert heard.of(CallReplayed, CallNotReplayed) == [CallReplayed(host=HOST, tracking_id="track-3")]


async def test_a_call_that_is_not_replayed_says_why(gateway: FakeGateway, heard: Heard) -> None:
    """A 401 that says nothing of the token may mean anything, and is handed on."""
    gateway.challenges = False
    async with gateway.client() as client:
        await client.get("/v1/accounts")
        gateway.dead.add("token-1")
        client.listen(heard)
        await client.get("/v1/accounts")

    (told,) = heard.of(CallReplayed, CallNotReplayed)
    assert isinstance(told, CallNotReplayed)
    assert "does not speak of the token" in told.reason
    assert told.tracking_id == "track-3"


async def test_a_broken_listener_breaks_no_call(gateway: FakeGateway, caplog: pytest.LogCaptureFixture) -> None:
    """A guest that fails on every event costs one line of the log."""

    def broken(event: Event) -> None:
        raise LookupError(event.name)

    async with gateway.client(on_event=broken) as client:
        reply = await client.get("/v1/accounts")

    assert reply.status_code == 200
    assert [record.name for record in caplog.records if record.levelno == logging.ERROR] == ["seic.events"]


class Unhurried(Heard):
    """A coroutine function that takes each event after some turns of the loop."""

    async def __call__(self, event: Event) -> None:  # type: ignore[override]  # a listener may be either
        """Take the next event."""
        for _ in range(20):
            await asyncio.sleep(0)
        self.append(event)


@pytest.mark.parametrize("shared", [False, True], ids=["own auth", "shared auth"])
@pytest.mark.parametrize("closed", ["by itself", "by with"])
async def test_no_event_is_lost_when_a_client_is_closed(closed: str, shared: bool, gateway: FakeGateway) -> None:
    """A coroutine function that has begun is waited for: the last event is often the one that matters."""
    heard, told = Heard(), Unhurried()
    auth = seic.OAuth2Auth(gateway.config(), transport=gateway.transport, on_event=heard) if shared else None
    client = gateway.client(auth=auth, on_event=told)
    client.listen(heard)
    if closed == "by with":
        async with client:
            await client.token()
    else:
        await client.token()
        await client.aclose()

    assert [type(event) for event in told] == [type(event) for event in heard][:: 2 if shared else 1]
    assert told.of(TokenWaitEnded)


async def test_clients_of_one_auth_listen_each_until_it_is_closed(gateway: FakeGateway) -> None:
    """They share the token, so both hear of it; a closed one hears no more, and the other goes on."""
    auth = seic.OAuth2Auth(gateway.config(), transport=gateway.transport)
    first, second = Heard(), Heard()
    async with seic.AsyncClient(gateway.config(), auth=auth, transport=gateway.transport, on_event=first):
        async with seic.AsyncClient(gateway.config(), auth=auth, transport=gateway.transport, on_event=second) as b:
            await b.token()
        assert first == second != []
        gone = len(second)
        await auth.source.token(force=True)

    assert len(second) == gone
    assert len(first) == 2 * gone


async def test_no_event_and_no_log_line_holds_a_secret(
    gateway: FakeGateway, heard: Heard, caplog: pytest.LogCaptureFixture
) -> None:
    """Even where the endpoint echoes what it was sent, at every level, through success, refusal, outage and replay."""
    echo = {**_REFUSAL, "code": "bad AppSecret-1", "message": "password-1 is wrong for AppSecret-1"}
    caplog.set_level(logging.DEBUG, logger="seic")
    async with gateway.client(on_event=heard) as client:
        gateway.plan.append(httpx.Response(503, json=echo, headers={"Retry-After": "0"}))
        await client.get("/v1/accounts")
        gateway.dead.add("token-1")
        await client.get("/v1/accounts")
    async with gateway.client(on_event=heard) as client:
        gateway.plan.append(httpx.Response(401, json=echo))
        with pytest.raises(seic.TokenRequestRefused):
            await client.get("/v1/accounts")

    told = "\n".join([*map(repr, heard), *caplog.messages])
    assert "track-" in told
    for secret in _SECRETS:
        assert secret not in told


def _enter_advisory_window(client: seic.AsyncClient) -> None:
    client._oauth.source.state.held.renew_at = -math.inf
    client._oauth.source.state._retry_living_at = -math.inf


def _last_track(heard: Heard) -> str | None:
    (acquired,) = heard.of(TokenAcquired)
    assert isinstance(acquired, TokenAcquired)
    return acquired.tracking_id


def test_the_life_of_a_certificate_is_told(gateway: FakeGateway, heard: Heard) -> None:
    """Expiring, replaced, and a replacement that cannot work: each is heard by who listens to the client."""
    authority = CertificateAuthority()
    soon = dt.datetime.now(dt.UTC) + dt.timedelta(days=10)
    old = authority.issue("svc-user", not_before=soon - dt.timedelta(days=700), not_after=soon)
    new = authority.issue("svc-user")
    given = [seic.ClientCertificate.load(old.cert_pem, key=old.key_pem)]
    config = gateway.config(certificate=lambda: given[-1])
    with seic.Client(config, transport=gateway.blocking_transport, on_event=heard) as client:
        with pytest.warns(CertificateWarning, match="expires"):
            presented = config.presenter.present()
        config.presenter.look(presented.generation)
        given.append(seic.ClientCertificate.load(new.cert_pem, key=new.key_pem))
        client.reload_certificate()
        given.append("no certificate")  # type: ignore[arg-type]
        with pytest.raises(seic.CertificateError):
            client.reload_certificate()

    expiring, rotated, rejected = heard.of(CertificateExpiring, CertificateRotated, CertificateRejected)
    assert isinstance(expiring, CertificateExpiring)
    assert 9 < expiring.days_left <= 10
    assert isinstance(rotated, CertificateRotated)
    assert rotated.thumbprint == given[1].thumbprint
    assert isinstance(rejected, CertificateRejected)
    for event in (expiring, rotated, rejected):
        assert "PRIVATE" not in repr(event)

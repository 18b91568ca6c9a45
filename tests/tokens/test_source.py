"""One source of tokens for all who ask: what is sent, who waits, and what each of them gets."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs

import attrs
import httpx
import pytest
import trio

from seic import (
    SEI_GATEWAY,
    ClientCredentials,
    ConfigurationError,
    InvalidTokenResponse,
    MemoryStore,
    SeicError,
    Token,
    TokenEndpointUnavailable,
    TokenError,
    TokenRequestRefused,
)
from seic._events import (
    Event,
    TokenAcquired,
    TokenEndpointBack,
    TokenEndpointDown,
    TokenFetchEnded,
    TokenRefused,
    TokenRequested,
    TokenWaitBegun,
)
from seic._runtime import Latch
from seic._tokens.source import TokenSource
from tests._support.clocks import FakeClock
from tests._support.token_desk import PATIENCE, TokenDesk, landed, name

CALLERS = 100
UNAVAILABLE = httpx.Response(503)


def refusal(status: int = 401, **body: Any) -> httpx.Response:
    """Return a refusal in the standard's form."""
    return httpx.Response(status, json={"error": "invalid_client", **body})


async def all_of(callers: int, call: Callable[[], Awaitable[Any]]) -> list[Any]:
    """Make so many calls at once; return what each got, its error included."""
    return await asyncio.gather(*(call() for _ in range(callers)), return_exceptions=True)


# One request for all


async def test_a_crowd_makes_one_request(desk: TokenDesk) -> None:
    """All who come while it is under way share its token."""
    source = desk.source()
    desk.hold()
    crowd = asyncio.create_task(all_of(CALLERS, source.obtain))
    assert await desk.arrived.wait_async(PATIENCE)
    desk.release()

    assert {name(held) for held in await crowd} == {"token-1"}
    assert desk.calls == 1
    assert source.stats.token_requests == 1


async def test_a_crowd_on_an_expired_token_makes_one_request(desk: TokenDesk, clock: FakeClock) -> None:
    """The end of a lifetime is no different from its beginning."""
    source = desk.source(clock)
    await source.token()
    clock.advance(3600)

    assert {name(held) for held in await all_of(CALLERS, source.obtain)} == {"token-2"}
    assert desk.calls == 2


def test_trio_shares_as_well(desk: TokenDesk) -> None:
    """The same source serves trio's tasks."""
    source = desk.source()
    names: list[str] = []

    async def one() -> None:
        names.append(name(await source.obtain()))

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(CALLERS):
                nursery.start_soon(one)

    trio.run(main)
    assert names == ["token-1"] * CALLERS
    assert desk.calls == 1


# Ahead of need


async def test_a_renewal_ahead_stalls_nobody(desk: TokenDesk, clock: FakeClock) -> None:
    """While the endpoint thinks, every call goes on with the old token; afterwards with the new."""
    source = desk.source(clock)
    await source.token()
    clock.advance(3000)
    desk.hold()

    assert {name(held) for held in await all_of(CALLERS, source.obtain)} == {"token-1"}
    assert await desk.arrived.wait_async(PATIENCE)
    assert name(await source.obtain()) == "token-1"

    desk.release()
    await landed(source)
    assert name(await source.obtain()) == "token-2"
    assert desk.calls == 2
    assert source.stats.renewals_ahead == 1


def test_a_blocking_caller_renews_ahead_in_a_thread(desk: TokenDesk, clock: FakeClock) -> None:
    """It does not wait either."""
    source = desk.source(clock)
    source.token_sync()
    clock.advance(3000)
    desk.hold()

    assert name(source.obtain_sync()) == "token-1"
    assert desk.arrived.wait(PATIENCE)
    flight = source.state.flight
    desk.release()
    assert flight is None or flight.wait(PATIENCE)
    assert name(source.obtain_sync()) == "token-2"


def test_trio_renews_ahead_in_the_background(desk: TokenDesk, clock: FakeClock) -> None:
    """A system task fetches, so that not even there a call waits."""
    source = desk.source(clock)

    async def main() -> None:
        await source.token()
        clock.advance(3000)
        desk.hold()
        assert name(await source.obtain()) == "token-1"
        assert await desk.arrived.wait_async(PATIENCE)
        assert name(await source.obtain()) == "token-1"
        desk.release()
        await landed(source)
        assert name(await source.obtain()) == "token-2"

    trio.run(main)


async def test_a_failed_renewal_ahead_is_invisible(desk: TokenDesk, clock: FakeClock) -> None:
    """Calls go on; the endpoint is left alone for a pause that grows."""
    source = desk.source(clock, chance=lambda: 0.999)
    await source.token()
    clock.advance(3000)
    requests = []
    for _ in range(20):
        desk.plan.append(UNAVAILABLE)
        assert name(await source.obtain()) == "token-1"
        await landed(source)
        requests.append(desk.calls - 1)
        desk.plan.clear()
        clock.advance(1)

    assert requests == [1, 2, 2, 3, 3, 3, 3, 4, *[4] * 7, 5, *[5] * 4]


async def test_in_the_mandatory_window_callers_wait(desk: TokenDesk, clock: FakeClock) -> None:
    """They get the new token."""
    source = desk.source(clock)
    await source.token()
    clock.advance(3510)
    assert {name(held) for held in await all_of(CALLERS, source.obtain)} == {"token-2"}
    assert desk.calls == 2


@pytest.mark.parametrize("kind", ["asyncio", "trio", "thread"])
def test_in_the_mandatory_window_a_fetch_that_hangs_holds_nobody_for_long(
    desk: TokenDesk, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The first caller goes on with the living token after a moment, the others at once; the fetch runs on beside."""
    monkeypatch.setattr("seic._tokens.state._PATIENCE", 0.001)
    source = desk.source(clock, emit=lambda event: clock.advance(1) if isinstance(event, TokenWaitBegun) else None)

    async def main() -> None:
        await source.obtain()
        clock.advance(3550)
        desk.hold()
        assert {name(await source.obtain()), name(await source.obtain())} == {"token-1"}
        assert await desk.arrived.wait_async(PATIENCE)
        desk.release()
        await landed(source)
        assert name(await source.obtain()) == "token-2"

    def blocking() -> None:
        source.obtain_sync()
        clock.advance(3550)
        desk.hold()
        assert {name(source.obtain_sync()), name(source.obtain_sync())} == {"token-1"}
        assert desk.arrived.wait(PATIENCE)
        flight = source.state.flight
        desk.release()
        assert flight is not None
        assert flight.wait(PATIENCE)
        assert name(source.obtain_sync()) == "token-2"

    {"asyncio": lambda: asyncio.run(main()), "trio": lambda: trio.run(main), "thread": blocking}[kind]()
    assert desk.calls == 2


# Clocks


async def test_a_lifetime_counts_from_before_the_request(desk: TokenDesk, clock: FakeClock) -> None:
    """What the endpoint took to answer is life that the token has lost."""
    source = desk.source(clock)
    desk.hold()
    fetch = asyncio.create_task(source.obtain())
    assert await desk.arrived.wait_async(PATIENCE)
    clock.advance(5)
    desk.release()
    held = await fetch

    assert held.dies_at == 1_000 + 3600
    assert held.token.obtained_at == 1_700_000_000


async def test_a_machine_that_slept_renews_before_the_next_call(desk: TokenDesk, clock: FakeClock) -> None:
    """Only the wall clock knows of the sleep."""
    source = desk.source(clock)
    await source.token()
    clock.sleep(7200)
    assert name(await source.obtain()) == "token-2"


async def test_a_wall_clock_set_forward_costs_one_token_and_no_call(desk: TokenDesk, clock: FakeClock) -> None:
    """It cannot be told from a sleep. Where the endpoint is down, the old token serves on."""
    source = desk.source(clock)
    await source.token()
    clock.step(10 * 86_400)
    desk.plan.extend([UNAVAILABLE] * 2)

    assert name(await source.obtain()) == "token-1"
    clock.advance(60)
    await source.obtain()
    await landed(source)
    assert name(await source.obtain()) == "token-2"
    assert desk.calls == 4

    assert name(await source.obtain()) == "token-2"
    assert desk.calls == 4


@pytest.mark.parametrize("step", [-10 * 86_400, 10 * 86_400])
async def test_a_dead_token_stays_dead_whatever_the_wall_clock_says(
    desk: TokenDesk, clock: FakeClock, step: float
) -> None:
    """The monotonic clock counts."""
    source = desk.source(clock)
    await source.token()
    clock.advance(3600)
    clock.step(step)
    assert name(await source.obtain()) == "token-2"


async def test_an_idle_token_is_renewed_before_the_next_call(desk: TokenDesk, clock: FakeClock) -> None:
    """No call wastes itself on a token that the provider has forgotten; looking at a token is no use of it."""
    source = desk.source(clock, idle_lifetime=1800)
    await source.token()
    clock.advance(1000)
    await source.token()
    clock.advance(755)
    assert name(await source.obtain()) == "token-2"


# What the provider says of the lifetime


@pytest.mark.parametrize(
    ("expires_in", "lifetime"),
    [
        pytest.param(3599, 3599, id="a number"),
        pytest.param(1.5, 1.5, id="a fraction"),
        pytest.param(0.001, 1, id="next to nothing, taken as a second"),
        pytest.param("3599", 3599, id="a string of digits"),
        pytest.param(" 3599.0 ", 3599, id="a string with blanks and a fraction"),
        pytest.param(None, None, id="missing"),
        pytest.param(1e300, 365 * 86_400, id="absurd, taken as a year"),
        pytest.param("9" * 400, 365 * 86_400, id="an absurd string"),
    ],
)
async def test_each_expires_in_has_an_outcome(desk: TokenDesk, expires_in: Any, lifetime: float | None) -> None:
    """A number or a string is seconds; missing is unknown; what is huge is clamped."""
    desk.expires_in = expires_in
    source = desk.source()
    assert (await source.token()).expires_in == lifetime
    await source.token()
    assert desk.calls == 1


async def test_null_is_as_if_it_were_missing(desk: TokenDesk) -> None:
    """Null is unknown, not zero."""
    desk.plan.append(httpx.Response(200, json={"access_token": "token-0", "expires_in": None}))
    source = desk.source()
    assert (await source.token()).expires_in is None
    await source.token()
    assert desk.calls == 1


@pytest.mark.parametrize("expires_in", [0, "0", -1, "-3600", True, [], {}, "soon", "", "NaN", "1_000"])
async def test_an_expires_in_that_makes_no_sense_is_an_error_and_no_loop(
    desk: TokenDesk, clock: FakeClock, expires_in: Any
) -> None:
    """Such a token would be asked for without end: it is refused once for all who wait, and then for a moment."""
    desk.expires_in = expires_in
    source = desk.source(clock)
    for error in await all_of(CALLERS, source.token) + await all_of(CALLERS, source.token):
        assert isinstance(error, InvalidTokenResponse)
        assert "expires_in" in error.problem
    assert desk.calls == 1


async def test_a_tiny_life_makes_no_request_for_each_call(desk: TokenDesk, clock: FakeClock) -> None:
    """A hot loop asks once in a second, however briefly the provider says that its tokens live."""
    desk.expires_in = 0.001
    source = desk.source(clock)
    for _ in range(30):
        await source.obtain()
        await landed(source)
        clock.advance(0.1)
    assert desk.calls <= 6


async def test_a_life_shorter_than_its_fetch_serves_those_who_waited(desk: TokenDesk, clock: FakeClock) -> None:
    """It is used once by each of them rather than asked for without end; the next caller asks again."""
    desk.expires_in = 1.5
    source = desk.source(clock)
    desk.hold()
    crowd = asyncio.create_task(all_of(CALLERS, source.obtain))
    assert await desk.arrived.wait_async(PATIENCE)
    clock.advance(2)
    desk.release()

    assert {name(held) for held in await crowd} == {"token-1"}
    assert name(await source.obtain()) == "token-2"
    assert desk.calls == 2


# Failures


async def test_one_failure_is_shared_by_all_who_waited(desk: TokenDesk) -> None:
    """Each has an error of its own with a traceback of its own; the cause is the same for all."""
    desk.plan.extend([httpx.ConnectError("refused"), httpx.ConnectError("refused")])
    source = desk.source()
    errors = await all_of(CALLERS, source.token)

    assert all(isinstance(error, TokenEndpointUnavailable) for error in errors)
    assert len({id(error) for error in errors}) == CALLERS
    assert len({id(error.__cause__) for error in errors}) == 1
    assert isinstance(errors[0].__cause__, httpx.ConnectError)
    assert desk.calls == 2
    assert source.stats.token_failures == 2

    remembered = source.state._error
    assert remembered is not None
    assert remembered.__traceback__ is None

    lengths = {len(traceback.extract_tb(error.__traceback__)) for error in errors}
    later = await all_of(CALLERS, source.token)
    assert lengths == {len(traceback.extract_tb(error.__traceback__)) for error in errors}
    assert all(len(traceback.extract_tb(error.__traceback__)) < 10 for error in later)


@pytest.mark.parametrize(
    "trouble",
    [
        pytest.param(httpx.ConnectError("refused"), id="connection"),
        pytest.param(httpx.ReadTimeout("slow"), id="timeout"),
        pytest.param(httpx.Response(500), id="500"),
        pytest.param(httpx.Response(503, headers={"Retry-After": "0"}), id="503"),
        pytest.param(httpx.Response(429, headers={"Retry-After": "0"}), id="429"),
        pytest.param(
            httpx.Response(400, json={"code": "busy", "message": "later", "transient": "true"}), id="transient: true"
        ),
    ],
)
async def test_what_passes_by_itself_is_repeated_once_unseen(desk: TokenDesk, trouble: Any) -> None:
    """The caller just gets a token."""
    desk.plan.append(trouble)
    source = desk.source()
    assert name(await source.obtain()) == "token-1"
    assert desk.calls == 2
    assert (source.stats.token_requests, source.stats.token_failures) == (2, 1)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(refusal(400), id="400"),
        pytest.param(refusal(401), id="401"),
        pytest.param(refusal(403), id="403"),
        pytest.param(refusal(401, transient="false"), id="transient: false"),
    ],
)
async def test_a_refusal_is_never_repeated_and_remembered(
    desk: TokenDesk, clock: FakeClock, answer: httpx.Response
) -> None:
    """A hot loop sends bad credentials once in half a minute, then ever more rarely."""
    desk.plan.extend([answer] * 9)
    source = desk.source(clock)
    requests = []
    for _ in range(9):
        for error in await all_of(CALLERS, source.token):
            assert isinstance(error, TokenRequestRefused)
        with pytest.raises(TokenRequestRefused):
            await source.token(force=True)
        requests.append(desk.calls)
        clock.advance(15)
    assert requests == [1, 1, 2, 2, 2, 2, 3, 3, 3]


async def test_a_session_elsewhere_is_named_with_its_remedy_and_its_price(desk: TokenDesk) -> None:
    """Where the token call itself says that the account is logged in elsewhere."""
    error = {"code": 403, "message": "logged in elsewhere", "subcode": "018", "errorid": ""}
    desk.plan.append(httpx.Response(403, json={"error": error}))
    with pytest.raises(TokenRequestRefused) as caught:
        await desk.source().token()
    assert "endOtherSessions" in str(caught.value)
    assert "ends the other session" in str(caught.value)
    assert desk.calls == 1


async def test_retry_after_is_kept_to(desk: TokenDesk, clock: FakeClock) -> None:
    """Callers fail at once while the endpoint asked to be left alone; a minute is the most that it may ask."""
    desk.plan.append(httpx.Response(429, headers={"Retry-After": "3600"}))
    source = desk.source(clock)
    for pause in (0, 59.9):
        clock.advance(pause)
        with pytest.raises(TokenEndpointUnavailable) as caught:
            await source.token()
        assert caught.value.retry_after == 3600
    assert desk.calls == 1

    clock.advance(0.1)
    await source.token()


async def test_retry_after_may_be_a_date(desk: TokenDesk, clock: FakeClock) -> None:
    """It counts against the wall clock."""
    clock.wall = 1_700_000_000
    desk.plan.append(httpx.Response(503, headers={"Retry-After": "Tue, 14 Nov 2023 22:13:40 GMT"}))
    source = desk.source(clock)
    for pause in (0, 19.9):
        clock.advance(pause)
        with pytest.raises(TokenEndpointUnavailable):
            await source.token()
    assert desk.calls == 1
    clock.advance(0.1)
    await source.token()


async def test_while_the_endpoint_is_down_a_living_token_serves(desk: TokenDesk, clock: FakeClock) -> None:
    """Callers see nothing until it is dead; then they fail at once with the cause; recovery is seen within a second."""
    source = desk.source(clock, chance=lambda: 0.999)
    await source.token()
    clock.advance(2880)
    while clock.now < 1_000 + 3600:
        desk.plan.append(UNAVAILABLE)
        assert name(await source.obtain()) == "token-1"
        await landed(source)
        clock.advance(1)
    for _ in range(10):
        desk.plan.extend([UNAVAILABLE] * 2)
        with pytest.raises(TokenEndpointUnavailable) as caught:
            await source.token()
        assert caught.value.status == 503
        clock.advance(0.1)

    desk.plan.clear()
    waited = 0.0
    while True:
        try:
            await source.token()
        except TokenEndpointUnavailable:
            clock.advance(0.05)
            waited += 0.05
        else:
            break
    assert waited <= 1


@pytest.mark.parametrize("chance", [0.0, 0.5, 0.999])
async def test_an_outage_of_three_seconds_costs_five_requests(
    desk: TokenDesk, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, chance: float
) -> None:
    """However many call, and however often."""

    async def pause(seconds: float) -> None:
        clock.advance(seconds)

    monkeypatch.setattr("seic._tokens.fetch.sleep", pause)
    source = desk.source(clock, chance=lambda: chance)
    desk.plan.extend([UNAVAILABLE] * 100)
    ends = clock.now + 3
    while clock.now < ends:
        await all_of(10, source.token)
        clock.advance(0.01)
    assert 3 <= desk.calls <= 5


@pytest.mark.parametrize("chance", [0.0, 0.5, 0.999])
async def test_with_a_living_token_it_costs_five_requests_too(desk: TokenDesk, clock: FakeClock, chance: float) -> None:
    """And no caller sees anything of it."""
    source = desk.source(clock, chance=lambda: chance)
    await source.token()
    clock.advance(3000)
    desk.plan.extend([UNAVAILABLE] * 100)
    ends = clock.now + 3
    while clock.now < ends:
        assert {name(held) for held in await all_of(10, source.obtain)} == {"token-1"}
        await landed(source)
        clock.advance(0.01)
    assert 1 <= desk.calls - 1 <= 5


async def test_what_a_callback_throws_is_an_error_for_all_and_names_its_kind_only(desk: TokenDesk) -> None:
    """Its words may hold anything."""

    def identify() -> str:
        raise LookupError("the-secret-in-its-words")

    source = desk.source(identity=identify)
    for error in await all_of(3, source.token):
        assert isinstance(error, TokenEndpointUnavailable)
        assert "LookupError" in str(error)
        assert "the-secret-in-its-words" not in "".join(traceback.format_exception(error))


async def test_what_a_transport_of_the_users_throws_is_translated(desk: TokenDesk) -> None:
    """Nothing but seic's own errors leaves."""
    desk.plan.extend([ValueError("odd"), ValueError("odd")])
    with pytest.raises(TokenEndpointUnavailable) as caught:
        await desk.source().token()
    assert isinstance(caught.value.__cause__, ValueError)


# What is told


async def test_events_tell_of_an_outage(desk: TokenDesk, clock: FakeClock) -> None:
    """Down and back, with what bridges it, before the callers go on."""
    heard: list[Event] = []
    source = desk.source(clock, emit=heard.append)
    desk.plan.extend([UNAVAILABLE, UNAVAILABLE, refusal()])
    with pytest.raises(TokenEndpointUnavailable):
        await source.token()
    clock.advance(1)
    with pytest.raises(TokenRequestRefused):
        await source.token()
    clock.advance(60)
    await source.token()

    kinds = [type(event) for event in heard if not type(event).__name__.startswith("TokenWait")]
    assert [kind for kind in kinds if kind not in (TokenRequested, TokenFetchEnded)][1::2] == [
        TokenEndpointDown,
        TokenRefused,
        TokenEndpointBack,
    ]
    assert isinstance(heard[-3], TokenAcquired)
    back = next(event for event in heard if isinstance(event, TokenEndpointBack))
    assert back.failures == 2


# Force, revoke, close


async def test_force_gets_a_new_token_and_all_who_force_share_it(desk: TokenDesk) -> None:
    """Also from the store's point of view: it is not asked."""
    store = MemoryStore()
    source = desk.source(store=store, key=lambda _: "key")
    await source.token()
    tokens = {token.access_token for token in await all_of(CALLERS, lambda: source.token(force=True))}
    assert tokens == {"token-2"}
    kept = store.load("key")
    assert kept is not None
    assert kept.access_token == "token-2"
    assert name(await source.obtain()) == "token-2"


async def test_force_passes_over_what_another_process_has_stored(desk: TokenDesk) -> None:
    """It may be older than what the caller wants to see changed."""
    store = MemoryStore()
    source = desk.source(store=store, key=lambda _: "key")
    await source.token()
    store.save("key", Token(access_token="of-another-process", obtained_at=1_700_000_000, expires_in=3600))
    assert (await source.token(force=True)).access_token == "token-2"


async def test_force_during_a_fetch_waits_and_fetches_again(desk: TokenDesk) -> None:
    """The token under way was asked for before; what changed since may not be in it."""
    source = desk.source()
    desk.hold()
    first = asyncio.create_task(source.token())
    assert await desk.arrived.wait_async(PATIENCE)
    forced = asyncio.create_task(all_of(CALLERS, lambda: source.token(force=True)))
    await asyncio.sleep(0)
    desk.release()

    assert (await first).access_token == "token-1"
    assert {token.access_token for token in await forced} == {"token-2"}


def gateway_desk(desk: TokenDesk, **options: Any) -> TokenSource:
    """Return a source of the dialect that can end a token's life."""
    source = desk.source(**options)
    grant = ClientCredentials(username="user", password="password-1")
    source.endpoint = attrs.evolve(source.endpoint, provider=SEI_GATEWAY, grant=grant)
    return source


async def test_revoking_tells_the_provider_and_forgets_the_token(desk: TokenDesk) -> None:
    """Here, in the store, and there."""
    store = MemoryStore()
    source = gateway_desk(desk, store=store, key=lambda _: "key")
    await source.token()
    desk.plan.append(httpx.Response(200))
    await source.revoke()

    assert b"grant_type=invalidate_token" in desk.requests[-1].content
    assert b"access_token=token-1" in desk.requests[-1].content
    assert store.load("key") is None
    assert source.current is None
    assert name(await source.obtain()) == "token-2"


def test_revoking_blocks_where_it_is_told_to(desk: TokenDesk) -> None:
    """The twin does the same."""
    source = gateway_desk(desk)
    source.token_sync()
    desk.plan.append(httpx.Response(200))
    source.revoke_sync()
    assert source.current is None
    assert b"grant_type=invalidate_token" in desk.requests[-1].content


async def test_a_stored_token_can_be_revoked_by_another_process(desk: TokenDesk) -> None:
    """One that never used it, such as the command line."""
    store = MemoryStore()
    store.save("key", Token(access_token="stored-token", obtained_at=1_700_000_000, expires_in=3600))
    source = gateway_desk(desk, store=store, key=lambda _: "key")
    desk.plan.append(httpx.Response(200))
    await source.revoke()

    assert b"access_token=stored-token" in desk.requests[-1].content
    assert store.load("key") is None


async def test_with_no_token_there_is_nothing_to_revoke(desk: TokenDesk) -> None:
    """No call is made for it."""
    await gateway_desk(desk, store=MemoryStore()).revoke()
    assert desk.calls == 0


async def test_a_revocation_that_fails_is_an_error_and_the_token_is_dropped_all_the_same(desk: TokenDesk) -> None:
    """Whoever wants it dead does not want it used."""
    source = gateway_desk(desk)
    await source.token()
    desk.plan.append(UNAVAILABLE)
    with pytest.raises(TokenEndpointUnavailable):
        await source.revoke()
    assert name(await source.obtain()) == "token-2"


def revoked(desk: TokenDesk) -> list[str]:
    """Return the tokens whose ends were asked for, in order."""
    forms = [parse_qs(request.content.decode()) for request in desk.requests]
    return [form["access_token"][0] for form in forms if form["grant_type"] == ["invalidate_token"]]


@pytest.mark.parametrize("kind", ["async", "blocking"])
async def test_a_renewal_under_way_does_not_outlive_a_revocation(desk: TokenDesk, clock: FakeClock, kind: str) -> None:
    """The revocation waits for it, and ends what it brings as well as what it replaced, here and in the store."""
    store = MemoryStore()
    source = gateway_desk(desk, clock=clock, store=store, key=lambda _: "key")
    await source.token()
    clock.advance(3000)
    desk.hold()
    await source.token()
    assert await desk.arrived.wait_async(PATIENCE)
    revoke = asyncio.create_task(source.revoke() if kind == "async" else asyncio.to_thread(source.revoke_sync))
    await asyncio.sleep(0)
    assert (await source.token()).access_token == "token-1"
    desk.release()
    await revoke

    assert revoked(desk) == ["token-2", "token-1"]
    assert source.current is None
    assert store.load("key") is None
    desk.expires_in = 3600
    assert not (await source.token()).access_token.endswith(("-1", "-2"))


async def test_a_first_fetch_under_way_does_not_outlive_a_revocation(desk: TokenDesk) -> None:
    """Its token is ended as soon as it is there."""
    source = gateway_desk(desk)
    desk.hold()
    caller = asyncio.create_task(source.token())
    assert await desk.arrived.wait_async(PATIENCE)
    revoke = asyncio.create_task(source.revoke())
    await asyncio.sleep(0)
    desk.release()
    assert (await caller).access_token == "token-1"
    await revoke
    assert revoked(desk) == ["token-1"]
    assert source.current is None


async def test_a_renewal_that_fails_leaves_the_old_token_to_be_revoked(desk: TokenDesk, clock: FakeClock) -> None:
    """Once, and nothing else."""
    source = gateway_desk(desk, clock=clock)
    await source.token()
    clock.advance(3000)
    desk.plan.append(UNAVAILABLE)
    desk.hold()
    await source.token()
    assert await desk.arrived.wait_async(PATIENCE)
    revoke = asyncio.create_task(source.revoke())
    await asyncio.sleep(0)
    desk.release()
    await revoke
    assert revoked(desk) == ["token-1"]
    assert source.current is None


async def test_a_token_that_its_renewal_has_ended_need_not_be_ended_again(desk: TokenDesk, clock: FakeClock) -> None:
    """The provider does not know it any more, which is what was wanted."""
    source = gateway_desk(desk, clock=clock)
    await source.token()
    clock.advance(3000)
    desk.hold()
    await source.token()
    assert await desk.arrived.wait_async(PATIENCE)
    revoke = asyncio.create_task(source.revoke())
    await asyncio.sleep(0)
    good = httpx.Response(200, json={"access_token": "token-2", "token_type": "Bearer", "expires_in": 3600})
    desk.plan.extend([good, httpx.Response(200), refusal(400)])
    desk.release()
    await revoke
    assert revoked(desk) == ["token-2", "token-1"]


async def test_a_provider_without_revocation_says_so_and_the_token_stays(desk: TokenDesk) -> None:
    """Nothing is dropped for a call that cannot be made."""
    source = desk.source()
    held = await source.obtain()
    with pytest.raises(ConfigurationError):
        await source.revoke()
    assert await source.obtain() is held


async def test_closing_ends_a_fetch_and_waits_for_its_end(desk: TokenDesk) -> None:
    """No task is left behind, and the source can be used on."""
    source = desk.source()
    desk.hold()
    caller = asyncio.create_task(source.token())
    assert await desk.arrived.wait_async(PATIENCE)
    caller.cancel()
    await asyncio.wait([caller])
    await source.aclose()

    assert asyncio.all_tasks() == {asyncio.current_task()}
    desk.release()
    assert (await source.token()).access_token == "token-1"


async def test_whoever_waits_for_a_fetch_that_is_closed_gets_its_token(desk: TokenDesk) -> None:
    """A close waits for it for a second; nothing is asked for twice."""
    source = desk.source()
    desk.hold()
    callers = [asyncio.create_task(source.token()) for _ in range(3)]
    assert await desk.arrived.wait_async(PATIENCE)
    closing = asyncio.create_task(source.aclose())
    await asyncio.sleep(0)
    desk.release()
    await closing
    assert [(await caller).access_token for caller in callers] == ["token-1"] * 3
    assert desk.calls == 1


@pytest.mark.parametrize("ahead", [False, True], ids=["in need", "ahead"])
async def test_whoever_waits_for_a_fetch_that_a_close_ends_gets_an_error_and_asks_no_more(
    desk: TokenDesk, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, ahead: bool
) -> None:
    """Each of them an error of its own that says so; no task is left, and later calls find nothing remembered."""
    monkeypatch.setattr("seic._tokens.source._CLOSING", 0.01)
    source = desk.source(clock)
    if ahead:
        await source.token()
        clock.advance(3000)
    desk.hold()
    if ahead:
        await source.token()
        clock.advance(600)
    callers = [asyncio.create_task(source.token()) for _ in range(3)]
    assert await desk.arrived.wait_async(PATIENCE)
    await source.aclose()

    errors = await asyncio.gather(*callers, return_exceptions=True)
    assert all(type(error) is TokenError and "closed" in str(error) for error in errors)
    assert len(set(map(id, errors))) == 3
    assert asyncio.all_tasks() == {asyncio.current_task()}
    calls = desk.calls
    assert calls == 1 + ahead
    desk.release()
    await source.token()
    assert desk.calls == calls + 1


def test_a_blocking_close_leaves_no_caller_without_an_answer(desk: TokenDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The twin does the same for callers in threads."""
    monkeypatch.setattr("seic._tokens.source._CLOSING", 0.01)
    waiting = Latch()
    source = desk.source(emit=lambda event: waiting.set() if isinstance(event, TokenWaitBegun) else None)
    desk.hold()
    with ThreadPoolExecutor(1) as pool:
        caller = pool.submit(source.token_sync)
        assert desk.arrived.wait(PATIENCE)
        source.close()
        with pytest.raises(TokenError, match="closed"):
            caller.result(PATIENCE)
        assert source.state.flight is None
        desk.release()
    assert desk.calls == 1


def test_trio_closes_as_well(desk: TokenDesk, clock: FakeClock) -> None:
    """The system task ends."""
    source = desk.source(clock)

    async def main() -> None:
        await source.token()
        clock.advance(3000)
        desk.hold()
        await source.token()
        assert await desk.arrived.wait_async(PATIENCE)
        await source.aclose()
        assert source.state.flight is None

    trio.run(main)


async def test_looking_at_the_token_in_hand_fetches_nothing(desk: TokenDesk, clock: FakeClock) -> None:
    """There is none before the first and after the end."""
    source = desk.source(clock)
    assert source.current is None
    token = await source.token()
    assert source.current is token
    clock.advance(3600)
    assert source.current is None
    assert desk.calls == 1


async def test_a_new_identity_renews_before_the_next_call(desk: TokenDesk) -> None:
    """A token that is bound to the old certificate is of no use with the new one."""
    source = desk.source()
    await source.token()
    source.renew()
    assert name(await source.obtain()) == "token-2"


async def test_an_identity_that_changes_during_the_fetch_fetches_again(desk: TokenDesk) -> None:
    """The token that is under way is bound to the certificate that has gone."""
    identities = iter(["old", "new", "new", "new"])
    source = desk.source(identity=lambda: next(identities))
    assert name(await source.obtain()) == "token-1"
    assert name(await source.obtain()) == "token-2"
    assert name(await source.obtain()) == "token-2"


async def test_an_error_of_the_tree_passes_as_it_is(desk: TokenDesk) -> None:
    """A certificate that cannot work is no trouble of the endpoint's."""

    class Broken(SeicError):
        pass

    desk.plan.append(Broken("the certificate has expired"))
    with pytest.raises(Broken):
        await desk.source().token()
    assert desk.calls == 1

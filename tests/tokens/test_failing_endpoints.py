"""Failures of the token endpoint: retries, memory, and errors."""

from __future__ import annotations

import traceback
from typing import Any

import httpx
import pytest

from seic import TokenEndpointUnavailable, TokenRequestRefused
from seic.events import (
    Event,
    TokenAcquired,
    TokenEndpointDown,
    TokenEndpointRecovered,
    TokenRefreshEnded,
    TokenRefused,
    TokenRequested,
)
from seic.testing import MockProvider
from tests._support.clocks import FakeClock
from tests._support.crowds import CALLERS, all_of
from tests._support.mocks import UNAVAILABLE, refusal
from tests._support.sources import access_token_of, landed, source_of


async def test_one_failure_is_shared_by_all_who_waited(server: MockProvider) -> None:
    """Each caller has its own error with its own traceback, and the same cause."""
    server.token_responses.extend([httpx.ConnectError("refused"), httpx.ConnectError("refused")])
    source = source_of(server)
    errors = await all_of(CALLERS, source.token)

    assert all(isinstance(error, TokenEndpointUnavailable) for error in errors)
    assert len({id(error) for error in errors}) == CALLERS
    assert len({id(error.__cause__) for error in errors}) == 1
    assert isinstance(errors[0].__cause__, httpx.ConnectError)
    assert server.token_requests == 2
    assert source.cache.stats.token_failures == 2

    remembered = source.cache._failures.error
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
async def test_what_passes_by_itself_is_repeated_once_unseen(server: MockProvider, trouble: Any) -> None:
    """The caller gets a token."""
    server.token_responses.append(trouble)
    source = source_of(server)
    assert access_token_of(await source.get()) == "token-1"
    assert server.token_requests == 2
    assert (source.cache.stats.token_requests, source.cache.stats.token_failures) == (2, 1)


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
    server: MockProvider, clock: FakeClock, answer: httpx.Response
) -> None:
    """A loop sends refused credentials once in half a minute, then less often."""
    server.token_responses.extend([answer] * 9)
    source = source_of(server, clock)
    requests = []
    for _ in range(9):
        for error in await all_of(CALLERS, source.token):
            assert isinstance(error, TokenRequestRefused)
        with pytest.raises(TokenRequestRefused):
            await source.token(force=True)
        requests.append(server.token_requests)
        clock.advance(15)
    assert requests == [1, 1, 2, 2, 2, 2, 3, 3, 3]


async def test_a_session_elsewhere_is_named_with_its_remedy_and_its_price(server: MockProvider) -> None:
    """If the token request itself says that the account is logged in elsewhere."""
    error = {"code": 403, "message": "logged in elsewhere", "subcode": "018", "errorid": ""}
    server.token_responses.append(httpx.Response(403, json={"error": error}))
    with pytest.raises(TokenRequestRefused) as caught:
        await source_of(server).token()
    assert "endOtherSessions" in str(caught.value)
    assert "ends the other session" in str(caught.value)
    assert server.token_requests == 1


async def test_retry_after_is_kept_to(server: MockProvider, clock: FakeClock) -> None:
    """Calls fail at once during the requested pause, which is limited to a minute."""
    server.token_responses.append(httpx.Response(429, headers={"Retry-After": "3600"}))
    source = source_of(server, clock)
    for pause in (0, 59.9):
        clock.advance(pause)
        with pytest.raises(TokenEndpointUnavailable) as caught:
            await source.token()
        assert caught.value.retry_after == 3600
    assert server.token_requests == 1

    clock.advance(0.1)
    await source.token()


async def test_retry_after_may_be_a_date(server: MockProvider, clock: FakeClock) -> None:
    """It is compared with the wall clock."""
    clock.wall = 1_700_000_000
    server.token_responses.append(httpx.Response(503, headers={"Retry-After": "Tue, 14 Nov 2023 22:13:40 GMT"}))
    source = source_of(server, clock)
    for pause in (0, 19.9):
        clock.advance(pause)
        with pytest.raises(TokenEndpointUnavailable):
            await source.token()
    assert server.token_requests == 1
    clock.advance(0.1)
    await source.token()


async def test_while_the_endpoint_is_down_a_living_token_serves(server: MockProvider, clock: FakeClock) -> None:
    """Calls succeed until the token expires; then they fail with the cause; recovery takes less than a second."""
    source = source_of(server, clock, chance=lambda: 0.999)
    await source.token()
    clock.advance(2880)
    while clock.now < 1_000 + 3600:
        server.token_responses.append(UNAVAILABLE)
        assert access_token_of(await source.get()) == "token-1"
        await landed(source)
        clock.advance(1)
    for _ in range(10):
        server.token_responses.extend([UNAVAILABLE] * 2)
        with pytest.raises(TokenEndpointUnavailable) as caught:
            await source.token()
        assert caught.value.status == 503
        clock.advance(0.1)

    server.token_responses.clear()
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
    server: MockProvider, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, chance: float
) -> None:
    """For any number of calls."""

    async def pause(seconds: float) -> None:
        clock.advance(seconds)

    monkeypatch.setattr("anyio.sleep", pause)
    source = source_of(server, clock, chance=lambda: chance)
    server.token_responses.extend([UNAVAILABLE] * 100)
    ends = clock.now + 3
    while clock.now < ends:
        await all_of(10, source.token)
        clock.advance(0.01)
    assert 3 <= server.token_requests <= 5


@pytest.mark.parametrize("chance", [0.0, 0.5, 0.999])
async def test_with_a_living_token_it_costs_five_requests_too(
    server: MockProvider, clock: FakeClock, chance: float
) -> None:
    """And all calls succeed."""
    source = source_of(server, clock, chance=lambda: chance)
    await source.token()
    clock.advance(3000)
    server.token_responses.extend([UNAVAILABLE] * 100)
    ends = clock.now + 3
    while clock.now < ends:
        assert {access_token_of(held) for held in await all_of(10, source.get)} == {"token-1"}
        await landed(source)
        clock.advance(0.01)
    assert 1 <= server.token_requests - 1 <= 5


async def test_what_a_callback_throws_is_an_error_for_all_and_names_its_kind_only(server: MockProvider) -> None:
    """Its message can contain anything."""

    def identify() -> str:
        raise LookupError("the-secret-in-its-words")

    source = source_of(server, identity=identify)
    for error in await all_of(3, source.token):
        assert isinstance(error, TokenEndpointUnavailable)
        assert "LookupError" in str(error)
        assert "the-secret-in-its-words" not in "".join(traceback.format_exception(error))


async def test_what_a_transport_of_the_users_throws_is_translated(server: MockProvider) -> None:
    """Only errors of seic are raised."""
    server.token_responses.extend([ValueError("odd"), ValueError("odd")])
    with pytest.raises(TokenEndpointUnavailable) as caught:
        await source_of(server).token()
    assert isinstance(caught.value.__cause__, ValueError)


async def test_events_tell_of_an_outage(server: MockProvider, clock: FakeClock) -> None:
    """`TokenEndpointDown` and `TokenEndpointRecovered` come before the callers continue."""
    heard: list[Event] = []
    source = source_of(server, clock, emit=heard.append)
    server.token_responses.extend([UNAVAILABLE, UNAVAILABLE, refusal()])
    with pytest.raises(TokenEndpointUnavailable):
        await source.token()
    clock.advance(1)
    with pytest.raises(TokenRequestRefused):
        await source.token()
    clock.advance(60)
    await source.token()

    kinds = [type(event) for event in heard if not type(event).__name__.startswith("TokenWait")]
    assert [kind for kind in kinds if kind not in (TokenRequested, TokenRefreshEnded)][1::2] == [
        TokenEndpointDown,
        TokenRefused,
        TokenEndpointRecovered,
    ]
    assert isinstance(heard[-3], TokenAcquired)
    back = next(event for event in heard if isinstance(event, TokenEndpointRecovered))
    assert back.failures == 2

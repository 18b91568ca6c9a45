"""Lifetimes of tokens, by both clocks and by the provider's values."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from seic import InvalidTokenResponse
from seic.testing import MockProvider
from tests._support.clocks import FakeClock
from tests._support.crowds import CALLERS, all_of
from tests._support.mocks import PATIENCE, UNAVAILABLE
from tests._support.sources import access_token_of, landed, source_of

# Clocks


async def test_a_lifetime_counts_from_before_the_request(server: MockProvider, clock: FakeClock) -> None:
    """The duration of the request is part of the lifetime."""
    source = source_of(server, clock)
    server.hold_tokens()
    fetch = asyncio.create_task(source.get())
    assert await server.wait_for_token_request(PATIENCE)
    clock.advance(5)
    server.release_tokens()
    held = await fetch

    assert held.expires_at == 1_000 + 3600
    assert held.token.obtained_at == 1_700_000_000


async def test_a_machine_that_slept_renews_before_the_next_call(server: MockProvider, clock: FakeClock) -> None:
    """Only the wall clock includes the sleep."""
    source = source_of(server, clock)
    await source.token()
    clock.sleep(7200)
    assert access_token_of(await source.get()) == "token-2"


async def test_a_wall_clock_set_forward_costs_one_token_and_no_call(server: MockProvider, clock: FakeClock) -> None:
    """It looks like a sleep. If the endpoint is down, the old token is used."""
    source = source_of(server, clock)
    await source.token()
    clock.step(10 * 86_400)
    server.token_responses.extend([UNAVAILABLE] * 2)

    assert access_token_of(await source.get()) == "token-1"
    clock.advance(60)
    await source.get()
    await landed(source)
    assert access_token_of(await source.get()) == "token-2"
    assert server.token_requests == 4

    assert access_token_of(await source.get()) == "token-2"
    assert server.token_requests == 4


@pytest.mark.parametrize("step", [-10 * 86_400, 10 * 86_400])
async def test_a_dead_token_stays_dead_whatever_the_wall_clock_says(
    server: MockProvider, clock: FakeClock, step: float
) -> None:
    """The monotonic clock counts."""
    source = source_of(server, clock)
    await source.token()
    clock.advance(3600)
    clock.step(step)
    assert access_token_of(await source.get()) == "token-2"


async def test_an_idle_token_is_renewed_before_the_next_call(server: MockProvider, clock: FakeClock) -> None:
    """No call is sent with a token that the provider has invalidated; reading the token is not a use."""
    source = source_of(server, clock, idle_lifetime=1800)
    await source.token()
    clock.advance(1000)
    await source.token()
    clock.advance(755)
    assert access_token_of(await source.get()) == "token-2"


# The provider's value


@pytest.mark.parametrize(
    ("expires_in", "lifetime"),
    [
        pytest.param(3599, 3599, id="a number"),
        pytest.param(1.5, 1.5, id="a fraction"),
        pytest.param(0.001, 1, id="next to nothing, taken as a second"),
        pytest.param("3599", 3599, id="a string of digits"),
        pytest.param(" 3599.0 ", 3599, id="a string with blanks and a fraction"),
        pytest.param(None, None, id="missing"),
        pytest.param(" ", None, id="a blank string"),
        pytest.param(1e300, 365 * 86_400, id="absurd, taken as a year"),
        pytest.param("9" * 400, 365 * 86_400, id="an absurd string"),
    ],
)
async def test_each_expires_in_has_an_outcome(server: MockProvider, expires_in: Any, lifetime: float | None) -> None:
    """A number or a string is seconds; missing is unknown; large values are limited."""
    server.expires_in = expires_in
    source = source_of(server)
    assert (await source.token()).expires_in == lifetime
    await source.token()
    assert server.token_requests == 1


async def test_null_is_as_if_it_were_missing(server: MockProvider) -> None:
    """Null is unknown, not zero."""
    server.token_responses.append(httpx.Response(200, json={"access_token": "token-0", "expires_in": None}))
    source = source_of(server)
    assert (await source.token()).expires_in is None
    await source.token()
    assert server.token_requests == 1


@pytest.mark.parametrize("expires_in", [0, "0", -1, "-3600", True, [], {}, "soon", "NaN", "1_000"])
async def test_an_expires_in_that_makes_no_sense_is_an_error_and_no_loop(
    server: MockProvider, clock: FakeClock, expires_in: Any
) -> None:
    """Such a token would be requested endlessly: all waiting callers get an error, which is remembered for a moment."""
    server.expires_in = expires_in
    source = source_of(server, clock)
    for error in await all_of(CALLERS, source.token) + await all_of(CALLERS, source.token):
        assert isinstance(error, InvalidTokenResponse)
        assert "expires_in" in error.problem
    assert server.token_requests == 1


async def test_a_tiny_life_makes_no_request_for_each_call(server: MockProvider, clock: FakeClock) -> None:
    """A loop of calls requests one token a second, for any lifetime."""
    server.expires_in = 0.001
    source = source_of(server, clock)
    for _ in range(30):
        await source.get()
        await landed(source)
        clock.advance(0.1)
    assert server.token_requests <= 6


async def test_a_life_shorter_than_its_fetch_serves_those_who_waited(server: MockProvider, clock: FakeClock) -> None:
    """Each waiting caller uses it once, or it would be requested endlessly; the next caller requests again."""
    server.expires_in = 1.5
    source = source_of(server, clock)
    server.hold_tokens()
    crowd = asyncio.create_task(all_of(CALLERS, source.get))
    assert await server.wait_for_token_request(PATIENCE)
    clock.advance(2)
    server.release_tokens()

    assert {access_token_of(held) for held in await crowd} == {"token-1"}
    assert access_token_of(await source.get()) == "token-2"
    assert server.token_requests == 2

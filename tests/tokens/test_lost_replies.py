"""Refreshes without a reply: the refresh token may have been used."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

import seic
from seic import Grant, MemoryStore, TokenRequestRefused
from seic.testing import MockProvider
from tests._support.clocks import FakeClock
from tests._support.mocks import PATIENCE, refresh_tokens_or_grants, refreshing_mock, uses_of
from tests._support.renewals import LATER, SOON, background, code, password
from tests._support.sources import granted_source_of


def plan(provider: MockProvider, fault: Any) -> None:
    """Let the next token request fail."""
    if fault == "lose":
        provider.lose_tokens()
    else:
        provider.token_responses.append(fault)


@pytest.mark.parametrize(
    ("fault", "repeats"),
    [
        pytest.param("lose", True, id="answer lost"),
        pytest.param(httpx.ReadTimeout("late"), True, id="no answer in time"),
        pytest.param(httpx.Response(502), True, id="a gateway in between gave up"),
        pytest.param(httpx.Response(200, text="<html>"), False, id="another answer in its place"),
    ],
)
async def test_a_lost_answer_is_not_guessed_at(fault: Any, repeats: bool) -> None:
    """A grant that can request again does so, and the refresh token is never sent again."""
    provider, clock = refreshing_mock(), FakeClock()
    source = granted_source_of(provider, password(), clock)
    await source.token()
    clock.advance(LATER)
    plan(provider, fault)
    if not repeats:
        with pytest.raises(seic.InvalidTokenResponse):
            await source.token()
        clock.advance(60)
    await source.token()
    assert refresh_tokens_or_grants(provider) == ["password", "r1", "password"]
    assert provider.reused_refresh_tokens == []


@pytest.mark.parametrize(("fault", "ends"), [("lose", "login"), (httpx.ReadTimeout("late"), "token")])
async def test_a_lost_answer_of_a_login(fault: Any, ends: str) -> None:
    """The valid token is used until its expiry, and only then the refresh token is sent again."""
    provider, clock = refreshing_mock(), FakeClock()
    source = granted_source_of(provider, code(), clock)
    await source.token()
    clock.advance(SOON)
    plan(provider, fault)
    assert (await source.token()).access_token == "a1"
    await background(source)
    clock.advance(100)
    assert (await source.token()).access_token == "a1"
    await background(source)
    clock.advance(400)
    assert (await source.token()).access_token == "a1"
    await background(source)
    assert uses_of(provider) == {"r1": 1}
    clock.advance(LATER)
    if ends == "token":
        assert (await source.token()).access_token == "a2"
    else:
        with pytest.raises(TokenRequestRefused) as caught:
            await source.token()
        assert caught.value.code == "login_required"
    assert uses_of(provider) == {"r1": 2}


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(httpx.ConnectError("refused"), id="no connection"),
        pytest.param(httpx.Response(503), id="too busy to look"),
        pytest.param(httpx.Response(429), id="too many calls"),
    ],
)
async def test_a_refresh_that_was_never_looked_at(fault: Any) -> None:
    """The same refresh token is sent again, since it is still valid."""
    provider, clock = refreshing_mock(), FakeClock()
    source = granted_source_of(provider, password(), clock)
    await source.token()
    clock.advance(LATER)
    plan(provider, fault)
    await source.token()
    assert refresh_tokens_or_grants(provider) == ["password", "r1", "r1"]


async def test_a_cancelled_caller_does_not_spend_twice() -> None:
    """The refresh ends without the caller who started it, and the next caller uses its token."""
    provider, clock = refreshing_mock(), FakeClock()
    source = granted_source_of(provider, code(), clock)
    await source.token()
    clock.advance(LATER)
    provider.hold_tokens(issued=True)
    caller = asyncio.create_task(source.token())
    assert await provider.wait_for_token_request(PATIENCE)
    caller.cancel()
    await asyncio.wait([caller])
    provider.release_tokens()
    assert (await source.token()).access_token == "a2"
    assert uses_of(provider) == {"r1": 1}


@pytest.mark.parametrize(
    ("grant", "asked", "ends"),
    [
        pytest.param(password, ["password", "r1", "password"], "a3", id="a grant that can asks again"),
        pytest.param(code, ["authorization_code", "r1", "r1"], "login_required", id="a login has nothing else to try"),
    ],
)
def test_an_event_loop_that_dies_under_a_refresh(grant: Callable[[], Grant], asked: list[str], ends: str) -> None:
    """The next loop treats the interrupted refresh as one without a reply."""
    provider, clock = refreshing_mock(), FakeClock()
    source = granted_source_of(provider, grant(), clock)

    async def begin() -> None:
        await source.token()
        clock.advance(LATER)
        provider.hold_tokens(issued=True)
        caller = asyncio.create_task(source.token())
        assert await provider.wait_for_token_request(PATIENCE)
        caller.cancel()

    async def go_on() -> str | None:
        try:
            return (await source.token()).access_token
        except TokenRequestRefused as refusal:
            return refusal.code

    asyncio.run(begin())
    provider.release_tokens()
    assert asyncio.run(go_on()) == ends
    assert refresh_tokens_or_grants(provider) == asked


async def test_closing_waits_for_a_refresh_that_was_sent() -> None:
    """The reply, and the next refresh token in it, is not lost at the end."""
    provider, clock, store = refreshing_mock(), FakeClock(), MemoryStore()
    source = granted_source_of(provider, code(), clock, store=store)
    await source.token()
    clock.advance(LATER)
    provider.hold_tokens(issued=True)
    caller = asyncio.create_task(source.token())
    assert await provider.wait_for_token_request(PATIENCE)
    closing = asyncio.create_task(source.aclose())
    await asyncio.sleep(0)
    provider.release_tokens()
    await closing
    assert (await caller).refresh_token == "r2"
    kept = store.load("key")
    assert kept is not None
    assert kept.refresh_token == "r2"

"""Events of failures, without secrets."""

from __future__ import annotations

import asyncio
import logging

import httpx
import pytest

import seic
from seic.events import (
    StoreDegraded,
    TokenEndpointDown,
    TokenEndpointRecovered,
    TokenRefreshEnded,
    TokenRefused,
    TokenRequested,
)
from seic.testing import MockProvider
from tests._support.heard import HOST, Heard, enter_advisory_window
from tests._support.mocks import client_of

_REFUSAL = {"code": "gateway.authentication.failure", "message": "no", "trackingId": "t", "transient": "false"}
_SECRETS = ("AppSecret-1", "password-1", "token-1", "token-2", "QXBwS2V5LTE6QXBwU2VjcmV0LTE=")


async def test_a_refusal_names_code_status_and_tracking_id(gateway: MockProvider, heard: Heard) -> None:
    """The provider's support needs it."""
    gateway.token_responses.append(httpx.Response(401, json=_REFUSAL))
    async with client_of(gateway, on_event=heard) as client:
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


async def test_an_endpoint_goes_down_and_comes_back(gateway: MockProvider, heard: Heard) -> None:
    """While the old token is valid, each attempt is an event, and the recovery has the number of failures."""
    async with client_of(gateway) as client:
        await client.token()
        client.listen(heard)
        for _ in range(2):
            gateway.token_responses.append(httpx.Response(503))
            enter_advisory_window(client)
            await client.get("/v1/accounts")
            await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()}, return_exceptions=True)
        enter_advisory_window(client)
        await client.get("/v1/accounts")
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()}, return_exceptions=True)

    first, second, back = heard.of(TokenEndpointDown, TokenEndpointRecovered)
    for down in (first, second):
        assert isinstance(down, TokenEndpointDown)
        assert down.serving
        assert down.retry_in > 0
        assert down.tracking_id is not None
    assert isinstance(back, TokenEndpointRecovered)
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
    answer: httpx.Response | Exception, outcome: str, status: int | None, gateway: MockProvider, heard: Heard
) -> None:
    """The outcomes are few and stable, for grouping metrics."""
    gateway.token_responses.extend([answer, answer])
    async with client_of(gateway, on_event=heard) as client:
        with pytest.raises(seic.TokenError):
            await client.token()

    (ended,) = heard.of(TokenRefreshEnded)
    asked = heard.of(TokenRequested)
    assert isinstance(ended, TokenRefreshEnded)
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
    answer: httpx.Response | Exception, error: str, gateway: MockProvider, heard: Heard
) -> None:
    """The class of the connection's own error, if there is one, since seic's class only repeats the outcome."""
    gateway.token_responses.extend([answer, answer])
    async with client_of(gateway, on_event=heard) as client:
        with pytest.raises(seic.TokenError):
            await client.token()

    assert {event.error for event in heard.of(TokenRequested) if isinstance(event, TokenRequested)} == {error}


class _BrokenStore:
    blocking = False

    def load(self, key: str) -> seic.Token | None:
        raise ConnectionError("redis://:password-9@host")

    def save(self, key: str, token: seic.Token) -> None:
        raise ConnectionError("redis://:password-9@host")

    def delete(self, key: str) -> None:
        raise ConnectionError("redis://:password-9@host")


async def test_a_degraded_store_is_told_without_its_words(gateway: MockProvider, heard: Heard) -> None:
    """A store's message can contain a URL with a password, so the event has only its class."""
    async with seic.AsyncClient(gateway.config(store=_BrokenStore()), transport=gateway, on_event=heard) as client:
        await client.token()

    assert heard.of(StoreDegraded) == [StoreDegraded(operation="load", problem="ConnectionError")]


async def test_no_event_and_no_log_line_holds_a_secret(
    gateway: MockProvider, heard: Heard, caplog: pytest.LogCaptureFixture
) -> None:
    """Also if the endpoint echoes the request, at every level, for success, refusal, outage and retry."""
    echo = {**_REFUSAL, "code": "bad AppSecret-1", "message": "password-1 is wrong for AppSecret-1"}
    caplog.set_level(logging.DEBUG, logger="seic")
    async with client_of(gateway, on_event=heard) as client:
        gateway.token_responses.append(httpx.Response(503, json=echo, headers={"Retry-After": "0"}))
        await client.get("/v1/accounts")
        gateway.revoke("token-1")
        await client.get("/v1/accounts")
    async with client_of(gateway, on_event=heard) as client:
        gateway.token_responses.append(httpx.Response(401, json=echo))
        with pytest.raises(seic.TokenRequestRefused):
            await client.get("/v1/accounts")

    told = "\n".join([*map(repr, heard), *caplog.messages])
    assert "track-" in told
    for secret in _SECRETS:
        assert secret not in told

"""Retries in the ready clients, and above a custom transport."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import httpx
import pytest

import seic
from seic import ConfigurationError, Retry, RetryTransport
from tests._support.api import Async, Blocking, Kind, auth_for, config
from tests._support.clocks import FakeClock
from tests._support.mocks import endpoint_mock
from tests._support.retrying import Answer, Plan, busy

# In the ready clients


async def test_a_client_retries_if_it_is_told_to(pauses: list[float]) -> None:
    """And not otherwise; token requests have their own rules."""
    plan, server = Plan(busy(), busy()), endpoint_mock()
    auth = auth_for(server)
    async with seic.AsyncClient(config(), auth=auth, transport=Async(plan.api, httpx)) as client:
        assert (await client.get("/v1")).status_code == 503
    async with seic.AsyncClient(config(), auth=auth, transport=Async(plan.api, httpx), retry=Retry()) as client:
        assert (await client.get("/v1")).status_code == 200
    assert plan.api.tokens == ["token-1"] * 3


async def test_what_is_mounted_retries_as_well(pauses: list[float]) -> None:
    """A client has one policy for all its requests."""
    plan = Plan(busy())
    mounts = {"https://api.example/v1/slow": Async(plan.api, httpx)}
    auth = auth_for(endpoint_mock())
    async with seic.AsyncClient(config(), auth=auth, mounts=mounts, retry=Retry()) as client:
        assert (await client.get("/v1/slow")).status_code == 200
    assert plan.calls == 2


def test_a_blocking_client_retries_if_it_is_told_to(pauses: list[float]) -> None:
    """As the async one."""
    plan = Plan(busy())
    auth = auth_for(endpoint_mock(), FakeClock())
    with seic.Client(config(), auth=auth, transport=Blocking(plan.api, httpx), retry=Retry()) as client:
        assert client.get("/v1").status_code == 200


def test_a_token_that_dies_in_a_pause_is_renewed_all_the_same(kind: Kind, pauses: list[float]) -> None:
    """The transport retries with the same token; the auth above it gets the 401."""
    plan, server = Plan(busy()), endpoint_mock()
    take = plan.api.take

    def revoke(request: Any, body: bytes) -> Answer:
        answer = take(request, body)
        plan.api.dead.add("token-1")
        return answer

    plan.api.take = revoke  # type: ignore[method-assign]
    auth = auth_for(server)
    if kind.is_async:

        async def call() -> Any:
            transport = RetryTransport(Async(plan.api, kind.library))
            async with kind.library.AsyncClient(auth=auth, transport=transport) as client:
                return await client.get("https://api.example/v1")

        reply = asyncio.run(call())
    else:
        with kind.library.Client(auth=auth, transport=RetryTransport(Blocking(plan.api, kind.library))) as client:
            reply = client.get("https://api.example/v1")
    assert reply.status_code == 200
    assert plan.api.tokens == ["token-1", "token-1", "token-2"]


# The transport below


def test_what_is_below_is_opened_and_closed_with_it() -> None:
    """With a `with` block and without."""
    seen: list[str] = []

    class Below(httpx.BaseTransport):
        def __enter__(self) -> Any:
            seen.append("enter")
            return self

        def __exit__(self, *_: object) -> None:
            seen.append("exit")

        def close(self) -> None:
            seen.append("close")

    with RetryTransport(Below()) as transport:
        transport.close()
    assert seen == ["enter", "close", "exit"]


async def test_an_async_transport_below_is_opened_and_closed_with_it() -> None:
    """As a blocking one."""
    seen: list[str] = []

    class Below(httpx.AsyncBaseTransport):
        async def __aenter__(self) -> Any:
            seen.append("enter")
            return self

        async def __aexit__(self, *_: object) -> None:
            seen.append("exit")

        async def aclose(self) -> None:
            seen.append("close")

    async with RetryTransport(Below()) as transport:
        await transport.aclose()
    assert seen == ["enter", "close", "exit"]


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"attempts": 0}, "retry.attempts"),
        ({"attempts": 2.5}, "retry.attempts"),
        ({"attempts": True}, "retry.attempts"),
        ({"longest_pause": -1}, "retry.longest_pause"),
        ({"longest_pause": math.inf}, "retry.longest_pause"),
        ({"longest_pause": math.nan}, "retry.longest_pause"),
        ({"longest_pause": "10"}, "retry.longest_pause"),
        ({"longest_pause": True}, "retry.longest_pause"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(settings: dict[str, Any], field: str) -> None:
    """The error names the setting."""
    with pytest.raises(ConfigurationError) as caught:
        Retry(**settings)
    assert caught.value.field == field

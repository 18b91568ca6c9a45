"""`clock=`, freezegun and time-machine move the time of clients, also of clients that were created before."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import freezegun
import pytest
import time_machine

import seic
from seic.testing import MockProvider
from tests._support.clocks import FakeClock
from tests._support.identities import certificate
from tests._support.mocks import client_of

Move: TypeAlias = Callable[[float], None]

START = dt.datetime(2030, 1, 1, 12, tzinfo=dt.UTC)
IDLE = 1800


@contextmanager
def by_freezegun() -> Iterator[Move]:
    """Freeze the time at `START`."""
    with freezegun.freeze_time(START, real_asyncio=True) as frozen:
        yield frozen.tick  # type: ignore[misc]


@contextmanager
def by_time_machine() -> Iterator[Move]:
    """Set the time to `START`."""
    with time_machine.travel(START, tick=False) as traveller:
        yield traveller.shift


LIBRARIES = pytest.mark.parametrize("moving", [by_freezegun, by_time_machine], ids=["freezegun", "time-machine"])
SECONDS = pytest.mark.parametrize("seconds", [3600, IDLE], ids=["expired", "idle"])


@LIBRARIES
@SECONDS
async def test_a_token_is_refreshed_when_a_library_moves_the_time(
    moving: Callable[[], Any], seconds: float, gateway: MockProvider
) -> None:
    """The token is as old as the moved clock says."""
    with moving() as move:
        async with client_of(gateway) as client:
            token = await client.token()
            assert token.obtained_at == START.timestamp()
            await client.get("/x")
            assert gateway.issued_tokens == 1
            move(seconds)
            await client.get("/x")

    assert gateway.issued_tokens == 2


@LIBRARIES
@SECONDS
def test_the_same_holds_for_a_blocking_client(moving: Callable[[], Any], seconds: float, gateway: MockProvider) -> None:
    """Its tokens are requested in another thread."""
    with moving() as move, seic.Client(gateway.config(), transport=gateway) as client:
        assert client.token().obtained_at == START.timestamp()
        client.get("/x")
        assert gateway.issued_tokens == 1
        move(seconds)
        client.get("/x")

    assert gateway.issued_tokens == 2


@LIBRARIES
async def test_a_client_that_is_older_than_the_moved_time_follows_it(
    moving: Callable[[], Any], gateway: MockProvider
) -> None:
    """Such as the client of a fixture: its clocks are not bound to those of its creation."""
    client = client_of(gateway)
    await client.token()
    with moving():
        assert (await client.token()).obtained_at == START.timestamp()
    await client.aclose()

    assert gateway.issued_tokens == 2


@LIBRARIES
async def test_a_certificate_expires_by_the_moved_time(moving: Callable[[], Any], gateway: MockProvider) -> None:
    """It is named before anything is sent."""
    config = gateway.config(certificate=certificate(), hosts=seic.Hosts(mtls="localhost:1"))
    async with seic.AsyncClient(config) as client:
        with moving(), pytest.raises(seic.CertificateError) as caught:
            await client.token()

    assert caught.value.reason == "expired"
    assert "2030-01-01" in str(caught.value)


async def test_the_clock_of_an_async_client_decides_about_refreshes(gateway: MockProvider, clock: FakeClock) -> None:
    """`from_env` takes it too."""
    settings = {"SEIC_CLIENT_ID": "a", "SEIC_CLIENT_SECRET": "b", "SEIC_USERNAME": "c", "SEIC_PASSWORD": "d"}
    for client in (
        client_of(gateway, clock=clock.clock),
        seic.AsyncClient.from_env(settings, transport=gateway, clock=clock.clock),
    ):
        async with client:
            before = gateway.issued_tokens
            assert (await client.token()).obtained_at == clock.wall
            clock.advance(3600)
            await client.get("/x")
            assert gateway.issued_tokens == before + 2


def test_the_clock_of_a_blocking_client_decides_about_refreshes(gateway: MockProvider, clock: FakeClock) -> None:
    """As that of an async client."""
    with seic.Client(gateway.config(), transport=gateway, clock=clock.clock) as client:
        assert client.token().obtained_at == clock.wall
        clock.advance(3600)
        client.get("/x")

    assert gateway.issued_tokens == 2


@pytest.mark.parametrize("kind", [seic.AsyncClient, seic.Client])
def test_a_clock_together_with_an_auth_is_refused(kind: Any, gateway: MockProvider, clock: FakeClock) -> None:
    """The auth has its own clock, so the client's would have no effect."""
    config = gateway.config()
    with pytest.raises(seic.ConfigurationError) as caught:
        kind(config, auth=seic.OAuth2Auth(config, transport=gateway), clock=clock.clock)

    assert caught.value.field == "clock"
    assert "seic.OAuth2Auth(clock=...)" in str(caught.value)

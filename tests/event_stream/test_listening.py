"""Listeners get all events until the client is closed, and their errors have no effect."""

from __future__ import annotations

import asyncio
import logging

import pytest

import seic
from seic.events import Event, TokenWaitEnded
from seic.testing import MockProvider
from tests._support.heard import Heard
from tests._support.mocks import client_of


async def test_a_broken_listener_breaks_no_call(gateway: MockProvider, caplog: pytest.LogCaptureFixture) -> None:
    """A listener that fails on every event causes one log line."""

    def broken(event: Event) -> None:
        raise LookupError(event.name)

    async with client_of(gateway, on_event=broken) as client:
        reply = await client.get("/v1/accounts")

    assert reply.status_code == 200
    assert [record.name for record in caplog.records if record.levelno == logging.ERROR] == ["seic.events"]


class Unhurried(Heard):
    """A coroutine function that needs some turns of the loop for each event."""

    async def __call__(self, event: Event) -> None:  # type: ignore[override]  # a listener may be either
        """Record the event."""
        for _ in range(20):
            await asyncio.sleep(0)
        self.append(event)


@pytest.mark.parametrize("shared", [False, True], ids=["own auth", "shared auth"])
@pytest.mark.parametrize("closed", ["by itself", "by with"])
async def test_no_event_is_lost_when_a_client_is_closed(closed: str, shared: bool, gateway: MockProvider) -> None:
    """Closing waits for running listeners, since the last event is often the important one."""
    heard, told = Heard(), Unhurried()
    auth = seic.OAuth2Auth(gateway.config(), transport=gateway, on_event=heard) if shared else None
    client = client_of(gateway, auth=auth, on_event=told)
    client.listen(heard)
    if closed == "by with":
        async with client:
            await client.token()
    else:
        await client.token()
        await client.aclose()

    assert [type(event) for event in told] == [type(event) for event in heard][:: 2 if shared else 1]
    assert told.of(TokenWaitEnded)


async def test_clients_of_one_auth_listen_each_until_it_is_closed(gateway: MockProvider) -> None:
    """They share the token, so both get its events; a closed one gets no more."""
    auth = seic.OAuth2Auth(gateway.config(), transport=gateway)
    first, second = Heard(), Heard()
    async with seic.AsyncClient(gateway.config(), auth=auth, transport=gateway, on_event=first):
        async with seic.AsyncClient(gateway.config(), auth=auth, transport=gateway, on_event=second) as b:
            await b.token()
        assert first == second != []
        gone = len(second)
        await auth.source.token(force=True)

    assert len(second) == gone
    assert len(first) == 2 * gone

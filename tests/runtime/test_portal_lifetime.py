"""The portal's lifetime: the tasks that outlive the call that started them keep it."""

from __future__ import annotations

import asyncio
import threading

import httpx
import pytest

import seic
from seic import _portal
from seic._concurrency import OneShotEvent
from seic._portal import BackgroundTask, run, start
from seic.events import TokenAcquired, TokenRefreshEnded, TokenWaitStarted
from seic.testing import MockProvider
from tests._support.clocks import FakeClock
from tests._support.libraries import PATIENCE


async def _turns() -> None:
    """Give the portal's loop many turns, in which an idle one would end."""
    for _ in range(100):
        await asyncio.sleep(0)


@pytest.mark.usefixtures("fresh")
def test_a_task_that_a_call_left_behind_keeps_the_portal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The portal is busy while any task runs in it, also one whose starter has ended; it is idle after that."""
    monkeypatch.setattr("seic._portal._IDLE", 0)
    gate = OneShotEvent()

    async def wait() -> threading.Thread:
        await gate.wait()
        await _turns()
        return threading.current_thread()

    async def leave() -> BackgroundTask[threading.Thread]:
        return start(wait)

    left = run(leave)
    gate.set()
    thread = left.future.result(PATIENCE)
    thread.join(PATIENCE)
    assert not thread.is_alive()


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("late", [3000, 3550], ids=["advisory", "mandatory"])
def test_a_slow_refresh_of_a_blocking_caller_ends(
    server: MockProvider, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, late: float
) -> None:
    """Its caller uses the old token, and the portal does not end before the new one is there."""
    monkeypatch.setattr("seic._portal._IDLE", 0)
    monkeypatch.setattr("seic._tokens.cache._PATIENCE", 0.001)
    gate, over = OneShotEvent(), OneShotEvent()
    requests, outcomes = 0, list[str]()

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal requests
        requests += 1
        if requests > 1:
            assert gate.wait_sync(PATIENCE)
            loop = _portal._portal()._loop
            assert loop is not None
            asyncio.run_coroutine_threadsafe(_turns(), loop).result(PATIENCE)
        response: httpx.Response = server.handle_request(request)
        return response

    def listen(event: object) -> None:
        if isinstance(event, TokenRefreshEnded):
            outcomes.append(event.outcome)
            if len(outcomes) > 1:
                over.set()
        elif isinstance(event, TokenWaitStarted):
            clock.advance(1)

    with seic.Client(
        server.config(), transport=httpx.MockTransport(answer), clock=clock.clock, on_event=listen
    ) as client:
        client.token()
        clock.advance(late)
        assert client.token().access_token == "token-1"
        gate.set()
        assert over.wait_sync(PATIENCE)
        assert (outcomes, requests) == (["acquired", "acquired"], 2)
        assert client.token().access_token == "token-2"


@pytest.mark.usefixtures("fresh")
def test_a_coroutine_listener_of_a_blocking_caller_ends(server: MockProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    """The portal does not end before it."""
    monkeypatch.setattr("seic._portal._IDLE", 0)
    gate, heard = OneShotEvent(), OneShotEvent()

    async def listen(event: object) -> None:
        if isinstance(event, TokenAcquired):
            await gate.wait()
            await _turns()
            heard.set()

    with seic.Client(server.config(), transport=httpx.MockTransport(server.handle_request), on_event=listen) as client:
        client.token()
        gate.set()
    assert heard.done()

"""How fetches are started and settled, where the program is interrupted in between."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from seic._events import Event, TokenWaitStarted
from seic._tokens.flight import Flight
from seic._tokens.piloting import Pilot
from seic._tokens.source import TokenSource
from tests._support.clocks import FakeClock
from tests._support.fakes.token_endpoint import PATIENCE, FakeEndpoint, landed, name

_INTERRUPTS = pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])


def _interrupted(interrupt: type[BaseException]) -> Callable[[Event], None]:
    """Return what interrupts the first caller who is about to wait, in the moment before the fetch is started."""
    left = [interrupt]

    def emit(event: Event) -> None:
        if isinstance(event, TokenWaitStarted) and left:
            raise left.pop()

    return emit


def _interrupts_launch(monkeypatch: pytest.MonkeyPatch, interrupt: type[BaseException]) -> None:
    """Interrupt the first launch before it has done anything."""
    launch, left = Pilot.launch, [interrupt]

    def interrupted(self: Pilot, flight: Flight, *, blocking: bool) -> None:
        if left:
            raise left.pop()
        launch(self, flight, blocking=blocking)

    monkeypatch.setattr(Pilot, "launch", interrupted)


def _drive(source: TokenSource) -> Any:
    """Take one step of a caller, outside any loop, as an interrupt would cut it short."""
    return source.obtain().send(None)


@_INTERRUPTS
@pytest.mark.parametrize("ask", [TokenSource.obtain_sync, _drive], ids=["blocking", "async"])
def test_an_interrupt_before_the_fetch_begins_hands_it_over_at_once(
    desk: FakeEndpoint, interrupt: type[BaseException], ask: Callable[[TokenSource], Any]
) -> None:
    """Nobody is left with a fetch that was decided on and never started."""
    source = desk.source(emit=_interrupted(interrupt))
    with pytest.raises(interrupt):
        ask(source)
    assert source.state.flight is None
    assert name(source.obtain_sync()) == "token-1"
    assert desk.calls == 1


@_INTERRUPTS
@pytest.mark.parametrize("ask", [TokenSource.obtain_sync, _drive], ids=["blocking", "async"])
def test_an_interrupt_before_a_renewal_ahead_begins_hands_it_over_too(
    desk: FakeEndpoint,
    clock: FakeClock,
    monkeypatch: pytest.MonkeyPatch,
    interrupt: type[BaseException],
    ask: Callable[[TokenSource], Any],
) -> None:
    """The next call starts it."""
    source = desk.source(clock)
    source.obtain_sync()
    clock.advance(3000)
    _interrupts_launch(monkeypatch, interrupt)
    with pytest.raises(interrupt):
        ask(source)
    assert source.state.flight is None
    assert name(source.obtain_sync()) == "token-1"
    asyncio.run(landed(source))
    assert desk.calls == 2


def test_an_interrupt_takes_no_fetch_of_another_thread_down(desk: FakeEndpoint) -> None:
    """One that another caller has decided on, and is about to start, is that caller's."""
    deciding, go_on = threading.Event(), threading.Event()
    others: list[threading.Thread] = []

    def emit(event: Event) -> None:
        if not isinstance(event, TokenWaitStarted):
            return
        if threading.current_thread() in others:
            deciding.set()
            assert go_on.wait(PATIENCE)
        elif not go_on.is_set():
            raise KeyboardInterrupt

    source = desk.source(emit=emit)
    others.append(threading.Thread(target=source.obtain_sync))
    others[0].start()
    assert deciding.wait(PATIENCE)
    with pytest.raises(KeyboardInterrupt):
        source.obtain_sync()
    assert source.state.flight is not None
    go_on.set()
    others[0].join(PATIENCE)
    assert name(source.obtain_sync()) == "token-1"
    assert desk.calls == 1

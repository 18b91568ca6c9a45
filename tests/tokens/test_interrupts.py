"""A caller that is interrupted (Ctrl-C) between the decision for a refresh and its start."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

import seic
from seic.events import TokenRefreshStarted, TokenWaitStarted
from seic.testing import MockProvider
from tests._support.clocks import FakeClock
from tests._support.crowds import in_threads
from tests._support.gate import Gate
from tests._support.mocks import PATIENCE

_INTERRUPTS = pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])


def _auth(
    server: MockProvider, on_event: Callable[[Any], object], clock: FakeClock | None = None, **options: Any
) -> seic.OAuth2Auth:
    clock = clock or FakeClock()
    return seic.OAuth2Auth(server.config(**options), transport=server, on_event=on_event, clock=clock.clock)


def _interrupts(kind: type, interrupt: type[BaseException], *, after: int = 0) -> Callable[[Any], None]:
    """Return a listener that interrupts its caller once, at an event of one kind, the first or a later one."""
    left = [None] * after + [interrupt]

    def listen(event: Any) -> None:
        if isinstance(event, kind) and left and (raised := left.pop(0)) is not None:
            raise raised

    return listen


@_INTERRUPTS
def test_an_interrupt_before_a_refresh_begins_hands_it_over(
    server: MockProvider, interrupt: type[BaseException]
) -> None:
    """The next caller starts the refresh at once, and does not wait for one that nobody started."""
    auth = _auth(server, _interrupts(TokenWaitStarted, interrupt), token_timeout=0.5)
    with pytest.raises(interrupt):
        asyncio.run(auth.token())
    assert asyncio.run(auth.token()).access_token == "token-1"
    assert server.token_requests == 1


@_INTERRUPTS
def test_an_interrupt_before_a_refresh_ahead_begins_hands_it_over(
    server: MockProvider, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, interrupt: type[BaseException]
) -> None:
    """The next caller starts it."""
    auth = _auth(server, lambda _event: None, clock)
    auth.token_sync()
    clock.advance(3000)

    def interrupted(*_arguments: object) -> None:
        raise interrupt

    with monkeypatch.context() as patched:
        # No event comes between the decision and the start.
        patched.setattr("seic._tokens.source.CachingTokenSource._start", interrupted)
        with pytest.raises(interrupt):
            asyncio.run(auth.token())
    assert asyncio.run(auth.token()).access_token == "token-1"
    assert server.token_requests == 2


@_INTERRUPTS
def test_an_interrupt_of_the_first_step_of_a_refresh_ahead_hands_it_over(
    server: MockProvider, clock: FakeClock, interrupt: type[BaseException]
) -> None:
    """The next caller in the mandatory window starts it."""
    auth = _auth(server, _interrupts(TokenRefreshStarted, interrupt, after=1), clock, token_timeout=0.5)
    auth.token_sync()
    clock.advance(3000)
    with pytest.raises(interrupt):
        asyncio.run(auth.token())
    clock.advance(599)
    assert asyncio.run(auth.token()).access_token == "token-2"
    assert server.token_requests == 2


def test_an_interrupt_takes_no_refresh_of_another_thread_down(server: MockProvider) -> None:
    """One that another thread has decided on, and is about to start, is that thread's."""
    deciding, interrupted = Gate(), Gate()
    main = threading.current_thread()

    def listen(event: Any) -> None:
        if not isinstance(event, TokenWaitStarted) or interrupted.is_set():
            return
        if threading.current_thread() is main:
            raise KeyboardInterrupt
        deciding.set()
        assert interrupted.wait(PATIENCE)

    auth = _auth(server, listen)
    (other,) = in_threads(lambda: asyncio.run(auth.token()))
    assert deciding.wait(PATIENCE)
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(auth.token())
    interrupted.set()
    assert other.result(PATIENCE).access_token == "token-1"
    assert asyncio.run(auth.token()).access_token == "token-1"
    assert server.token_requests == 1

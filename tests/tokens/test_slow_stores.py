"""A store whose own time limit is shorter than seic's: it is waited for once, not once for each operation."""

from __future__ import annotations

import pytest

from seic._tokens.store_guard import StoreGuard
from tests._support.clocks import FakeClock
from tests._support.scripted_store import Store


class LimitedStore(Store):
    """A store whose calls end by an error after a time.

    Attributes:
        clock: The clock that a call moves.
        seconds: The time limit of a call.
    """

    clock: FakeClock
    seconds: float

    def _enter(self, operation: str) -> None:
        self.clock.advance(self.seconds)
        super()._enter(operation)

    def claim(self, key: str, seconds: float) -> bool:
        """Claim a key."""
        self._enter("claim")
        return True

    def release(self, key: str) -> None:
        """Release a key."""


@pytest.mark.parametrize(("seconds", "calls"), [(0.9, ["load"]), (0.5, ["load", "claim"])])
async def test_a_slow_failure_pauses_all_operations(clock: FakeClock, seconds: float, calls: list[str]) -> None:
    """A faster one pauses only its own: while the lock of a file is held, its token can be read."""
    store = LimitedStore()
    store.clock, store.seconds = clock, seconds
    store.errors["load"] = TimeoutError()
    heard: list[object] = []
    guard = StoreGuard(store, emit=heard.append, clock=clock.clock)

    assert await guard.load("key") is None
    assert await guard.claim("key", 13)
    assert store.calls == calls
    assert len(heard) == 1

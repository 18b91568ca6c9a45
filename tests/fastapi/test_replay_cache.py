"""States of logins are accepted once."""

from __future__ import annotations

import pytest

from seic.fastapi._login_state import LOGIN_TIMEOUT, ReplayCache
from tests._support.clocks import FakeClock


@pytest.mark.parametrize(
    ("after", "accepted"), [(LOGIN_TIMEOUT - 0.1, False), (LOGIN_TIMEOUT, True)], ids=["valid", "expired"]
)
def test_a_state_is_remembered_while_its_cookie_is_valid(after: float, accepted: bool) -> None:
    """Later the cookie does not decrypt, so the state can be forgotten."""
    clock = FakeClock()
    cache = ReplayCache(clock.clock.monotonic)

    assert cache.add("state-1")
    assert not cache.add("state-1")
    clock.advance(after)
    assert cache.add("state-1") is accepted


def test_the_capacity_is_limited() -> None:
    """Logins that nobody finishes cannot fill the memory: the oldest is dropped first."""
    cache = ReplayCache(FakeClock().clock.monotonic, capacity=3)
    for number in range(4):
        assert cache.add(f"state-{number}")

    assert not cache.add("state-3")
    assert cache.add("state-0")

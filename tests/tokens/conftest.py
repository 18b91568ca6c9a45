"""A clock and a token endpoint for each test of this room."""

from __future__ import annotations

import pytest

from tests._support.clocks import FakeClock
from tests._support.token_desk import TokenDesk


@pytest.fixture
def clock() -> FakeClock:
    """Both clocks."""
    return FakeClock()


@pytest.fixture
def desk() -> TokenDesk:
    """A token endpoint in memory."""
    return TokenDesk()

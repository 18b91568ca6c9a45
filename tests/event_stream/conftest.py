"""A gateway in memory, and a listener that keeps what it heard."""

from __future__ import annotations

import pytest

from tests._support.fake_gateway import FakeGateway
from tests._support.heard import Heard


@pytest.fixture
def gateway() -> FakeGateway:
    """A gateway in memory."""
    return FakeGateway()


@pytest.fixture
def heard() -> Heard:
    """A listener."""
    return Heard()

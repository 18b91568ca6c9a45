"""What tests of the FastAPI door have in common."""

from __future__ import annotations

import pytest

from tests._support.fake_gateway import FakeGateway


@pytest.fixture
def gateway() -> FakeGateway:
    """A gateway in memory."""
    return FakeGateway()

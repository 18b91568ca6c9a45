"""A gateway in memory, and what is exported of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests._support.fake_gateway import FakeGateway
from tests._support.observatory import Observatory


@pytest.fixture
def seen() -> Iterator[Observatory]:
    """What was exported."""
    observatory = Observatory()
    yield observatory
    observatory.close()


@pytest.fixture
def gateway() -> FakeGateway:
    """A gateway in memory."""
    return FakeGateway()

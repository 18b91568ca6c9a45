"""What is exported of a gateway in memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests._support.observatory import Observatory


@pytest.fixture
def seen() -> Iterator[Observatory]:
    """What was exported."""
    observatory = Observatory()
    yield observatory
    observatory.close()

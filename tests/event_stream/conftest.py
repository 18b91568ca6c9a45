"""A listener that records events."""

from __future__ import annotations

import pytest

from tests._support.heard import Heard


@pytest.fixture
def heard() -> Heard:
    """Return a listener."""
    return Heard()

"""A listener that keeps what it heard."""

from __future__ import annotations

import pytest

from tests._support.heard import Heard


@pytest.fixture
def heard() -> Heard:
    """A listener."""
    return Heard()

"""Fixtures of the FastAPI tests."""

from __future__ import annotations

import pytest

from tests._support.issuer import Issuer
from tests._support.platform_mock import PlatformMock


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    """An issuer; its RSA key is slow to make, so only tests that change it make their own."""
    return Issuer()


@pytest.fixture
def platform() -> PlatformMock:
    """A platform in memory."""
    return PlatformMock()

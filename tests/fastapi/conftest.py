"""Fixtures of the FastAPI tests."""

from __future__ import annotations

import pytest

from seic.testing import MockIssuer
from tests._support.issuer import issuer_of
from tests._support.platform_mock import PlatformMock


@pytest.fixture(scope="module")
def issuer() -> MockIssuer:
    """An issuer; its RSA key is slow to make, so only tests that change it make their own."""
    return issuer_of()


@pytest.fixture
def platform() -> PlatformMock:
    """A platform in memory."""
    return PlatformMock()

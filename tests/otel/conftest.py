"""Fixtures for the tests of OpenTelemetry."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import seic
from seic.testing import MockProvider
from tests._support.clocks import FakeClock
from tests._support.observatory import Observatory


@pytest.fixture
def seen() -> Iterator[Observatory]:
    """The exported spans and metrics."""
    observatory = Observatory()
    yield observatory
    observatory.close()


@pytest.fixture
def timed_client(gateway: MockProvider, clock: FakeClock) -> seic.AsyncClient:
    """A client whose time the test moves."""
    config = gateway.config()
    auth = seic.OAuth2Auth(config, transport=gateway, clock=clock.clock)
    return seic.AsyncClient(config, auth=auth, transport=gateway)

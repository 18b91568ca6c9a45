"""Fixtures: an API, and an auth with an in-memory token endpoint."""

from __future__ import annotations

import pytest

from seic import OAuth2Auth
from seic.testing import MockProvider
from tests._support.api import Api, auth_for
from tests._support.clocks import FakeClock


@pytest.fixture
def api() -> Api:
    """Return an API."""
    return Api()


@pytest.fixture
def auth(server: MockProvider, clock: FakeClock) -> OAuth2Auth:
    """Return an auth with the in-memory token endpoint."""
    return auth_for(server, clock)

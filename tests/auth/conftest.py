"""An API, and an auth whose tokens come from a desk in memory."""

from __future__ import annotations

import pytest

from seic import OAuth2Auth
from tests._support.api import Api, auth_for
from tests._support.clocks import FakeClock
from tests._support.fakes.token_endpoint import FakeEndpoint


@pytest.fixture
def api() -> Api:
    """An API."""
    return Api()


@pytest.fixture
def auth(desk: FakeEndpoint, clock: FakeClock) -> OAuth2Auth:
    """An auth whose tokens come from the desk."""
    return auth_for(desk, clock)

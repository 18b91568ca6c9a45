"""Hooks for all tests, and fixtures that several folders use."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

from seic.testing import MockProvider
from tests._support.api import KINDS, Kind
from tests._support.both_libraries import _library, pytest_generate_tests
from tests._support.clocks import FakeClock
from tests._support.mocks import endpoint_mock, gateway_mock
from tests._support.skips import pytest_make_collect_report, pytest_runtest_makereport

__all__ = ["_library", "pytest_generate_tests", "pytest_make_collect_report", "pytest_runtest_makereport"]

# A busy machine is not a defect: properties are judged by their result, never by their duration.
settings.register_profile("seic", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("seic")


@pytest.fixture
def server() -> MockProvider:
    """Return an in-memory token endpoint."""
    return endpoint_mock()


@pytest.fixture
def clock() -> FakeClock:
    """Return a fake of both clocks."""
    return FakeClock()


@pytest.fixture(params=KINDS, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> Kind:
    """Return each kind of client."""
    way: Kind = request.param
    return way


@pytest.fixture
def gateway() -> MockProvider:
    """Return an in-memory gateway."""
    return gateway_mock()

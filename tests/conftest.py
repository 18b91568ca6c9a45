"""What every test has, and what tests of several rooms ask for."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

from tests._support.api import KINDS, Kind
from tests._support.clocks import FakeClock
from tests._support.fake_gateway import FakeGateway
from tests._support.skips import pytest_make_collect_report, pytest_runtest_makereport
from tests._support.token_desk import TokenDesk

__all__ = ["pytest_make_collect_report", "pytest_runtest_makereport"]

# A busy machine is no defect of what is tested: properties are judged by their outcome, never by how long they took.
settings.register_profile("seic", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("seic")


@pytest.fixture
def desk() -> TokenDesk:
    """A token endpoint in memory."""
    return TokenDesk()


@pytest.fixture
def clock() -> FakeClock:
    """Both clocks."""
    return FakeClock()


@pytest.fixture(params=KINDS, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> Kind:
    """Each kind of client."""
    way: Kind = request.param
    return way


@pytest.fixture
def gateway() -> FakeGateway:
    """A gateway in memory."""
    return FakeGateway()

"""The pytest plugin of seic's testing kit: fixtures and the option `--seic-chaos`; see docs/testing.md.

It is outside of the package, since pytest imports it in each run: nothing of seic is imported before a fixture is used.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import pytest

if TYPE_CHECKING:
    from seic.sandbox import Sandbox
    from seic.testing import CertificateFactory, Events, MockClocks, MockIssuer, MockProvider, Recording
    from seic.testing._fault_runs import FaultRuns

_Scope = Literal["session", "package", "module", "class", "function"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the settings of the plugin."""
    parser.addoption(
        "--seic-chaos",
        action="store_true",
        help="run each test that uses seic again with each of the standard faults, and name the tests that break",
    )
    parser.addoption(
        "--seic-record",
        action="store_true",
        help="let the fixture seic_recording send requests, and write their responses to files",
    )
    parser.addini(
        "seic_sandbox_scope",
        "the scope of the fixture seic_sandbox: function, class, module or session",
        default="function",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the runs with faults, if they are requested."""
    if config.getoption("--seic-chaos"):
        from seic.testing._fault_runs import FaultRuns

        config.pluginmanager.register(FaultRuns(), "seic_chaos")


def _sandbox_scope(*, fixture_name: str, config: pytest.Config) -> _Scope:
    return cast("_Scope", config.getini("seic_sandbox_scope"))


@pytest.fixture
def seic_mock() -> Iterator[MockProvider]:
    """A provider and its API in memory, which gets all requests of seic's clients; see `seic.testing.MockProvider`."""
    from seic.testing import MockProvider
    from seic.testing._patches import without_network

    provider = MockProvider()
    with without_network(provider):
        yield provider
    provider.check()


@pytest.fixture
def seic_issuer() -> MockIssuer:
    """An issuer of JWTs in memory, for tests of `BearerTokens`; see `seic.testing.MockIssuer`."""
    from seic.testing import MockIssuer

    return MockIssuer()


@pytest.fixture
def seic_clock() -> Iterator[MockClocks]:
    """The clocks of all clients, and of `seic_sandbox` and `seic_mock`: they move only when the test moves them."""
    from seic.testing import MockClocks
    from seic.testing._patches import system_clock

    clocks = MockClocks()
    with system_clock(clocks):
        yield clocks


@pytest.fixture
def seic_events() -> Iterator[Events]:
    """The events of all clients since the start of the test, in order."""
    from seic.testing import Events
    from seic.testing._patches import recorded_events

    events = Events()
    with recorded_events(events):
        yield events


@pytest.fixture(scope=cast("Any", _sandbox_scope))
def seic_sandbox() -> Iterator[Sandbox]:
    """A running sandbox; the setting `seic_sandbox_scope` decides how many tests share it."""
    from seic.sandbox import Sandbox
    from seic.testing._patches import SYSTEM_CLOCK

    with Sandbox(clock=SYSTEM_CLOCK.monotonic) as sandbox:
        yield sandbox


@pytest.fixture
def seic_environ(seic_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The variables `SEIC_*` with which an application uses the sandbox; those of the machine are removed."""
    from seic.testing._patches import environ_of

    return environ_of(seic_sandbox, monkeypatch)


@pytest.fixture
def seic_certificates(seic_sandbox: Sandbox, tmp_path: Path) -> CertificateFactory:
    """Files of certificates in every form and with every defect; the sandbox's authority issues them."""
    from seic.testing import CertificateFactory

    return CertificateFactory(seic_sandbox.authority, tmp_path, username=seic_sandbox.username)


@pytest.fixture
def seic_fault(pytestconfig: pytest.Config) -> str | None:
    """The name of the fault of this run of `pytest --seic-chaos`; None in a run without a fault."""
    runs: FaultRuns | None = pytestconfig.pluginmanager.get_plugin("seic_chaos")
    return None if runs is None else runs.fault


@pytest.fixture
def seic_recording(request: pytest.FixtureRequest) -> Iterator[Recording]:
    """Responses recorded from a real environment with `pytest --seic-record`, and replayed without the option."""
    from seic.testing import Recording

    name = re.sub(r"[^\w.-]+", "-", request.node.name).strip("-")
    path = request.path.parent / "recordings" / request.path.stem / f"{name}.json"
    recording = Recording(path, is_recording=bool(request.config.getoption("--seic-record")))
    failed = request.session.testsfailed
    with recording.running():
        yield recording
        if request.session.testsfailed > failed:
            recording.discard()

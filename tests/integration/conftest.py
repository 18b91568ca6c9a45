"""The SDK with a running sandbox, over TLS."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator

import pytest

from seic import Clock
from seic.sandbox import MockClock, Sandbox


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove settings and proxies of the environment."""
    for name in tuple(os.environ):
        if name.startswith("SEIC_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture(params=["TLSv1.2", "TLSv1.3"])
def tls(request: pytest.FixtureRequest) -> str:
    """The server's only TLS version."""
    return str(request.param)


@pytest.fixture
def manual() -> MockClock:
    """A clock for client and server that only the test moves."""
    return MockClock(start=1_000_000.0)


@pytest.fixture
def clock(manual: MockClock) -> Clock:
    """The SDK's clock with this time."""
    return Clock(monotonic=manual, wall=manual)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """A running sandbox."""
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def timed_sandbox(manual: MockClock) -> Iterator[Sandbox]:
    """A running sandbox with the manual clock."""
    with Sandbox(clock=manual) as sandbox:
        yield sandbox


@pytest.fixture
def versioned_sandbox(tls: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A running sandbox with one TLS version."""
    version = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}[tls]
    monkeypatch.setattr("seic.sandbox._server.loopback.TLS_VERSIONS", (version, version))
    with Sandbox() as sandbox:
        yield sandbox

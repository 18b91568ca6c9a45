"""The SDK against a running sandbox, over real TLS."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from typing import Any

import pytest

from seic._tokens.clock import Clock
from seic.sandbox import ManualClock, Sandbox
from seic.sandbox._server.loopback import server_context


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the settings and proxies of whoever runs the tests out of them."""
    for name in tuple(os.environ):
        if name.startswith("SEIC_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture(params=["TLSv1.2", "TLSv1.3"])
def tls(request: pytest.FixtureRequest) -> str:
    """Name the version of TLS that the far side speaks, and no other."""
    return str(request.param)


@pytest.fixture
def manual() -> ManualClock:
    """Stop the time: a clock for both sides, which only the test moves."""
    return ManualClock(start=1_000_000.0)


@pytest.fixture
def clock(manual: ManualClock) -> Clock:
    """Give the SDK the same time."""
    return Clock(monotonic=manual, wall=manual)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Run a sandbox."""
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def timed_sandbox(manual: ManualClock) -> Iterator[Sandbox]:
    """Run a sandbox whose tokens age only as the test wants it."""
    with Sandbox(clock=manual) as sandbox:
        yield sandbox


@pytest.fixture
def versioned_sandbox(tls: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """Run a sandbox that speaks one version of TLS."""
    version = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}[tls]

    def pinned(*args: Any, **options: Any) -> ssl.SSLContext:
        context = server_context(*args, **options)
        context.minimum_version = context.maximum_version = version
        return context

    monkeypatch.setattr("seic.sandbox._sandbox.server_context", pinned)
    with Sandbox() as sandbox:
        yield sandbox

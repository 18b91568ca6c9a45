"""A running sandbox, and clients of both of its hosts."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from seic.sandbox import ManualClock, Sandbox
from tests._support.far_side import api_client, mtls_client


@pytest.fixture
def clock() -> ManualClock:
    """The clock of the sandbox."""
    return ManualClock(start=1000.0)


@pytest.fixture
def sandbox(clock: ManualClock) -> Iterator[Sandbox]:
    """A running sandbox whose clock stands still."""
    with Sandbox(clock=clock) as sandbox:
        yield sandbox


@pytest.fixture
def api(sandbox: Sandbox) -> Iterator[httpx.Client]:
    """A client of the host that asks for no certificate."""
    with api_client(sandbox) as client:
        yield client


@pytest.fixture
def mtls(sandbox: Sandbox) -> Iterator[httpx.Client]:
    """A client of the host that demands one, with the service account's."""
    with mtls_client(sandbox) as client:
        yield client

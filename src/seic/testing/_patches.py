"""Changes of the SDK during a test: no network, other clocks, recorded events, other variables."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from operator import methodcaller
from typing import TYPE_CHECKING, Any

import pytest

from seic import _listeners
from seic._event_types import Event
from seic._network.identity_transport import AsyncIdentityTransport, IdentityTransport
from seic._tokens.clock import SYSTEM_CLOCK
from seic.testing._mock_clocks import MockClocks
from seic.testing._mock_provider import MockProvider
from seic.testing._recorded_events import Events

if TYPE_CHECKING:
    from seic.sandbox import Sandbox

__all__ = ["SYSTEM_CLOCK", "environ_of", "read_time_from", "recorded_events", "system_clock", "without_network"]


@contextmanager
def without_network(provider: MockProvider) -> Iterator[None]:
    """Send the requests of all clients to a provider in memory, token requests included."""

    async def send(_: Any, request: Any) -> Any:
        return await provider.handle_async_request(request)

    def send_sync(_: Any, request: Any) -> Any:
        return provider.handle_request(request)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AsyncIdentityTransport, "handle_async_request", send)
        patch.setattr(IdentityTransport, "handle_request", send_sync)
        yield


class _Time:
    """The functions of the module `time` that the system's clock calls."""

    def __init__(self, clocks: MockClocks) -> None:
        self._clocks = clocks

    def monotonic(self) -> float:
        return self._clocks.now

    def time(self) -> float:
        return self._clocks.wall


@contextmanager
def system_clock(clocks: MockClocks) -> Iterator[None]:
    """Move the clock of all clients, existing ones included."""
    before = read_time_from(_Time(clocks))
    try:
        yield
    finally:
        read_time_from(before)


def read_time_from(source: Any) -> Any:
    """Let the clock of all clients read another source than the module `time`; return the one before."""
    # Each client keeps the two functions, so their contents are replaced: they are `partial` objects.
    before = None
    for name, method in (("monotonic", "monotonic"), ("wall", "time")):
        function: Any = getattr(SYSTEM_CLOCK, name)
        (before,) = function.args
        function.__setstate__((methodcaller(method), (source,), {}, None))
    return before


@contextmanager
def recorded_events(events: Events) -> Iterator[None]:
    """Record the events of all clients; one that several listen to is recorded once."""
    notify = _listeners.Listeners.notify

    def record(listeners: _listeners.Listeners, event: Event) -> None:
        if not any(each is event for each in events):
            events(event)
        notify(listeners, event)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_listeners.Listeners, "notify", record)
        yield


def environ_of(sandbox: Sandbox, patch: pytest.MonkeyPatch) -> dict[str, str]:
    """Set the variables of the sandbox's service account, and return them."""
    for name in [name for name in os.environ if name.startswith("SEIC_")]:
        patch.delenv(name)
    variables = {
        "SEIC_CLIENT_ID": sandbox.client_id,
        "SEIC_CLIENT_SECRET": sandbox.client_secret,
        "SEIC_USERNAME": sandbox.username,
        "SEIC_PASSWORD": sandbox.password,
        "SEIC_CERTIFICATE": (sandbox.client_certificate_pem + sandbox.client_key_pem).decode(),
        "SEIC_API_HOST": sandbox.api_url,
        "SEIC_MTLS_HOST": sandbox.mtls_url,
        "SEIC_CA": sandbox.ca_pem.decode(),
    }
    for name, value in variables.items():
        patch.setenv(name, value)
    return variables

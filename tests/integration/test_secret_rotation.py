"""A client secret and a password that change in a file, before and after the server's, under load: no call fails."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import seic
from seic.events import Event, SecretRejected, TokenAcquired, TokenRefused
from seic.sandbox import Sandbox
from tests._support.sandbox_secrets import change_secret

_CALLERS = 50
_PATIENCE = 30
#: Seconds. The second half is the time of the refresh in advance: a changed secret is noticed within a second of it.
_LIFETIME = 6.0
_SETTINGS = ["client_secret", "password"]


class Load:
    """Fifty callers, their results, and the events."""

    def __init__(self) -> None:
        self.results: Counter[object] = Counter()
        self.events: list[Event] = []
        self._changed = asyncio.Event()

    def hear(self, event: Event) -> None:
        """Record an event."""
        self.events.append(event)
        self._changed.set()

    async def event(self, kind: type[Event]) -> Event:
        """Wait for the next event of a kind, and forget those before it."""
        async with asyncio.timeout(_PATIENCE):
            while True:
                for number, event in enumerate(self.events):
                    if isinstance(event, kind):
                        del self.events[: number + 1]
                        return event
                self._changed.clear()
                await self._changed.wait()


@asynccontextmanager
async def load(sandbox: Sandbox, folder: Path) -> AsyncIterator[Load]:
    """Make calls over mutual TLS; the secrets are files of the folder."""
    through = asyncio.Event()
    made = Load()
    (folder / "client_secret").write_text(sandbox.client_secret)
    (folder / "password").write_text(sandbox.password)
    (folder / "client.pem").write_bytes(sandbox.client_certificate_pem + sandbox.client_key_pem)
    (folder / "client.pem").chmod(0o600)
    environ = {
        "SEIC_PROVIDER": "sei-gateway",
        "SEIC_API_HOST": sandbox.api_url,
        "SEIC_MTLS_HOST": sandbox.mtls_url,
        "SEIC_CLIENT_ID": sandbox.client_id,
        "SEIC_CLIENT_SECRET_FILE": str(folder / "client_secret"),
        "SEIC_USERNAME": sandbox.username,
        "SEIC_PASSWORD_FILE": str(folder / "password"),
        "SEIC_CERTIFICATE": str(folder / "client.pem"),
        "SEIC_CA": sandbox.ca_pem.decode(),
        "SEIC_ADVISORY_REFRESH": "50%",
    }

    async def call(client: seic.AsyncClient) -> None:
        while not through.is_set():
            try:
                reply = await client.get("/v1/investments/accounts")
            except Exception as error:  # noqa: BLE001 - the test shows it
                made.results[f"{type(error).__name__}: {error}"] += 1
            else:
                made.results[reply.status_code] += 1
            await asyncio.sleep(0.05)

    async with seic.AsyncClient.from_env(environ, on_event=made.hear) as client, asyncio.TaskGroup() as group:
        await client.token()
        for _ in range(_CALLERS):
            group.create_task(call(client))
        try:
            yield made
        finally:
            through.set()


@pytest.mark.parametrize("setting", _SETTINGS)
async def test_a_secret_that_changes_on_our_side_first(setting: str, tmp_path: Path) -> None:
    """The refused new one leaves the last good one in use, until the server knows the new one."""
    with Sandbox(active_lifetime=_LIFETIME) as sandbox:
        async with load(sandbox, tmp_path) as made:
            (tmp_path / setting).write_text("another secret")
            event = await made.event(SecretRejected)
            assert isinstance(event, SecretRejected)
            assert event.status == 401
            await made.event(TokenAcquired)
            # The next refresh tries it again.
            await made.event(SecretRejected)
            change_secret(sandbox, **{setting: "another secret"})
            made.events.clear()
            await made.event(TokenAcquired)
            assert not any(isinstance(event, SecretRejected | TokenRefused) for event in made.events)
    assert set(made.results) == {200}, made.results


@pytest.mark.parametrize("setting", _SETTINGS)
async def test_a_secret_that_changes_on_the_servers_side_first(setting: str, tmp_path: Path) -> None:
    """The refusal of the refresh in advance leaves the token in use; the new secret is tried as soon as it is there."""
    with Sandbox(active_lifetime=_LIFETIME) as sandbox:
        async with load(sandbox, tmp_path) as made:
            change_secret(sandbox, **{setting: "another secret"})
            event = await made.event(TokenRefused)
            assert isinstance(event, TokenRefused)
            assert event.status == 401
            (tmp_path / setting).write_text("another secret")
            await made.event(TokenAcquired)
    assert set(made.results) == {200}, made.results

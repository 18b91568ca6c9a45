"""A client emits each documented event, and logs it."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import datetime as dt
import inspect
import json
import logging
import math
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

import attrs
import httpx
import pytest

import seic
from seic import CertificateWarning, events
from seic.sandbox import CertificateAuthority
from seic.testing import MockProvider
from tests._support import identities
from tests._support.mocks import client_of
from tests._support.rotating import connect

KINDS = {
    kind
    for name in events.__all__
    if inspect.isclass(kind := getattr(events, name)) and issubclass(kind, events.Event) and kind is not events.Event
}


class Heard(list[events.Event]):
    """A listener that records events, and signals a reload of the authorities."""

    def __init__(self) -> None:
        super().__init__()
        self.trusts_others = threading.Event()

    def __call__(self, event: events.Event) -> None:
        """Record the event."""
        self.append(event)
        if isinstance(event, events.TrustStoreReloaded):
            self.trusts_others.set()


Story: TypeAlias = Callable[[MockProvider, Heard, Path], Awaitable[None]]


async def a_call(gateway: MockProvider, heard: Heard, _folder: Path) -> None:
    """A call gets a token."""
    async with client_of(gateway, on_event=heard) as client:
        await client.get("/v1/accounts")


async def a_refusal(gateway: MockProvider, heard: Heard, _folder: Path) -> None:
    """The credentials are refused."""
    gateway.token_responses.append(httpx.Response(401, json={"code": "c", "message": "m"}))
    async with client_of(gateway, on_event=heard) as client:
        with pytest.raises(seic.TokenRequestRefused):
            await client.get("/v1/accounts")


async def a_new_secret(gateway: MockProvider, heard: Heard, _folder: Path) -> None:
    """A new secret is refused, and the previous one accepted."""
    secrets = ["one"]
    config = gateway.config(client_secret=lambda: secrets[-1])
    async with seic.AsyncClient(config, transport=gateway, on_event=heard) as client:
        await client.token()
        secrets.append("two")
        gateway.token_responses.append(httpx.Response(401, json={"code": "c", "message": "m"}))
        await client.token(force=True)


async def an_outage(gateway: MockProvider, heard: Heard, _folder: Path) -> None:
    """A refresh fails, and the next one works."""
    async with client_of(gateway, on_event=heard) as client:
        await client.token()
        gateway.token_responses.append(httpx.Response(503))
        for _ in range(2):
            client._oauth._source.cache.token.renew_at = -math.inf
            client._oauth._cache._failures.retry_valid_at = -math.inf
            await client.get("/v1/accounts")
            await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()}, return_exceptions=True)


async def a_dead_token(gateway: MockProvider, heard: Heard, _folder: Path) -> None:
    """The API rejects a token, with and without a challenge."""
    async with client_of(gateway, on_event=heard) as client:
        await client.get("/v1/accounts")
        for token, gateway.challenges in (("token-1", True), ("token-2", False)):
            gateway.revoke(token)
            await client.get("/v1/accounts")


async def a_rate_limit(gateway: MockProvider, heard: Heard, _folder: Path) -> None:
    """The API asks for a pause, which is over at once."""
    config = gateway.config(rate_limit_timeout=1)
    gateway.add_response(429, path="/v1/accounts", headers={"Retry-After": "0"})
    async with seic.AsyncClient(config, transport=gateway, on_event=heard) as client:
        for _ in range(2):
            await client.get("/v1/accounts")


class _Reluctant(seic.MemoryStore):
    """A store that does not save the first token."""

    def __init__(self) -> None:
        super().__init__()
        self.failures = 1

    def save(self, key: str, token: seic.Token) -> None:
        """Fail once."""
        if self.failures:
            self.failures -= 1
            raise ConnectionError("down")
        super().save(key, token)


async def a_store_that_fails(gateway: MockProvider, heard: Heard, _folder: Path) -> None:
    """A refresh token is not saved, and is saved when the client is closed."""
    gateway.token_responses.append(httpx.Response(200, json={"access_token": "token-1", "refresh_token": "refresh-1"}))
    config = gateway.config(store=_Reluctant())
    async with seic.AsyncClient(config, transport=gateway, on_event=heard) as client:
        await client.token()


async def a_certificate_that_ends(gateway: MockProvider, heard: Heard, _folder: Path) -> None:
    """A certificate that expires soon, its successor, and an invalid successor."""
    authority = CertificateAuthority()
    soon = dt.datetime.now(dt.UTC) + dt.timedelta(days=10)
    pairs = [
        authority.issue("svc-user", not_before=soon - dt.timedelta(days=700), not_after=soon),
        authority.issue("svc-user"),
    ]
    given: list[object] = [seic.ClientCertificate.load(pairs[0].cert_pem, key=pairs[0].key_pem)]
    config = gateway.config(certificate=lambda: given[-1])
    async with seic.AsyncClient(config, transport=gateway, on_event=heard) as client:
        with pytest.warns(CertificateWarning, match="expires"):
            identity = connect(config)
        identity.check_for_update(urgent=True)
        given.append(seic.ClientCertificate.load(pairs[1].cert_pem, key=pairs[1].key_pem))
        await client.reload_certificate()
        given.append("no certificate")
        with pytest.raises(seic.CertificateError):
            await client.reload_certificate()


async def authorities_that_change(gateway: MockProvider, heard: Heard, folder: Path) -> None:
    """The file of `ca=` is written again."""
    path = folder / "ca.pem"
    path.write_bytes(CertificateAuthority().cert_pem)
    config = gateway.config(ca=path)
    async with seic.AsyncClient(config, transport=gateway, on_event=heard):
        connect(config)
        path.write_bytes(CertificateAuthority().cert_pem)
        assert await asyncio.to_thread(heard.trusts_others.wait, 10)


async def a_token_of_anybodys(gateway: MockProvider, heard: Heard, _folder: Path) -> None:
    """A provider that binds its tokens returns one that is not bound."""
    claims = base64.urlsafe_b64encode(json.dumps({"exp": 1}).encode()).rstrip(b"=").decode()
    gateway.token_responses.append(httpx.Response(200, json={"access_token": f"eyJhbGciOiJub25lIn0.{claims}.c2ln"}))
    config = gateway.config(
        provider=attrs.evolve(seic.SEI_GATEWAY, certificate_bound_tokens=True), certificate=identities.certificate()
    )
    async with seic.AsyncClient(config, transport=gateway, on_event=heard) as client:
        await client.token()


TOLD_BY: dict[type[events.Event], Story] = {
    events.TokenRefreshStarted: a_call,
    events.TokenRefreshEnded: a_call,
    events.TokenWaitStarted: a_call,
    events.TokenWaitEnded: a_call,
    events.TokenRequested: a_call,
    events.TokenAcquired: a_call,
    events.TokenRefused: a_refusal,
    events.SecretRejected: a_new_secret,
    events.TokenEndpointDown: an_outage,
    events.TokenEndpointRecovered: an_outage,
    events.RequestRetried: a_dead_token,
    events.RequestNotRetried: a_dead_token,
    events.RateLimitStarted: a_rate_limit,
    events.RateLimitEnded: a_rate_limit,
    events.StoreDegraded: a_store_that_fails,
    events.StoreRecovered: a_store_that_fails,
    events.CertificateExpiring: a_certificate_that_ends,
    events.CertificateRotated: a_certificate_that_ends,
    events.CertificateRejected: a_certificate_that_ends,
    events.TrustStoreReloaded: authorities_that_change,
    events.TokenNotBound: a_token_of_anybodys,
}


def test_each_event_has_its_story() -> None:
    """Each documented event has a scenario that emits it."""
    assert set(TOLD_BY) == KINDS


@pytest.mark.parametrize("kind", TOLD_BY, ids=lambda kind: kind.__name__)
async def test_each_event_is_told_and_logged(
    kind: type[events.Event], gateway: MockProvider, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The listener gets it once, and the log has one line at its level, with its name and fields."""
    caplog.set_level(logging.DEBUG, logger="seic")
    heard = Heard()
    await TOLD_BY[kind](gateway, heard, tmp_path)

    told = [event for event in heard if type(event) is kind]
    lines = [record for record in caplog.records if record.getMessage().startswith(f"{kind.name}: ")]
    assert told
    assert len(lines) == len(told)
    for event, record in zip(told, lines, strict=True):
        assert (record.name, record.levelno) == ("seic", event.level)
        line = record.getMessage()
        assert line.isprintable()
        for field in dataclasses.fields(kind):
            assert f" {field.name}=" in line
        if (tracking_id := getattr(event, "tracking_id", None)) is not None:
            assert line.endswith(f" tracking_id={tracking_id}")


async def test_each_call_is_one_line_and_no_event(gateway: MockProvider, caplog: pytest.LogCaptureFixture) -> None:
    """With a fresh token there is no event, and at INFO only the call with its tracking id."""
    heard = Heard()
    async with client_of(gateway) as client:
        await client.token()
        client.listen(heard)
        for level, logged in ((logging.DEBUG, 1), (logging.INFO, 1), (logging.WARNING, 0)):
            caplog.clear()
            caplog.set_level(level, logger="seic")
            reply = await client.get("/v1/accounts")
            lines = [record.getMessage() for record in caplog.records if record.name.startswith("seic")]
            track = reply.headers["requesttrackingid"]
            assert lines == [f"GET https://api.example/v1/accounts 200 tracking_id={track}"] * logged

    assert heard == []

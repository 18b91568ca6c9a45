"""Events of a working client: waits, refreshes, tokens, retries, certificates."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from collections.abc import AsyncIterator

import httpx
import pytest

import seic
from seic import CertificateWarning
from seic.events import (
    CertificateExpiring,
    CertificateRejected,
    CertificateRotated,
    RequestNotRetried,
    RequestRetried,
    TokenAcquired,
    TokenRefreshEnded,
    TokenRefreshStarted,
    TokenRequested,
    TokenWaitEnded,
    TokenWaitStarted,
)
from seic.sandbox import CertificateAuthority
from seic.testing import MockProvider
from tests._support.heard import HOST, Heard, enter_advisory_window
from tests._support.mocks import PATIENCE, client_of, take_turns
from tests._support.rotating import connect


async def test_a_first_call_tells_the_whole_story(gateway: MockProvider, heard: Heard) -> None:
    """The wait, the refresh, its request and the token, in order; the next call emits nothing."""
    async with client_of(gateway, on_event=heard) as client:
        await client.get("/v1/accounts")
        number = heard.fetch
        await client.get("/v1/accounts")

    assert heard == [
        TokenWaitStarted(host=HOST, refresh_id=number),
        TokenRefreshStarted(host=HOST, refresh_id=number, ahead=False),
        TokenRequested(host=HOST, outcome="acquired", status=200, took=0.0, tracking_id="track-1"),
        TokenAcquired(host=HOST, expires_in=3600.0, took=0.0, tracking_id="track-1"),
        TokenRefreshEnded(host=HOST, refresh_id=number, outcome="acquired", took=0.0, tracking_id="track-1"),
        TokenWaitEnded(host=HOST, refresh_id=number, took=0.0),
    ]


def test_a_blocking_client_tells_the_same(gateway: MockProvider, heard: Heard) -> None:
    """Its refresh runs in another thread, which emits the events."""
    with seic.Client(gateway.config(), transport=gateway, on_event=heard) as client:
        client.get("/v1/accounts")

    number = heard.fetch
    # The refresh and the wait end concurrently, so their order is undefined.
    assert sorted(map(repr, heard)) == sorted(
        map(
            repr,
            [
                TokenWaitStarted(host=HOST, refresh_id=number),
                TokenRefreshStarted(host=HOST, refresh_id=number, ahead=False),
                TokenRequested(host=HOST, outcome="acquired", status=200, took=0.0, tracking_id="track-1"),
                TokenAcquired(host=HOST, expires_in=3600.0, took=0.0, tracking_id="track-1"),
                TokenRefreshEnded(host=HOST, refresh_id=number, outcome="acquired", took=0.0, tracking_id="track-1"),
                TokenWaitEnded(host=HOST, refresh_id=number, took=0.0),
            ],
        )
    )


async def test_each_waiting_call_emits_the_refresh_it_waits_for(gateway: MockProvider, heard: Heard) -> None:
    """Many calls and one refresh: as many waits, all with its number."""
    take_turns(gateway, 3)
    async with client_of(gateway, on_event=heard) as client:
        await asyncio.gather(*(client.get("/v1/accounts") for _ in range(5)))

    number = heard.fetch
    assert heard.of(TokenWaitStarted) == [TokenWaitStarted(host=HOST, refresh_id=number)] * 5
    assert heard.of(TokenWaitEnded) == [TokenWaitEnded(host=HOST, refresh_id=number, took=0.0)] * 5
    assert len(heard.of(TokenRefreshStarted, TokenRefreshEnded)) == 2


async def test_a_cancelled_wait_ends_too(gateway: MockProvider, heard: Heard) -> None:
    """A gauge of waiting calls must be correct after a cancellation."""
    gateway.hold_tokens()
    async with client_of(gateway, on_event=heard) as client:
        task = asyncio.create_task(client.get("/v1/accounts"))
        assert await gateway.wait_for_token_request(PATIENCE)
        task.cancel()
        await asyncio.wait([task])
        assert len(heard.of(TokenWaitEnded)) == 1
        assert heard.of(TokenRefreshEnded) == []
        gateway.release_tokens()
        await client.token()


async def test_a_cancelled_fetch_is_abandoned(gateway: MockProvider, heard: Heard) -> None:
    """Closing the client ends a running refresh, and emits its end."""
    gateway.hold_tokens()
    client = client_of(gateway, on_event=heard)
    task = asyncio.create_task(client.token())
    assert await gateway.wait_for_token_request(PATIENCE)
    task.cancel()
    await client.aclose()

    assert heard.of(TokenRefreshEnded) == [
        TokenRefreshEnded(host=HOST, refresh_id=heard.fetch, outcome="abandoned", took=0.0, tracking_id=None)
    ]


async def test_a_token_renewed_ahead_says_so(gateway: MockProvider, heard: Heard) -> None:
    """The event distinguishes a background renewal from the first token."""
    async with client_of(gateway) as client:
        await client.token()
        enter_advisory_window(client)
        stop = client.listen(heard)
        await client.get("/v1/accounts")
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()}, return_exceptions=True)
        stop()

    assert heard.of(TokenAcquired) == [
        TokenAcquired(host=HOST, expires_in=3600.0, took=0.0, ahead=True, tracking_id=_last_track(heard))
    ]
    assert heard.of(TokenWaitStarted) == []


@pytest.mark.parametrize("error", [None, httpx.ReadError("gone")], ids=["answered", "broken off"])
async def test_the_version_of_http_is_told_where_it_is_known(
    error: Exception | None, gateway: MockProvider, heard: Heard
) -> None:
    """As the transport reports it with the response headers."""

    async def body() -> AsyncIterator[bytes]:
        yield b"{" if error else b'{"access_token": "token-1"}'
        if error:
            raise error

    gateway.token_responses.extend(
        httpx.Response(200, content=body(), extensions={"http_version": b"HTTP/2"}) for _ in range(2)
    )
    async with client_of(gateway, on_event=heard) as client:
        with pytest.raises(seic.TokenError) if error else contextlib.nullcontext():
            await client.token()

    told = heard.of(TokenRequested)
    assert told
    assert all(isinstance(event, TokenRequested) and event.http_version == "2" for event in told)
    assert all(isinstance(event, TokenRequested) and event.status == 200 for event in told)


async def test_a_token_out_of_a_store_was_not_requested(gateway: MockProvider, heard: Heard) -> None:
    """Without a request to the endpoint there is no TokenAcquired."""
    store = seic.MemoryStore()
    async with seic.AsyncClient(gateway.config(store=store), transport=gateway) as client:
        await client.token()
    async with seic.AsyncClient(gateway.config(store=store), transport=gateway, on_event=heard) as client:
        await client.token()

    (ended,) = heard.of(TokenRefreshEnded)
    assert isinstance(ended, TokenRefreshEnded)
    assert ended.outcome == "stored"
    assert heard.of(TokenAcquired, TokenRequested) == []


async def test_a_replay_is_told_with_the_id_of_the_rejection(gateway: MockProvider, heard: Heard) -> None:
    """The provider's support needs the tracking id of the rejected request."""
    async with client_of(gateway) as client:
        await client.get("/v1/accounts")
        gateway.revoke("token-1")
        client.listen(heard)
        await client.get("/v1/accounts")

    assert heard.of(RequestRetried, RequestNotRetried) == [RequestRetried(host=HOST, tracking_id="track-3")]


async def test_a_call_that_is_not_replayed_says_why(gateway: MockProvider, heard: Heard) -> None:
    """A 401 without a statement about the token is returned."""
    gateway.challenges = False
    async with client_of(gateway) as client:
        await client.get("/v1/accounts")
        gateway.revoke("token-1")
        client.listen(heard)
        await client.get("/v1/accounts")

    (told,) = heard.of(RequestRetried, RequestNotRetried)
    assert isinstance(told, RequestNotRetried)
    assert "does not reject the token" in told.reason
    assert told.tracking_id == "track-3"


def _last_track(heard: Heard) -> str | None:
    (acquired,) = heard.of(TokenAcquired)
    assert isinstance(acquired, TokenAcquired)
    return acquired.tracking_id


def test_the_life_of_a_certificate_is_told(gateway: MockProvider, heard: Heard) -> None:
    """A certificate that expires soon, its replacement, and an unusable replacement are events of the client."""
    authority = CertificateAuthority()
    soon = dt.datetime.now(dt.UTC) + dt.timedelta(days=10)
    old = authority.issue("svc-user", not_before=soon - dt.timedelta(days=700), not_after=soon)
    new = authority.issue("svc-user")
    given = [seic.ClientCertificate.load(old.cert_pem, key=old.key_pem)]
    config = gateway.config(certificate=lambda: given[-1])
    with seic.Client(config, transport=gateway, on_event=heard) as client:
        with pytest.warns(CertificateWarning, match="expires"):
            identity = connect(config)
        identity.check_for_update(urgent=True)
        given.append(seic.ClientCertificate.load(new.cert_pem, key=new.key_pem))
        client.reload_certificate()
        given.append("no certificate")  # type: ignore[arg-type]
        with pytest.raises(seic.CertificateError):
            client.reload_certificate()

    expiring, rotated, rejected = heard.of(CertificateExpiring, CertificateRotated, CertificateRejected)
    assert isinstance(expiring, CertificateExpiring)
    assert 9 < expiring.days_left <= 10
    assert isinstance(rotated, CertificateRotated)
    assert rotated.thumbprint == given[1].thumbprint
    assert isinstance(rejected, CertificateRejected)
    for event in (expiring, rotated, rejected):
        assert "PRIVATE" not in repr(event)

"""The life of a token between SDK and sandbox: shared, renewed, retried."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

import seic
from seic import Clock
from seic.sandbox import MockClock, Sandbox
from tests._support.faces import KINDS, Kind, open_client
from tests._support.sandbox_client import ECHO_PATH

both_kinds = pytest.mark.parametrize("kind", KINDS)
_CONCURRENT = 1000
_MINUTE = 60.0
#: All callers share a connection pool, and wait for a connection without a timeout.
_PATIENT: dict[str, Any] = {"timeout": httpx.Timeout(60), "limits": httpx.Limits(max_connections=20)}


# One token request for all callers


async def test_a_thousand_requests_without_a_token_make_one_token_request(sandbox: Sandbox) -> None:
    """All calls succeed with the one token."""
    async with seic.AsyncClient(sandbox.config(certificate=True), **_PATIENT) as client:
        replies = await asyncio.gather(*(client.get(ECHO_PATH) for _ in range(_CONCURRENT)))

    assert {reply.status_code for reply in replies} == {200}
    assert sandbox.counts.token_requests == 1
    assert sandbox.counts.api_calls == _CONCURRENT
    assert sandbox.counts.api_refusals == 0


async def test_a_thousand_requests_with_an_expired_token_make_one_token_request(
    timed_sandbox: Sandbox, manual: MockClock, clock: Clock
) -> None:
    """The token has expired on both sides; no call sends it."""
    sandbox = timed_sandbox
    config = sandbox.config(certificate=True)
    auth = seic.OAuth2Auth(config, clock=clock)
    async with seic.AsyncClient(config, auth=auth, **_PATIENT) as client:
        await client.get(ECHO_PATH)
        manual.advance(61 * _MINUTE)
        replies = await asyncio.gather(*(client.get(ECHO_PATH) for _ in range(_CONCURRENT)))

    assert {reply.status_code for reply in replies} == {200}
    assert sandbox.counts.token_requests == 2
    assert sandbox.counts.api_calls == _CONCURRENT + 1
    assert sandbox.counts.api_refusals == 0


async def test_concurrent_401s_make_one_token_request(sandbox: Sandbox) -> None:
    """Two hundred calls get a 401 for the same token: one renewal, and one retry each."""
    crowd = 200
    async with seic.AsyncClient(sandbox.config(certificate=True), **_PATIENT) as client:
        await client.get(ECHO_PATH)
        sandbox.revoke_all()
        replies = await asyncio.gather(*(client.get(ECHO_PATH) for _ in range(crowd)))

    assert {reply.status_code for reply in replies} == {200}
    assert sandbox.counts.token_requests == 2
    assert sandbox.counts.api_refusals == client.stats.replays
    assert 1 <= client.stats.replays <= crowd


def test_concurrent_threads_make_one_token_request(sandbox: Sandbox) -> None:
    """Threads share a refresh as tasks do."""
    statuses: list[int] = []
    with seic.Client(sandbox.config(certificate=True), **_PATIENT) as client:
        barrier = threading.Barrier(50)

        def call() -> None:
            barrier.wait()
            statuses.append(client.get(ECHO_PATH).status_code)

        threads = [threading.Thread(target=call) for _ in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert statuses == [200] * 50
    assert sandbox.counts.token_requests == 1


async def test_concurrent_requests_share_a_failure(sandbox: Sandbox) -> None:
    """All callers wait for the same refused request, and each gets its own error."""
    async with seic.AsyncClient(sandbox.config(client_secret="wrong")) as client:
        errors = await asyncio.gather(*(client.get(ECHO_PATH) for _ in range(100)), return_exceptions=True)

    assert {type(error) for error in errors} == {seic.TokenRequestRefused}
    assert len({id(error) for error in errors}) == 100
    assert sandbox.counts.token_requests == 1


# Rejected tokens


@both_kinds
@pytest.mark.parametrize("challenge", [False, True], ids=["error form", "challenge"])
async def test_a_revoked_token_costs_one_replay(kind: Kind, challenge: bool) -> None:
    """The caller gets 200, after one 401, one renewal and one retry with the body."""
    with Sandbox(challenge=challenge) as sandbox:
        async with open_client(kind, sandbox.config(certificate=True)) as client:
            first = await client.token()
            sandbox.revoke(first)
            reply = await client.request("POST", ECHO_PATH, content=b"the whole body")
            second = await client.token()

        assert reply.status_code == 200
        assert reply.json()["body_length"] == len(b"the whole body")
        assert second.access_token != first.access_token
        assert client.stats.replays == 1
        counts = sandbox.counts
        assert (counts.token_requests, counts.api_calls, counts.api_refusals) == (2, 2, 1)


@both_kinds
async def test_a_second_401_reaches_the_caller(kind: Kind, sandbox: Sandbox) -> None:
    """If the new token is rejected too, there is no further renewal, and the gateway's response is returned."""

    def kill(event: seic.events.Event) -> None:
        if isinstance(event, seic.events.TokenAcquired):
            sandbox.revoke_all()

    async with open_client(kind, sandbox.config(certificate=True), on_event=kill) as client:
        reply = await client.get(ECHO_PATH)

    assert reply.status_code == 401
    assert reply.json()["code"] == "gateway.token.invalid"
    assert reply.json()["trackingId"] == reply.headers["requesttrackingid"]
    assert (sandbox.counts.token_requests, sandbox.counts.api_calls) == (2, 2)


@both_kinds
async def test_other_errors_cause_no_refresh(kind: Kind, sandbox: Sandbox) -> None:
    """A wrong certificate is a 403, and an unknown path a 404: neither is retried."""
    config = sandbox.config(certificate=True)
    auth = seic.OAuth2Auth(config)
    stranger = sandbox.issue_certificate("somebody-else")
    context = seic.create_ssl_context(certificate=sandbox.config(certificate=stranger).certificate, ca=config.ca)
    async with open_client(kind, config) as client:
        assert (await client.get("/v1/nowhere")).status_code == 404
    async with httpx.AsyncClient(auth=auth, verify=context, base_url=config.base_url) as plain:
        assert (await plain.get(ECHO_PATH)).status_code == 403

    assert client.stats.replays == auth.stats.replays == 0
    assert sandbox.counts.token_requests == 2


async def test_a_body_that_cannot_be_sent_again_is_not_replayed(sandbox: Sandbox) -> None:
    """The 401 is returned, and the next call succeeds."""

    async def body() -> AsyncIterator[bytes]:
        yield b"once"

    async with seic.AsyncClient(sandbox.config(certificate=True)) as client:
        await client.token()
        sandbox.revoke_all()
        handed_on = await client.post(ECHO_PATH, content=body())
        again = await client.post(ECHO_PATH, content=body())

    assert handed_on.status_code == 401
    assert again.status_code == 200
    assert sandbox.counts.token_requests == 2


# Expiring tokens


@both_kinds
async def test_an_idle_token_is_replaced_before_the_gateway_refuses_it(
    kind: Kind, timed_sandbox: Sandbox, manual: MockClock, clock: Clock
) -> None:
    """After thirty minutes without a call the token is renewed before the call, not after a 401."""
    sandbox = timed_sandbox
    config = sandbox.config(certificate=True)
    auth = seic.OAuth2Auth(config, clock=clock)
    async with open_client(kind, config, auth=auth) as client:
        first = await client.token()
        assert (await client.get(ECHO_PATH)).status_code == 200
        manual.advance(30 * _MINUTE)
        assert (await client.get(ECHO_PATH)).status_code == 200
        second = await client.token()

    assert second.access_token != first.access_token
    assert sandbox.counts.token_requests == 2
    assert sandbox.counts.api_refusals == 0


@both_kinds
async def test_use_keeps_a_token_active(kind: Kind, timed_sandbox: Sandbox, manual: MockClock, clock: Clock) -> None:
    """With calls less than thirty minutes apart, one token lasts for most of its hour."""
    sandbox = timed_sandbox
    config = sandbox.config(certificate=True)
    auth = seic.OAuth2Auth(config, clock=clock)
    async with open_client(kind, config, auth=auth) as client:
        for _ in range(4):
            assert (await client.get(ECHO_PATH)).status_code == 200
            manual.advance(11 * _MINUTE)

    assert sandbox.counts.token_requests == 1
    assert sandbox.counts.api_refusals == 0


async def test_a_used_token_is_refreshed_before_its_expiry(
    timed_sandbox: Sandbox, manual: MockClock, clock: Clock
) -> None:
    """A token in constant use is renewed before its expiry, and no call gets a 401."""
    sandbox = timed_sandbox
    config = sandbox.config(certificate=True)
    auth = seic.OAuth2Auth(config, clock=clock)
    async with seic.AsyncClient(config, auth=auth) as client:
        for _ in range(30):
            assert (await client.get(ECHO_PATH)).status_code == 200
            manual.advance(5 * _MINUTE)

    assert sandbox.counts.api_refusals == 0
    assert sandbox.counts.api_calls == 30
    assert 3 <= sandbox.counts.tokens_issued <= 5


# Redirects of the token endpoint


@both_kinds
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_token_request_follows_no_redirect(kind: Kind, status: int, sandbox: Sandbox) -> None:
    """Secrets in headers and form are sent to the configured endpoint only; a redirect is an error."""
    with Sandbox() as elsewhere:
        sandbox.fail_tokens(status, times=5, headers={"Location": f"{elsewhere.api_url}/v2/oauthtoken"})
        async with open_client(kind, sandbox.config(), follow_redirects=True) as client:
            with pytest.raises(seic.TokenError) as caught:
                await client.get(ECHO_PATH)

        assert "redirect" in str(caught.value)
        assert elsewhere.counts.connections == 0
    assert sandbox.counts.api_calls == 0

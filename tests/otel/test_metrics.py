"""Metrics of tokens and certificates."""

from __future__ import annotations

import asyncio
import datetime as dt

import httpx
import pytest
from opentelemetry.sdk.metrics.export import NumberDataPoint

import seic
from seic.sandbox import CertificateAuthority
from seic.testing import MockProvider
from tests._support.clocks import FakeClock
from tests._support.mocks import PATIENCE, client_of
from tests._support.observatory import Observatory

AT = {"server.address": "api.example", "server.port": 443}


async def test_token_requests_are_counted_and_timed_by_outcome(gateway: MockProvider, seen: Observatory) -> None:
    """Attributes distinguish a refusal from a token; the count of the histogram is the number of requests."""
    gateway.token_responses.append(httpx.Response(400, json={"error": "invalid_grant"}))
    for _ in range(2):
        async with client_of(gateway) as client:
            seen.instrument(client)
            await client.token() if not gateway.token_responses else await _refused(client)

    points = {point.attributes["seic.token.outcome"]: point for point in seen.points("seic.token.request.duration")}
    assert set(points) == {"acquired", "refused"}
    assert points["acquired"].count == points["refused"].count == 1
    assert points["acquired"].attributes == {
        **AT,
        "http.response.status_code": 200,
        "seic.token.outcome": "acquired",
    }
    assert points["refused"].attributes == {
        **AT,
        "http.response.status_code": 400,
        "error.type": "400",
        "seic.token.outcome": "refused",
    }


async def _refused(client: seic.AsyncClient) -> None:
    with pytest.raises(seic.TokenRequestRefused):
        await client.token()


async def test_waiters_are_counted(gateway: MockProvider, seen: Observatory) -> None:
    """The counter has the requests that wait now, without a cancelled one; the histogram has all of them."""
    gateway.hold_tokens()
    async with client_of(gateway) as client:
        seen.instrument(client)
        tasks = [asyncio.create_task(client.get("/v1/accounts")) for _ in range(3)]
        assert await gateway.wait_for_token_request(PATIENCE)
        assert seen.point("seic.token.waiters").value == 3
        tasks[0].cancel()
        await asyncio.wait(tasks[:1])
        assert seen.point("seic.token.waiters").value == 2
        gateway.release_tokens()
        await asyncio.gather(*tasks[1:])

    waiters = seen.point("seic.token.waiters")
    assert isinstance(waiters, NumberDataPoint)
    assert waiters.value == 0
    assert waiters.attributes == AT
    assert seen.point("seic.token.wait.duration").count == 3


async def test_replays_and_401s_without_a_replay_are_counted_separately(
    gateway: MockProvider, seen: Observatory
) -> None:
    """The attribute `seic.replay.outcome` distinguishes them."""
    async with client_of(gateway) as client:
        seen.instrument(client)
        await client.get("/v1/accounts")
        gateway.revoke("token-1")
        await client.get("/v1/accounts")
        gateway.revoke("token-2")
        gateway.challenges = False
        await client.get("/v1/accounts")

    points = {point.attributes["seic.replay.outcome"]: point.value for point in seen.points("seic.call.replays")}
    assert points == {"replayed": 1, "not_replayed": 1}


async def test_seconds_to_expiry_are_read_from_the_current_token(gateway: MockProvider, seen: Observatory) -> None:
    """There is no point before the first token."""
    async with client_of(gateway) as client:
        seen.instrument(client)
        assert seen.points("seic.token.time_to_expiry") == []
        await client.token()
        point = seen.point("seic.token.time_to_expiry")

    assert 0 < point.value <= 3600
    assert point.attributes == AT


async def test_the_rest_of_a_pause_is_read_from_the_limit(gateway: MockProvider, seen: Observatory) -> None:
    """0 without a pause; a client without the setting has no point."""
    gateway.add_response(429, path="/v1/accounts", headers={"Retry-After": "60"})
    async with (
        client_of(gateway) as plain,
        seic.AsyncClient(gateway.config(rate_limit_timeout=1), transport=gateway) as client,
    ):
        seen.instrument(plain)
        assert seen.points("seic.rate_limit.remaining") == []
        seen.instrument(client)
        assert seen.point("seic.rate_limit.remaining").value == 0
        await client.get("/v1/accounts")
        point = seen.point("seic.rate_limit.remaining")

    assert 0 < point.value <= 60
    assert point.attributes == AT


async def test_days_to_expiry_are_read_from_the_current_certificate(gateway: MockProvider, seen: Observatory) -> None:
    """From the start; a client without a certificate, or whose callback fails, has no point."""
    end = dt.datetime.now(dt.UTC) + dt.timedelta(days=20)
    issued = CertificateAuthority().issue("svc-user", not_after=end, not_before=end - dt.timedelta(days=700))
    certificate = seic.ClientCertificate.load(issued.cert_pem, key=issued.key_pem)

    def from_vault() -> seic.ClientCertificate:
        raise LookupError("sealed")

    configs = [gateway.config(certificate=given) for given in (certificate, None, from_vault)]
    auths = [seic.OAuth2Auth(config, transport=gateway) for config in configs]
    for auth in auths:
        seen.instrument(auth)

    point = seen.point("seic.certificate.time_to_expiry")
    assert 19.9 < point.value <= 20
    assert point.attributes == {"server.address": "mtls.api.example", "server.port": 443}


async def test_a_name_distinguishes_clients_of_one_host(gateway: MockProvider, seen: Observatory) -> None:
    """With the same providers, no gauge is read twice."""
    async with client_of(gateway) as one, client_of(gateway) as two:
        seen.instrument(one, name="one")
        seen.instrument(two, name="two")
        await one.token()
        await two.token()

        for metric in ("seic.token.time_to_expiry", "seic.token.request.duration"):
            assert sorted(point.attributes["seic.client.name"] for point in seen.points(metric)) == ["one", "two"]


async def test_nothing_is_recorded_after_the_end(gateway: MockProvider, seen: Observatory) -> None:
    """A second call of the end changes nothing."""
    async with client_of(gateway) as client:
        stop = seen.instrument(client)
        stop()
        stop()
        await client.get("/v1/accounts")

        assert seen.spans == []
        for metric in ("seic.token.request.duration", "seic.token.time_to_expiry", "http.client.request.duration"):
            assert seen.points(metric) == []


async def test_readiness_is_one_number(
    gateway: MockProvider, timed_client: seic.AsyncClient, seen: Observatory
) -> None:
    """1 before the first request and with a valid token; 0 after a failure without one, until the next token."""
    async with timed_client as client:
        seen.instrument(client)
        assert seen.point("seic.ready").value == 1
        gateway.token_responses.append(httpx.Response(401))
        await _refused(client)
        assert seen.point("seic.ready").value == 0
        assert seen.point("seic.ready").attributes == AT


async def test_a_failed_refresh_is_ready_while_the_token_is_valid(
    gateway: MockProvider, clock: FakeClock, timed_client: seic.AsyncClient, seen: Observatory
) -> None:
    """Requests go on with the valid token; afterwards they fail."""
    async with timed_client as client:
        seen.instrument(client)
        await client.token()
        gateway.token_responses.extend([httpx.Response(503)] * 2)
        with pytest.raises(seic.TokenEndpointUnavailable):
            await client.token(force=True)
        assert seen.point("seic.ready").value == 1
        clock.advance(3601)
        assert seen.point("seic.ready").value == 0
        await client.token()
        assert seen.point("seic.ready").value == 1


@pytest.mark.parametrize(("days", "ready"), [(1, 1), (-1, 0)], ids=["valid", "expired"])
async def test_an_expired_certificate_is_not_ready(
    days: int, ready: int, gateway: MockProvider, seen: Observatory
) -> None:
    """No handshake can succeed."""
    end = dt.datetime.now(dt.UTC) + dt.timedelta(days=days)
    issued = CertificateAuthority().issue("svc-user", not_after=end, not_before=end - dt.timedelta(days=700))
    certificate = seic.ClientCertificate.load(issued.cert_pem, key=issued.key_pem)
    auth = seic.OAuth2Auth(gateway.config(certificate=certificate), transport=gateway)
    seen.instrument(auth)

    assert seen.point("seic.ready").value == ready

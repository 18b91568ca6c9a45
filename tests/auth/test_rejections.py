"""A rejected call is retried once if a new token can help."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import httpx2
import pytest

import seic
from seic import OAuth2Auth, TokenRequestRefused
from seic.testing import MockProvider
from tests._support.api import BASE, CHALLENGE, KINDS, NOT_REPLAYED, PAYLOAD, Api, Kind, auth_for
from tests._support.clocks import FakeClock

APIGEE = b"""{"fault": {"faultstring": "Access Token expired",
    "detail": {"errorcode": "keymanagement.service.access_token_expired"}}}"""

# 401


def test_a_rejected_token_is_renewed_and_the_call_replayed(
    api: Api, server: MockProvider, auth: OAuth2Auth, kind: Kind
) -> None:
    """The caller gets the second response only."""
    api.dead.add("token-1")
    reply = kind.request(api, auth, "POST", "/v1/orders", content=PAYLOAD)

    assert reply.status_code == 200
    assert NOT_REPLAYED not in reply.extensions
    assert api.tokens == ["token-1", "token-2"]
    assert api.bodies == [PAYLOAD] * 2
    assert auth.stats.replays == 1
    assert server.token_requests == 2


def test_a_second_401_reaches_the_caller(api: Api, server: MockProvider, auth: OAuth2Auth, kind: Kind) -> None:
    """One renewal and one retry per call at most."""
    api.dead |= {"token-1", "token-2"}
    reply = kind.request(api, auth, "GET", "/v1/accounts")

    assert reply.status_code == 401
    assert "rejected too" in reply.extensions[NOT_REPLAYED]
    assert api.tokens == ["token-1", "token-2"]
    assert server.token_requests == 2


@pytest.mark.parametrize(
    ("refusal", "replayed"),
    [
        pytest.param((401, CHALLENGE, b""), True, id="invalid_token"),
        pytest.param((401, {"WWW-Authenticate": "Bearer"}, b""), True, id="a challenge without an error"),
        pytest.param((401, {"WWW-Authenticate": 'Bearer error="insufficient_scope"'}, b""), False, id="scope"),
        pytest.param((401, {"WWW-Authenticate": "Basic"}, b""), False, id="another scheme"),
        pytest.param((401, {}, b""), False, id="nothing"),
        pytest.param((401, {}, b'{"code": "gateway.authentication.failure", "message": "no"}'), True, id="the code"),
        pytest.param((401, {}, b'{"code": "gateway.authorization.failure", "message": "no"}'), False, id="other code"),
        pytest.param((401, {}, APIGEE), True, id="Apigee's code"),
        pytest.param((401, {}, b'{"message": "The incoming token has expired"}'), True, id="a message alone"),
        pytest.param((401, {"WWW-Authenticate": 'Bearer error="expired_token"'}, b""), True, id="a code of its own"),
        pytest.param((403, CHALLENGE, b""), False, id="403 with a challenge"),
        pytest.param((403, {}, b'{"code": "gateway.authentication.failure", "message": "no"}'), False, id="403"),
        pytest.param(
            (403, {}, b'{"error": {"code": 403, "message": "logged in elsewhere", "subcode": "018"}}'),
            False,
            id="403, logged in elsewhere",
        ),
        pytest.param((500, CHALLENGE, b""), False, id="500 with a challenge"),
    ],
)
def test_only_a_401_that_rejects_the_token_is_retried(
    api: Api, server: MockProvider, auth: OAuth2Auth, kind: Kind, refusal: Any, replayed: bool
) -> None:
    """Other responses are returned unchanged with their body, and cost no token."""
    api.dead.add("token-1")
    api.refusal = refusal
    reply = kind.request(api, auth, "GET", "/v1/accounts")

    assert len(api.calls) == server.token_requests == (2 if replayed else 1)
    if not replayed:
        assert (reply.status_code, reply.content) == (refusal[0], refusal[2])
    assert (NOT_REPLAYED in reply.extensions) is (not replayed and refusal[0] == 401)


@pytest.mark.parametrize("body", [b"", b"Unauthorized", b'{"message": "Unauthorized"}', b"<title>401</title>"])
@pytest.mark.parametrize("provider", [seic.OAUTH2, seic.Provider(token_url="/token")], ids=["OAUTH2", "custom"])
def test_a_bare_401_is_retried_once(
    api: Api, server: MockProvider, kind: Kind, provider: seic.Provider, body: bytes
) -> None:
    """No challenge, and no words beyond the status: the token is the most likely cause."""
    api.dead.add("token-1")
    api.refusal = (401, {}, body)
    auth = auth_for(server, provider=provider, grant=seic.ClientCredentials())
    assert kind.request(api, auth, "GET", "/v1/accounts").status_code == 200
    assert server.token_requests == 2


def test_the_scheme_of_a_provider(api: Api, server: MockProvider, kind: Kind) -> None:
    """`Authorization` has the scheme that the provider names."""
    provider = seic.Provider(token_url="/token", authorization_scheme="Zoho-oauthtoken")
    auth = auth_for(server, provider=provider, grant=seic.ClientCredentials())
    kind.request(api, auth, "GET", "/v1/accounts")
    assert api.tokens == ["Zoho-oauthtoken token-1"]


@pytest.mark.parametrize("spread", [False, True], ids=["together", "spread"])
async def test_two_hundred_401s_make_one_token_request(
    api: Api, server: MockProvider, auth: OAuth2Auth, spread: bool
) -> None:
    """Each names the rejected token; later calls find the new one, and none fails."""
    kind = KINDS[0]
    async with kind.client(api, auth) as client:
        await client.get("/v1/accounts")
        api.dead.add("token-1")

        async def call(number: int) -> int:
            for _ in range(number if spread else 0):
                await asyncio.sleep(0)
            reply = await client.get("/v1/accounts")
            status: int = reply.status_code
            return status

        statuses = await asyncio.gather(*(call(number) for number in range(200)))

    assert statuses == [200] * 200
    assert server.token_requests == 2
    assert auth.stats.replays >= 1


def test_tokens_that_are_revoked_again_and_again(
    api: Api, server: MockProvider, auth: OAuth2Auth, clock: FakeClock, kind: Kind
) -> None:
    """Each call is answered and costs one token, however soon the last one was revoked."""
    for number in range(1, 6):
        api.dead.add(f"token-{number}")
        reply = kind.request(api, auth, "GET", "/v1/accounts")
        assert (reply.status_code, server.token_requests) == (200, number + 1)
        clock.advance(1)


def test_an_upload_that_cannot_be_retried_does_not_cost_a_token_for_each_call(
    api: Api, server: MockProvider, auth: OAuth2Auth, clock: FakeClock
) -> None:
    """No retry shows whether new tokens help, so refreshes pause as after a rejected retry."""
    api.answer = lambda call: (401, CHALLENGE, b"") if call.path.endswith("/broken") else None
    for _ in range(60):
        reply = KINDS[0].request(api, auth, "POST", "/v1/broken", content=upload())
        assert reply.status_code == 401
        clock.advance(1)
    assert server.token_requests <= 8


async def upload() -> AsyncIterator[bytes]:
    """Yield a body that can be sent once."""
    yield b"part"


def test_a_path_that_takes_no_token_does_not_cost_one_for_each_call(
    api: Api, server: MockProvider, auth: OAuth2Auth, clock: FakeClock, kind: Kind
) -> None:
    """Other paths accept the token. Renewals pause, and the 401 says so; the other paths are not affected."""
    api.answer = lambda call: (401, CHALLENGE, b"") if call.path.endswith("/broken") else None
    notes = []
    for _ in range(60):
        assert kind.request(api, auth, "GET", "/v1/accounts").status_code == 200
        reply = kind.request(api, auth, "GET", "/v1/broken")
        assert reply.status_code == 401
        notes.append(reply.extensions[NOT_REPLAYED])
        clock.advance(1)
    assert server.token_requests <= 8
    assert len({"rejected too" in note for note in notes}) == 2
    assert any("rejects new tokens as well as old ones" in note for note in notes)


@pytest.mark.parametrize(
    ("headers", "replayed"), [(CHALLENGE, True), ({}, False)], ids=["with a challenge", "with its body alone"]
)
def test_of_a_401_no_more_is_read_than_an_error_takes(
    api: Api, server: MockProvider, auth: OAuth2Auth, kind: Kind, headers: dict[str, str], replayed: bool
) -> None:
    """A longer body is not searched. On a retry its rest is not read; otherwise the caller gets all of it."""
    api.dead.add("token-1")
    error = b'{"code": "gateway.authentication.failure", "message": "' + b"x" * 10_000_000 + b'"}'
    api.refusal = (401, headers, error)
    reply = kind.request(api, auth, "GET", "/v1/accounts")

    assert len(api.calls) == server.token_requests == (2 if replayed else 1)
    assert reply.content == (b"" if replayed else error)
    if replayed:
        assert reply.history[0].content == b""
    assert api.closed == len(api.calls) + replayed


@pytest.mark.parametrize("library", [httpx, httpx2])
async def test_the_error_of_a_streamed_401_is_left_to_the_caller(api: Api, auth: OAuth2Auth, library: Any) -> None:
    """It can be read although it was searched."""
    api.dead.add("token-1")
    api.refusal = (401, {}, PAYLOAD)
    kind = next(kind for kind in KINDS if kind.library is library and kind.is_async)
    async with kind.client(api, auth) as client, client.stream("GET", "/v1/accounts") as reply:
        assert not reply.is_stream_consumed
        assert b"".join([part async for part in reply.aiter_raw()]) == PAYLOAD


async def test_a_401_that_comes_late_does_not_renew_the_new_token(
    api: Api, server: MockProvider, auth: OAuth2Auth
) -> None:
    """The call had the old token; it is retried with the current one."""
    request = httpx.Request("GET", f"{BASE}/v1/accounts")
    flow = auth.async_auth_flow(request)
    await anext(flow)
    await auth.token(force=True)
    response = httpx.Response(401, headers=CHALLENGE, request=request)
    replay = await flow.asend(response)

    assert replay.headers["Authorization"] == "Bearer token-2"
    assert server.token_requests == 2
    await flow.aclose()


def test_where_new_tokens_are_rejected_as_well_renewals_pause(
    api: Api, server: MockProvider, auth: OAuth2Auth, clock: FakeClock, kind: Kind
) -> None:
    """An API that rejects every token must not cost a token for each call."""
    api.dead |= {f"token-{number}" for number in range(100)}
    for _ in range(20):
        reply = kind.request(api, auth, "GET", "/v1/accounts")
        assert reply.status_code == 401
        assert NOT_REPLAYED in reply.extensions
    assert server.token_requests == 2

    clock.advance(1)
    kind.request(api, auth, "GET", "/v1/accounts")
    assert server.token_requests == 3


def test_a_renewal_that_fails_is_the_calls_error(api: Api, server: MockProvider, auth: OAuth2Auth, kind: Kind) -> None:
    """There is no token for a retry, and the error tells the reason."""
    kind.request(api, auth, "GET", "/v1/accounts")
    api.dead.add("token-1")
    server.token_responses.append(httpx.Response(401, json={"error": "invalid_client"}))
    with pytest.raises(TokenRequestRefused):
        kind.request(api, auth, "GET", "/v1/accounts")
    assert len(api.calls) == 2


# Redirects


def test_after_a_redirect_only_the_last_hop_is_replayed(
    api: Api, server: MockProvider, auth: OAuth2Auth, kind: Kind
) -> None:
    """A request before the redirect must not be repeated, since it may have had an effect."""

    def answer(call: Any) -> tuple[int, dict[str, str], bytes] | None:
        if call.method == "POST":
            api.dead.add("token-1")  # it is revoked between the two
            return 303, {"Location": "/v1/orders/7"}, b""
        return None

    api.answer = answer
    reply = kind.request(api, auth, "POST", "/v1/orders", content=PAYLOAD, follow_redirects=True)

    assert reply.status_code == 200
    assert [(call.method, call.token) for call in api.calls] == [
        ("POST", "token-1"),
        ("GET", "token-1"),
        ("GET", "token-2"),
    ]


def test_a_401_of_a_foreign_host_says_nothing_of_the_token(api: Api, server: MockProvider, kind: Kind) -> None:
    """A redirect to another host must neither cause a renewal nor send the token there."""
    api.answer = lambda call: (
        (302, {"Location": "https://elsewhere.example/"}, b"") if call.token else (401, CHALLENGE, b"")
    )
    auth = auth_for(server, provider=seic.OAUTH2, grant=seic.ClientCredentials())
    reply = kind.request(api, auth, "GET", "/v1/accounts", follow_redirects=True)

    assert reply.status_code == 401
    assert "another origin" in reply.extensions[NOT_REPLAYED]
    assert api.tokens == ["token-1", ""]
    assert server.token_requests == 1


# Streamed responses


@pytest.mark.parametrize("library", [httpx, httpx2])
async def test_a_streamed_answer_is_left_to_the_caller(api: Api, auth: OAuth2Auth, library: Any) -> None:
    """Only a 401 is read, to search for the error code."""
    api.answer = lambda _: (200, {}, PAYLOAD)
    kind = next(kind for kind in KINDS if kind.library is library and kind.is_async)
    async with kind.client(api, auth) as client, client.stream("GET", "/v1/accounts") as reply:
        assert not reply.is_stream_consumed
        assert b"".join([part async for part in reply.aiter_raw()]) == PAYLOAD


def test_a_streamed_answer_is_left_to_a_blocking_caller(api: Api, auth: OAuth2Auth) -> None:
    """As in an async client."""
    api.answer = lambda _: (200, {}, PAYLOAD)
    with KINDS[1].client(api, auth) as client, client.stream("GET", "/v1/accounts") as reply:
        assert not reply.is_stream_consumed
        assert b"".join(reply.iter_raw()) == PAYLOAD

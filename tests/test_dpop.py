"""DPoP (RFC 9449): tokens, keys and bodies, against a provider and an API that verify each proof independently."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

import seic
from tests._support.jwts import EC_KEY, pem
from tests._support.mocks import HOST, client_of, dpop_mock, record_bodies


async def test_each_request_has_its_own_proof() -> None:
    """One key for all requests, a new proof for each, and no query in it."""
    provider = dpop_mock()
    async with client_of(provider) as client:
        for _ in range(3):
            reply = await client.get("/api", params={"secret": "1"})
            assert reply.status_code == 200
    assert len(provider.dpop_proofs) == 4
    assert len({proof["jkt"] for proof in provider.dpop_proofs}) == 1
    assert provider.dpop_proofs[1]["htu"] == f"{HOST}/api"


def test_a_blocking_client() -> None:
    """The blocking twin behaves the same, including nonces."""
    provider = dpop_mock()
    provider.require_nonce("/oauth/v2/token", "nonce-1")
    provider.require_nonce("/api", "nonce-2")
    with seic.Client(provider.config(), transport=provider) as client:
        assert [client.get("/api").status_code for _ in range(2)] == [200, 200]
    assert (len(provider.dpop_proofs), provider.nonce_challenges) == (3, 2)


async def test_a_refused_token_is_renewed() -> None:
    """A DPoP challenge rejects the token as a Bearer challenge does; the retry has a proof for the new token."""
    provider = dpop_mock()
    bodies = record_bodies(provider, "/api")
    async with client_of(provider) as client:
        await client.token()
        provider.revoke("token-1")
        assert (await client.post("/api", content=b"body")).status_code == 200
        assert client.stats.replays == 1
    assert bodies == [b"body"]


class Rows:
    """A body that starts again with each iteration."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield two rows."""
        yield b"row-1"
        yield b"row-2"


async def _once() -> AsyncIterator[bytes]:
    yield b"row"


async def test_a_body_that_can_be_sent_again() -> None:
    """The second request has the whole body too."""
    provider = dpop_mock()
    provider.require_nonce("/api", "nonce")
    bodies = record_bodies(provider, "/api")
    async with client_of(provider) as client:
        assert (await client.post("/api", content=Rows())).status_code == 200
    assert bodies == [b"row-1row-2"]


async def test_a_body_that_cannot_be_sent_again() -> None:
    """The 401 is returned, and the next request uses the nonce."""
    provider = dpop_mock()
    provider.require_nonce("/api", "nonce")
    bodies = record_bodies(provider, "/api")
    async with client_of(provider) as client:
        assert (await client.post("/api", content=_once())).status_code == 401
        assert (await client.post("/api", content=_once())).status_code == 200
    assert bodies == [b"row"]


async def test_a_bearer_token_is_refused() -> None:
    """There is no silent fallback to a token that is not bound."""
    provider = dpop_mock()
    provider.token_members["token_type"] = "Bearer"
    async with client_of(provider) as client:
        with pytest.raises(seic.InvalidTokenResponse) as caught:
            await client.token()
    assert caught.value.problem == "token_type"


async def test_a_dpop_token_without_dpop_is_refused() -> None:
    """The client could not create proofs for it."""

    def answer(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"access_token": "t", "token_type": "DPoP"})

    async with seic.AsyncClient(dpop_mock().config(dpop=None), transport=httpx.MockTransport(answer)) as client:
        with pytest.raises(seic.InvalidTokenResponse, match="token_type"):
            await client.token()


async def test_a_token_bound_to_a_key() -> None:
    """It is accepted for the key of the client, and refused for another key."""
    dpop = seic.DPoP()
    for jkt, is_ours in (("x", False), (dpop.thumbprint, True)):
        body = base64.urlsafe_b64encode(json.dumps({"cnf": {"jkt": jkt}}).encode()).rstrip(b"=").decode()
        provider = dpop_mock()
        token = {"access_token": f"e30.{body}.c2ln", "token_type": "DPoP", "expires_in": 3600}
        provider.token_responses.append(httpx.Response(200, json=token))
        async with client_of(provider, {"dpop": dpop}) as client:
            if is_ours:
                await client.token()
                continue
            with pytest.raises(seic.InvalidTokenResponse) as caught:
                await client.token()
            assert caught.value.problem == "cnf"


def test_a_key_from_a_file(tmp_path: Path) -> None:
    """The same key has the same store key; generated keys have different ones."""
    path = tmp_path / "dpop.pem"
    path.write_bytes(pem(EC_KEY))
    provider = dpop_mock()
    keys = [
        provider.config(dpop=dpop).store_key(None)
        for dpop in (seic.DPoP(key=path), seic.DPoP(key=pem(EC_KEY)), seic.DPoP(), seic.DPoP(), None)
    ]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 4


def test_closing_the_flow_closes_the_inner_flow() -> None:
    """The library can close a flow early."""
    provider = dpop_mock()
    auth = seic.OAuth2Auth(provider.config(), transport=provider)
    flow = auth.sync_auth_flow(httpx.Request("GET", f"{HOST}/api"))
    assert next(flow).headers["DPoP"]
    flow.close()
    auth.close()

"""Issuers by path: each has its metadata, its key and its tokens."""

from __future__ import annotations

import httpx
import pytest

import seic
from seic.sandbox import Sandbox
from tests._support.sandbox_client import ECHO_PATH, basic


def _token(client: httpx.Client, sandbox: Sandbox, issuer: str) -> str:
    headers = {"Authorization": basic(sandbox.client_id, sandbox.client_secret)}
    reply = client.post(f"{issuer}/oauth/v2/token", headers=headers, data={"grant_type": "client_credentials"})
    return str(reply.json()["access_token"])


async def test_discovery_and_api_requests(sandbox: Sandbox) -> None:
    """The metadata of RFC 8414 §3.1 leads to tokens that the API accepts."""
    issuer = sandbox.issuer_url("tenant-a")
    provider = await seic.discover(issuer, ca=sandbox.ca_pem)
    async with seic.AsyncClient(sandbox.config(provider=provider)) as client:
        assert (await client.get(ECHO_PATH)).status_code == 200


def test_a_token_belongs_to_one_issuer(api: httpx.Client, sandbox: Sandbox) -> None:
    """Only that one describes and revokes it; each signs with a key of its own."""
    one, other, root = (sandbox.issuer_url(name) for name in ("one", "other", ""))
    token = _token(api, sandbox, one)
    headers = {"Authorization": basic(sandbox.client_id, sandbox.client_secret)}
    known = {
        issuer: api.post(f"{issuer}/oauth/v2/introspect", headers=headers, data={"token": token}).json()
        for issuer in (one, other, root)
    }
    assert {issuer: reply["active"] for issuer, reply in known.items()} == {one: True, other: False, root: False}
    assert known[one]["iss"] == one
    keys = {api.get(f"{issuer}/oauth/v2/keys").json()["keys"][0]["kid"] for issuer in (one, other, root, one)}
    assert len(keys) == 3
    for issuer, accepted in ((other, 200), (one, 401)):
        api.post(f"{issuer}/oauth/v2/revoke", headers=headers, data={"token": token})
        assert api.get(ECHO_PATH, headers={"Authorization": f"Bearer {token}"}).status_code == accepted


@pytest.mark.parametrize(
    "path", ["/issuers/", "/issuers/a/nowhere", "/issuers/a%2Fb/oauth/v2/keys", "/x/issuers/a/oauth/v2/keys"]
)
def test_other_paths_belong_to_the_api(path: str, api: httpx.Client) -> None:
    """It requires a token."""
    assert api.get(path).status_code == 401


@pytest.mark.parametrize("name", ["a/b", "a b", "é", "x" * 65])
def test_a_name_that_is_not_a_part_of_a_path_is_refused(name: str, sandbox: Sandbox) -> None:
    """Before any request."""
    with pytest.raises(ValueError, match="issuer"):
        sandbox.issuer_url(name)

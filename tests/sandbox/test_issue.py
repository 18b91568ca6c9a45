"""Tokens without a token request, for tests of incoming requests."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import httpx
import pytest

from seic.fastapi import BearerTokens
from seic.sandbox import IssuedCertificate, MockClock, Sandbox
from seic.sandbox._control.control_server import ControlServer
from tests._support.sandbox_client import ECHO_PATH, mtls_client


def _claims(token: str) -> dict[str, Any]:
    part = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return claims


def test_the_api_accepts_it(sandbox: Sandbox, api: httpx.Client) -> None:
    """And introspection knows it."""
    token = sandbox.issue()
    assert api.get(ECHO_PATH, headers={"Authorization": f"Bearer {token}"}).status_code == 200
    auth = (sandbox.client_id, sandbox.client_secret)
    assert api.post("/oauth/v2/introspect", auth=auth, data={"token": token}).json()["active"] is True
    assert sandbox.counts.token_requests == 0


def test_claims_replace_and_remove_others(sandbox: Sandbox) -> None:
    """The rest is as after a token request."""
    claims = _claims(sandbox.issue({"sub": "user", "roles": ["a"], "jti": None}))
    assert (claims["sub"], claims["roles"], claims["iss"]) == ("user", ["a"], sandbox.issuer_url())
    assert "jti" not in claims
    assert claims["exp"] - claims["iat"] == 3600


@pytest.mark.parametrize("left", [-10, 10])
def test_its_expiry_is_that_of_the_claim(left: int, sandbox: Sandbox, api: httpx.Client, clock: MockClock) -> None:
    """In the API too."""
    headers = {"Authorization": f"Bearer {sandbox.issue({'exp': time.time() + left})}"}
    assert api.get(ECHO_PATH, headers=headers).status_code == (401 if left < 0 else 200)
    clock.advance(11)
    assert api.get(ECHO_PATH, headers=headers).status_code == 401


def test_its_scope_is_that_of_the_claim(sandbox: Sandbox, api: httpx.Client) -> None:
    """`read` does not allow a POST."""
    headers = {"Authorization": f"Bearer {sandbox.issue({'scope': 'read'})}"}
    assert [api.request(method, ECHO_PATH, headers=headers).status_code for method in ("GET", "POST")] == [200, 403]


def test_it_is_bound_to_a_certificate(sandbox: Sandbox) -> None:
    """To the account's, to another one, or by the claim as it is."""
    other = sandbox.issue_certificate("other")
    account = sandbox.issued_certificates[0]
    claim = {"x5t#S256": other.thumbprint}
    cases: list[tuple[str, IssuedCertificate]] = [
        (sandbox.issue(cnf=True), account),
        (sandbox.issue(cnf=other), other),
        (sandbox.issue(cnf=claim), other),
    ]
    for token, certificate in cases:
        assert _claims(token)["cnf"] == {"x5t#S256": certificate.thumbprint}
        for presented in (account, other):
            with mtls_client(sandbox, presented) as client:
                status = client.get(ECHO_PATH, headers={"Authorization": f"Bearer {token}"}).status_code
            assert status == (200 if presented is certificate else 401)
    assert "cnf" not in _claims(sandbox.issue())


async def test_an_application_verifies_it(sandbox: Sandbox) -> None:
    """With the keys of an issuer by path, over TLS, in `BearerTokens` of seic.fastapi."""
    issuer = sandbox.issuer_url("tenant-a")
    bearer = BearerTokens(issuer=issuer, audience="accounts", jwks_url=f"{issuer}/oauth/v2/keys", ca=sandbox.ca_pem)
    good = sandbox.issue({"aud": "accounts", "sub": "user"}, issuer="tenant-a")
    bad = [
        sandbox.issue({"aud": "accounts"}),
        sandbox.issue({"aud": "accounts", "iss": issuer}),
        sandbox.issue({"aud": "other"}, issuer="tenant-a"),
        sandbox.issue({"aud": "accounts", "exp": 0}, issuer="tenant-a"),
    ]
    statuses = [await _status(bearer, token) for token in (good, *bad)]
    assert statuses == [200, 401, 401, 401, 401]


async def _status(bearer: BearerTokens, token: str) -> int:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def whoami(request: Request) -> JSONResponse:
        return JSONResponse({"sub": (await bearer(request)).subject})

    transport = httpx.ASGITransport(Starlette(routes=[Route("/", whoami)]))
    async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
        return (await client.get("/", headers={"Authorization": f"Bearer {token}"})).status_code


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"claims": {"sub": "user"}, "cnf": True, "issuer": "tenant-a"}, 200),
        ({}, 200),
        ({"claims": []}, 400),
        ({"cnf": "x"}, 400),
        ({"issuer": "a/b"}, 400),
        ({"colour": "red"}, 400),
    ],
)
def test_by_http(fields: dict[str, Any], status: int, sandbox: Sandbox) -> None:
    """A wrong field is named."""
    with ControlServer(sandbox) as server:
        headers = {"Authorization": f"Bearer {server.token}"}
        reply = httpx.post(f"{server.url}/tokens", json=fields, headers=headers)
    assert reply.status_code == status
    if status == 200:
        claims = _claims(reply.json()["access_token"])
        assert claims["iss"] == sandbox.issuer_url(fields.get("issuer", ""))
        assert ("cnf" in claims) is bool(fields)
    else:
        assert next(iter(fields)) in reply.json()["error"]


def test_the_sandbox_must_run() -> None:
    """Its URL is the issuer."""
    with pytest.raises(RuntimeError, match="not running"):
        Sandbox().issue()

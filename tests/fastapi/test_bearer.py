"""Incoming bearer tokens that are accepted, scopes, and settings."""

from __future__ import annotations

import base64
from typing import Annotated, Any

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from fastapi import Depends, FastAPI, Security
from fastapi.testclient import TestClient
from joserfc.jwk import ECKey, OKPKey, RSAKey
from starlette.requests import Request

import seic
from seic.fastapi import Claims, ClientCertHeader, NginxHeader
from seic.sandbox import CertificateAuthority
from seic.testing import MockIssuer
from tests._support.bearers import DER, THUMBPRINT, ask, bearer_of
from tests._support.issuer import AUDIENCE, NOW, URL, issuer_of

_OTHER = CertificateAuthority().issue("svc-user")
PRESENTED = {"Client-Cert": f":{base64.b64encode(DER).decode()}:"}
OTHER_PRESENTED = {
    "Client-Cert": f":{base64.b64encode(_OTHER.certificate.public_bytes(Encoding.DER)).decode()}:",
}


# Accepted tokens


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="RFC 9068"),
        pytest.param({"header": {"typ": None}}, id="without typ"),
        pytest.param({"header": {"typ": "JWT"}}, id="JWT"),
        pytest.param({"header": {"typ": "application/at+jwt"}}, id="typ a media type"),
        pytest.param({"header": {"kid": None}}, id="without kid, with one key"),
        pytest.param({"header": {"x5t": "abc", "nonce": "n"}}, id="with unknown header parameters"),
        pytest.param({"aud": ["other", AUDIENCE]}, id="for several audiences"),
        pytest.param({"exp": NOW - 29}, id="expired within the leeway"),
        pytest.param({"nbf": NOW + 29}, id="not yet valid within the leeway"),
        pytest.param({"sub": None}, id="without a subject"),
        pytest.param({"scope": None, "scp": ["read", "write"]}, id="scopes as a list"),
    ],
)
def test_a_valid_token_is_accepted(changes: dict[str, Any], issuer: MockIssuer) -> None:
    """In all the forms that issuers use."""
    reply = ask(bearer_of(issuer), issuer.token(**changes))

    assert reply.status_code == 200
    assert reply.json() == {"sub": None if "sub" in changes else "user-1", "scopes": ["read", "write"], "bound": None}


@pytest.mark.parametrize(
    ("kind", "curve", "algorithm"),
    [
        pytest.param(RSAKey, 2048, "RS256", id="RS256"),
        pytest.param(RSAKey, 2048, "PS256", id="PS256"),
        pytest.param(ECKey, "P-256", "ES256", id="ES256"),
        pytest.param(ECKey, "P-384", "ES384", id="ES384"),
        pytest.param(OKPKey, "Ed25519", "Ed25519", id="Ed25519"),
    ],
)
def test_each_default_algorithm_is_accepted(kind: Any, curve: Any, algorithm: str) -> None:
    """Without the `algorithms` setting."""
    issuer = issuer_of()
    issuer.key = kind.generate_key(curve, {"kid": "key-1"})
    issuer.published = [issuer.public(issuer.key)]

    assert ask(bearer_of(issuer), issuer.token(header={"alg": algorithm})).status_code == 200


async def test_the_claims_are_typed_and_hidden_in_the_repr(issuer: MockIssuer) -> None:
    """A repr in a log reveals neither the user nor other claims."""
    bearer = bearer_of(issuer)
    scope = {"type": "http", "headers": [(b"authorization", f"Bearer {issuer.token()}".encode())]}

    claims = await bearer(Request(scope))

    assert claims == Claims(
        issuer=URL,
        audience=(AUDIENCE,),
        expires_at=NOW + 300,
        subject="user-1",
        client_id="client-1",
        scopes=frozenset({"read", "write"}),
    )
    assert claims.raw["iat"] == NOW - 10
    assert "user-1" not in repr(claims)


def test_the_scheme_is_case_insensitive(issuer: MockIssuer) -> None:
    """RFC 9110 §11.1."""
    reply = ask(bearer_of(issuer), None, {"Authorization": f"bEARER  {issuer.token()}"})

    assert reply.status_code == 200


# Certificate-bound tokens


@pytest.mark.parametrize(
    ("cnf", "headers", "status"),
    [
        pytest.param({"x5t#S256": THUMBPRINT}, PRESENTED, 200, id="the right certificate"),
        pytest.param({"x5t#S256": THUMBPRINT}, OTHER_PRESENTED, 401, id="another certificate"),
        pytest.param({"x5t#S256": THUMBPRINT}, {}, 401, id="none: a stolen token"),
        pytest.param({"x5t#S256": THUMBPRINT}, {"Client-Cert": "gibberish"}, 401, id="malformed"),
        pytest.param({"x5t#S256": THUMBPRINT}, {"X-SSL-Client-Cert": "x"}, 401, id="in another header"),
        pytest.param({"x5t#S256": THUMBPRINT[:-1]}, PRESENTED, 401, id="a shorter thumbprint"),
        pytest.param({"x5t#S256": ""}, {}, 401, id="an empty thumbprint and no certificate"),
        pytest.param({"x5t#S256": None}, PRESENTED, 401, id="a thumbprint of null"),
        pytest.param({"jkt": "abc"}, PRESENTED, 401, id="bound to a DPoP key"),
        pytest.param(None, PRESENTED, 200, id="not bound"),
    ],
)
def test_a_bound_token_needs_its_certificate(
    cnf: Any, headers: dict[str, str], status: int, issuer: MockIssuer
) -> None:
    """A stolen token is useless without the private key (RFC 8705 §3)."""
    bearer = bearer_of(issuer, client_certificate=ClientCertHeader())
    reply = ask(bearer, issuer.token(cnf=cnf), headers)

    assert reply.status_code == status
    if status == 200:
        assert reply.json()["bound"] == (THUMBPRINT if cnf else None)


def test_unbound_tokens_can_be_rejected(issuer: MockIssuer) -> None:
    """For services whose clients all have certificates."""
    bearer = bearer_of(issuer, client_certificate=NginxHeader(), require_bound=True)

    assert ask(bearer, issuer.token()).status_code == 401


# Scopes and FastAPI


def test_scopes_can_be_required(issuer: MockIssuer) -> None:
    """A missing scope gets a 403 that names it (RFC 6750 §3.1), a missing token a 401."""
    bearer = bearer_of(issuer)
    app = FastAPI()

    @app.get("/read", dependencies=[Depends(bearer.requiring("read"))])
    async def read() -> None: ...

    @app.get("/delete", dependencies=[Depends(bearer.requiring("read", "delete"))])
    async def delete() -> None: ...

    browser = TestClient(app, headers={"Authorization": f"Bearer {issuer.token()}"})

    assert browser.get("/read").status_code == 200
    reply = browser.get("/delete")
    assert reply.status_code == 403
    assert reply.headers["WWW-Authenticate"] == 'Bearer error="insufficient_scope", scope="read delete"'
    assert TestClient(app).get("/delete").status_code == 401


@pytest.mark.parametrize(
    ("path", "status", "missing"),
    [
        pytest.param("/plain", 200, None, id="no scopes"),
        pytest.param("/read", 200, None, id="granted"),
        pytest.param("/delete", 403, "delete", id="missing"),
        pytest.param("/nested", 403, "read delete", id="of an outer dependency"),
        pytest.param("/both", 403, "read delete", id="with requiring"),
    ],
)
def test_scopes_of_security_are_required(path: str, status: int, missing: str | None, issuer: MockIssuer) -> None:
    """`Security(bearer, scopes=[...])`, FastAPI's own way, also through a dependency between."""
    bearer = bearer_of(issuer)
    app = FastAPI()

    async def subject(claims: Claims = Security(bearer, scopes=["read"])) -> str | None:  # noqa: B008
        return claims.subject

    async def handler() -> None: ...

    dependencies = {
        "/plain": Security(bearer),
        "/read": Security(bearer, scopes=["read"]),
        "/delete": Security(bearer, scopes=["delete"]),
        "/nested": Security(subject, scopes=["delete"]),
        "/both": Security(bearer.requiring("read"), scopes=["delete"]),
    }
    app.get(path, dependencies=[dependencies[path]])(handler)

    browser = TestClient(app, headers={"Authorization": f"Bearer {issuer.token()}"})
    reply = browser.get(path)
    assert reply.status_code == status
    if missing is not None:
        challenge = reply.headers["WWW-Authenticate"]
        assert challenge.startswith('Bearer error="insufficient_scope", scope="')
        assert set(challenge.split('"')[3].split()) == set(missing.split())
    assert TestClient(app).get(path).status_code == 401


def test_a_test_replaces_a_dependency_with_scopes(issuer: MockIssuer) -> None:
    """`requiring` gives equal objects for equal scopes, so that a test can name it; other scopes are not affected."""
    bearer = bearer_of(issuer)
    app = FastAPI()

    async def handler() -> None: ...

    app.get("/read", dependencies=[Depends(bearer.requiring("read"))])(handler)
    app.get("/delete", dependencies=[Depends(bearer.requiring("delete"))])(handler)
    app.dependency_overrides[bearer.requiring("read")] = lambda: None

    assert TestClient(app).get("/read").status_code == 200
    assert TestClient(app).get("/delete").status_code == 401


_ISSUER = issuer_of()
_BEARER = bearer_of(_ISSUER)


def test_it_is_a_dependency_in_the_openapi_document() -> None:
    """The documentation has an "Authorize" button, and tests can override the dependency."""
    app = FastAPI()

    @app.get("/")
    async def whoami(claims: Annotated[Claims, Depends(_BEARER)]) -> str | None:
        return claims.subject

    browser = TestClient(app)
    assert browser.get("/", headers={"Authorization": f"Bearer {_ISSUER.token()}"}).json() == "user-1"
    document = browser.get("/openapi.json").json()
    assert document["components"]["securitySchemes"] == {
        "BearerTokens": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    }
    assert document["paths"]["/"]["get"]["security"] == [{"BearerTokens": []}]
    app.dependency_overrides[_BEARER] = lambda: Claims(issuer="x", audience=("y",), expires_at=0, subject="replaced")
    assert browser.get("/").json() == "replaced"


def test_an_unavailable_issuer_is_a_503() -> None:
    """The token may be valid; Retry-After tells when to try again."""
    issuer = issuer_of()
    issuer.response = httpx.ConnectError("refused")
    reply = ask(bearer_of(issuer, pause=30.0), issuer.token())

    assert reply.status_code == 503
    assert 1 <= int(reply.headers["Retry-After"]) <= 30
    assert "idp.example" not in reply.text


def test_retry_after_is_rounded_up() -> None:
    """It is in whole seconds (RFC 9110 §10.2.3)."""
    issuer = issuer_of()
    issuer.response = httpx.ConnectError("refused")
    reply = ask(bearer_of(issuer, pause=7.4, monotonic=lambda: 1000.0), issuer.token())

    assert reply.headers["Retry-After"] == "8"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        pytest.param({"algorithms": ["none"]}, "algorithms", id="none"),
        pytest.param({"algorithms": ["RS256", "HS256"]}, "algorithms", id="a shared secret"),
        pytest.param({"algorithms": []}, "algorithms", id="no algorithm"),
        pytest.param({"audience": ""}, "audience", id="no audience"),
        pytest.param({"audience": []}, "audience", id="no audiences"),
        pytest.param({"audience": ["a", ""]}, "audience", id="an empty audience"),
        pytest.param({"issuer": ""}, "issuer", id="no issuer"),
        pytest.param({"jwks_url": "http://idp.example/jwks"}, "jwks_url", id="keys over http"),
        pytest.param({"jwks_url": "file:///etc/keys"}, "jwks_url", id="keys from a file"),
        pytest.param({"require_bound": True}, "client_certificate", id="require_bound without a header"),
    ],
)
def test_unsafe_settings_are_errors(changes: dict[str, Any], field: str, issuer: MockIssuer) -> None:
    """When `BearerTokens` is constructed."""
    with pytest.raises(seic.ConfigurationError) as caught:
        bearer_of(issuer, **changes)

    assert caught.value.field == field

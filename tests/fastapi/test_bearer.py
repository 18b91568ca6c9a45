from __future__ import annotations

import base64
import hashlib
import hmac
import logging
from typing import Annotated, Any

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient
from joserfc import jws
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

import seic
from seic.fastapi.bearer import BearerTokens, Claims
from seic.fastapi.forwarded import ClientCertHeader, NginxHeader
from seic.sandbox import CertificateAuthority
from tests._support.issuer import AUDIENCE, JWKS_URL, NOW, URL, Issuer, encode

_ISSUED = CertificateAuthority().issue("svc-user")
_OTHER = CertificateAuthority().issue("svc-user")
DER = _ISSUED.certificate.public_bytes(Encoding.DER)
THUMBPRINT = base64.urlsafe_b64encode(hashlib.sha256(DER).digest()).rstrip(b"=").decode()
PRESENTED = {"Client-Cert": f":{base64.b64encode(DER).decode()}:"}
OTHER_PRESENTED = {
    "Client-Cert": f":{base64.b64encode(_OTHER.certificate.public_bytes(Encoding.DER)).decode()}:",
}


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    """An issuer; making its RSA key takes a while, so tests that change it make their own."""
    return Issuer()


def bearer_of(keys: Issuer, /, **options: Any) -> BearerTokens:
    """Return the dependency for tokens of the issuer."""
    settings: dict[str, Any] = {"issuer": URL, "audience": AUDIENCE, "jwks_url": JWKS_URL}
    return BearerTokens(**{**settings, "transport": keys.transport, "now": lambda: NOW, **options})


def ask(bearer: BearerTokens, token: str | None, headers: dict[str, str] | None = None) -> httpx.Response:
    """Send a request with a token to an application that answers with its claims."""

    async def whoami(request: Request) -> JSONResponse:
        claims = await bearer(request)
        return JSONResponse({"sub": claims.subject, "scopes": sorted(claims.scopes), "bound": claims.thumbprint})

    authorization = {} if token is None else {"Authorization": f"Bearer {token}"}
    app = Starlette(routes=[Route("/", whoami)])
    return TestClient(app).get("/", headers={**authorization, **(headers or {})})  # type: ignore[return-value]


# What is taken


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="as RFC 9068 has it"),
        pytest.param({"header": {"typ": None}}, id="without typ"),
        pytest.param({"header": {"typ": "JWT"}}, id="JWT"),
        pytest.param({"header": {"typ": "application/at+jwt"}}, id="the whole media type"),
        pytest.param({"header": {"kid": None}}, id="without kid, where there is one key"),
        pytest.param({"header": {"x5t": "abc", "nonce": "n"}}, id="with parameters that are the issuer's own"),
        pytest.param({"aud": ["other", AUDIENCE]}, id="for several audiences"),
        pytest.param({"exp": NOW - 29}, id="expired within the leeway"),
        pytest.param({"nbf": NOW + 29}, id="not yet valid within the leeway"),
        pytest.param({"sub": None}, id="without a subject"),
        pytest.param({"scope": None, "scp": ["read", "write"]}, id="scopes as a list"),
    ],
)
def test_a_good_token_is_taken(changes: dict[str, Any], issuer: Issuer) -> None:
    """What the issuer signed for this audience and is valid now, in the forms that issuers write."""
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
def test_each_safe_algorithm_is_taken(kind: Any, curve: Any, algorithm: str) -> None:
    """By default; an issuer chooses one of them."""
    issuer = Issuer()
    issuer.key = kind.generate_key(curve, {"kid": "key-1"})
    issuer.published = [issuer.public(issuer.key)]

    assert ask(bearer_of(issuer), issuer.token(header={"alg": algorithm})).status_code == 200


async def test_the_claims_are_typed_and_shown_to_nobody(issuer: Issuer) -> None:
    """A handler has what it decides by; a repr in a log has no person and no claims."""
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


# What is not


def _swap(token: str, part: int, text: str) -> str:
    parts = token.split(".")
    parts[part] = text
    return ".".join(parts)


def _attacks() -> list[Any]:
    stranger = RSAKey.generate_key(2048, {"kid": "key-1"})

    def hmac_with_public_key(issuer: Issuer) -> str:
        # By hand: a good library refuses to.
        signed = f"{encode({'alg': 'HS256', 'kid': 'key-1'})}.{encode(issuer.claims())}"
        digest = hmac.digest(issuer.key.as_pem(private=False), signed.encode(), "sha256")
        return f"{signed}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"

    def none(issuer: Issuer, algorithm: str, signature: str) -> str:
        return f"{encode({'alg': algorithm, 'kid': 'key-1'})}.{encode(issuer.claims())}.{signature}"

    def with_header(issuer: Issuer, **header: Any) -> str:
        return _swap(issuer.token(), 0, encode({"alg": "RS256", "kid": "key-1", **header}))

    def raw(text: str) -> str:
        return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()

    def nested(issuer: Issuer, token: str) -> str:
        registry = JWSRegistry(algorithms=["RS256"], strict_check_header=False)
        return jws.serialize_compact(
            {"alg": "RS256", "kid": "key-1", "cty": "JWT"}, token, issuer.key, registry=registry
        )

    return [
        # Algorithm confusion (RFC 8725 §2.1)
        pytest.param(lambda i: none(i, "none", ""), id="none, without a signature"),
        pytest.param(lambda i: none(i, "none", "AAAA"), id="none, with one"),
        pytest.param(lambda i: none(i, "nOnE", "AAAA"), id="none, in another case"),
        pytest.param(hmac_with_public_key, id="HMAC with the public key as the secret"),
        pytest.param(lambda i: i.token(key=OctKey.generate_key(256)), id="HMAC with a secret of one's own"),
        pytest.param(
            lambda i: i.token(key=ECKey.generate_key("P-256"), header={"alg": "ES256"}),
            id="EC under the kid of an RSA key",
        ),
        pytest.param(lambda i: with_header(i, alg=None), id="alg null"),
        pytest.param(lambda i: with_header(i, alg=["RS256"]), id="alg a list"),
        # Keys that the token brings along
        pytest.param(lambda i: i.token(key=stranger), id="another key under the right kid"),
        pytest.param(
            lambda i: i.token(key=stranger, header={"jwk": stranger.as_dict(private=False)}), id="jwk in the header"
        ),
        pytest.param(
            lambda i: i.token(key=stranger, header={"jku": "https://evil.example/jwks"}), id="jku in the header"
        ),
        pytest.param(
            lambda i: i.token(key=stranger, header={"x5u": "https://evil.example/x5"}), id="x5u in the header"
        ),
        pytest.param(lambda i: i.token(key=stranger, header={"x5c": ["MIIB"]}), id="x5c in the header"),
        # kid games
        pytest.param(lambda i: i.token(key=stranger, header={"kid": "../../../dev/null"}), id="kid as a path"),
        pytest.param(lambda i: i.token(key=stranger, header={"kid": "' OR 1=1 --"}), id="kid as SQL"),
        pytest.param(lambda i: i.token(key=stranger, header={"kid": "https://evil.example/"}), id="kid as a URL"),
        pytest.param(lambda i: i.token(header={"kid": "key-1 "}), id="kid with a space"),
        pytest.param(lambda i: i.token(header={"kid": "KEY-1"}), id="kid in another case"),
        pytest.param(lambda i: i.token(header={"kid": ""}), id="kid empty"),
        pytest.param(lambda i: i.token(header={"kid": "k" * 257}), id="kid too long"),
        pytest.param(lambda i: with_header(i, kid=1), id="kid a number"),
        pytest.param(lambda i: with_header(i, kid={"key": 1}), id="kid an object"),
        # Other JWTs of the same issuer (RFC 8725 §3.11)
        pytest.param(lambda i: i.token(header={"typ": "logout+jwt"}), id="a logout token"),
        pytest.param(lambda i: i.token(header={"typ": "dpop+jwt"}), id="a DPoP proof"),
        pytest.param(lambda i: with_header(i, typ=1), id="typ a number"),
        pytest.param(lambda i: with_header(i, crit=["exp"]), id="crit"),
        pytest.param(lambda i: with_header(i, crit=["b64"], b64=False), id="crit b64"),
        # Times
        pytest.param(lambda i: i.token(exp=NOW - 31), id="expired"),
        pytest.param(lambda i: i.token(exp=None), id="without an end"),
        pytest.param(lambda i: i.token(exp="9999999999"), id="exp a text"),
        pytest.param(lambda i: i.token(exp=True), id="exp a boolean"),
        pytest.param(lambda i: i.token(nbf=NOW + 31), id="not yet valid"),
        pytest.param(lambda i: i.token(iat=NOW + 31), id="issued in the future"),
        # For somebody else, by somebody else
        pytest.param(lambda i: i.token(aud="other"), id="wrong audience"),
        pytest.param(lambda i: i.token(aud=["other", "another"]), id="wrong audiences"),
        pytest.param(lambda i: i.token(aud=None), id="without an audience"),
        pytest.param(lambda i: i.token(aud=[]), id="no audience at all"),
        pytest.param(lambda i: i.token(aud={AUDIENCE: 1}), id="audience an object"),
        pytest.param(lambda i: i.token(iss=f"{URL}/"), id="issuer with a slash"),
        pytest.param(lambda i: i.token(iss="https://evil.example"), id="wrong issuer"),
        pytest.param(lambda i: i.token(iss=None), id="without an issuer"),
        pytest.param(lambda i: i.token(iss=[URL]), id="issuer a list"),
        # Broken
        pytest.param(lambda i: _swap(i.token(), 1, encode(i.claims(sub="admin"))), id="claims changed"),
        pytest.param(lambda i: _swap(i.token(), 2, "AAAA"), id="signature changed"),
        pytest.param(lambda i: _swap(i.token(), 0, "AAAA"), id="header garbage"),
        pytest.param(lambda i: _swap(i.token(), 0, encode(["RS256"])), id="header a list"),
        pytest.param(lambda i: _swap(i.token(), 1, encode(["claims"])), id="claims a list"),
        pytest.param(lambda i: _swap(i.token(), 0, raw("[" * 9000)), id="header nested 9,000 deep"),
        pytest.param(lambda i: _swap(i.token(), 1, raw('{"a":' * 1500)), id="claims nested 1,500 deep"),
        pytest.param(lambda i: _swap(i.token(), 0, raw('{"alg":"RS256","alg":"none"}')), id="alg twice"),
        pytest.param(lambda i: _swap(i.token(), 0, raw('{"alg":"RS256","kid":"\\ud800"}')), id="kid half a character"),
        pytest.param(lambda i: i.token(exp=float("nan")), id="exp not a number"),
        pytest.param(lambda i: i.token(exp=float("inf")), id="exp without end"),
        pytest.param(lambda i: nested(i, i.token()), id="a token within a token"),
        pytest.param(lambda i: "a.b.c.d.e", id="an encrypted token"),
        pytest.param(lambda i: "opaque", id="opaque"),
        pytest.param(lambda i: i.token(sub="x" * 17_000), id="too long"),
        # Bound to something (RFC 8705 §3, RFC 9449 §6) while nothing here could check it
        pytest.param(lambda i: i.token(cnf={"x5t#S256": THUMBPRINT}), id="bound, and no header is set"),
        pytest.param(lambda i: i.token(cnf={"jkt": "abc"}), id="bound to a DPoP key"),
        pytest.param(lambda i: i.token(cnf={}), id="bound to nothing"),
        pytest.param(lambda i: i.token(cnf="x"), id="cnf a text"),
    ]


@pytest.mark.parametrize("attack", _attacks())
def test_a_bad_token_is_refused_without_a_reason(attack: Any, issuer: Issuer, caplog: pytest.LogCaptureFixture) -> None:
    """The answer is the same for all: whoever tries keys learns nothing. The log has the reason, not the token."""
    token = attack(issuer)
    with caplog.at_level(logging.DEBUG, logger="seic"):
        reply = ask(bearer_of(issuer), token)

    assert reply.status_code == 401
    assert reply.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    assert reply.text == "Unauthorized"
    (record,) = [record for record in caplog.records if "a bearer token was refused: " in record.getMessage()]
    assert record.levelno == logging.INFO
    assert token not in caplog.text


@pytest.mark.parametrize(
    ("headers", "challenge"),
    [
        pytest.param([], "Bearer", id="no header"),
        pytest.param([("Authorization", "Basic dTpw")], 'Bearer error="invalid_token"', id="Basic"),
        pytest.param([("Authorization", "Bearer")], 'Bearer error="invalid_token"', id="no token"),
        pytest.param([("Authorization", "{0}")], 'Bearer error="invalid_token"', id="no scheme"),
        pytest.param(
            [("Authorization", "Bearer {0}"), ("Authorization", "Bearer {0}")],
            'Bearer error="invalid_token"',
            id="twice",
        ),
        pytest.param([("X-Authorization", "Bearer {0}")], "Bearer", id="another header"),
    ],
)
def test_credentials_come_in_one_header_of_one_form(
    headers: list[tuple[str, str]], challenge: str, issuer: Issuer
) -> None:
    """Without any, the challenge names no error (RFC 6750 §3.1); a proxy and the application never see two of them."""
    bearer = bearer_of(issuer)

    async def whoami(request: Request) -> JSONResponse:
        return JSONResponse((await bearer(request)).subject)

    browser = TestClient(Starlette(routes=[Route("/", whoami)]))
    token = issuer.token()
    reply = browser.get(f"/?access_token={token}", headers=[(name, text.format(token)) for name, text in headers])

    assert reply.status_code == 401
    assert reply.headers["WWW-Authenticate"] == challenge


def test_the_scheme_is_written_in_any_case(issuer: Issuer) -> None:
    """RFC 9110 §11.1."""
    reply = ask(bearer_of(issuer), None, {"Authorization": f"bEARER  {issuer.token()}"})

    assert reply.status_code == 200


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"iss": "https://other.example"}, id="another issuer's"),
        pytest.param({"aud": "other"}, id="for another audience"),
        pytest.param({"exp": NOW - 31}, id="expired"),
    ],
)
def test_a_token_that_is_not_for_here_has_no_key_fetched(changes: dict[str, Any]) -> None:
    """A neighbour's tokens, sent here by mistake all day, leave the fetches to those whose key may be new."""
    issuer = Issuer()
    reply = ask(bearer_of(issuer), issuer.token(header={"kid": "theirs"}, **changes))

    assert reply.status_code == 401
    assert issuer.fetches == 0


# Bound to a certificate


@pytest.mark.parametrize(
    ("cnf", "headers", "status"),
    [
        pytest.param({"x5t#S256": THUMBPRINT}, PRESENTED, 200, id="the right certificate"),
        pytest.param({"x5t#S256": THUMBPRINT}, OTHER_PRESENTED, 401, id="another certificate"),
        pytest.param({"x5t#S256": THUMBPRINT}, {}, 401, id="none: a stolen token"),
        pytest.param({"x5t#S256": THUMBPRINT}, {"Client-Cert": "gibberish"}, 401, id="gibberish"),
        pytest.param({"x5t#S256": THUMBPRINT}, {"X-SSL-Client-Cert": "x"}, 401, id="in a header that nobody set"),
        pytest.param({"x5t#S256": THUMBPRINT[:-1]}, PRESENTED, 401, id="a shorter thumbprint"),
        pytest.param({"x5t#S256": ""}, {}, 401, id="an empty thumbprint and no certificate"),
        pytest.param({"x5t#S256": None}, PRESENTED, 401, id="a thumbprint that is none"),
        pytest.param({"jkt": "abc"}, PRESENTED, 401, id="bound to a DPoP key"),
        pytest.param(None, PRESENTED, 200, id="not bound"),
    ],
)
def test_a_bound_token_is_good_from_its_certificates_holder_alone(
    cnf: Any, headers: dict[str, str], status: int, issuer: Issuer
) -> None:
    """RFC 8705 §3: whoever stole the token has not the key."""
    bearer = bearer_of(issuer, client_certificate=ClientCertHeader())
    reply = ask(bearer, issuer.token(cnf=cnf), headers)

    assert reply.status_code == status
    if status == 200:
        assert reply.json()["bound"] == (THUMBPRINT if cnf else None)


def test_unbound_tokens_can_be_refused(issuer: Issuer) -> None:
    """Where every client has a certificate, a token without a binding is a stolen one's next best."""
    bearer = bearer_of(issuer, client_certificate=NginxHeader(), require_bound=True)

    assert ask(bearer, issuer.token()).status_code == 401


# Scopes, and FastAPI


def test_scopes_can_be_demanded(issuer: Issuer) -> None:
    """403 and what is missing, so that a client can ask for it (RFC 6750 §3.1); without a token still 401."""
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


_ISSUER = Issuer()
_BEARER = bearer_of(_ISSUER)


def test_it_is_a_dependency_of_fastapi_that_shows_in_the_documentation() -> None:
    """Handlers have typed claims, the pages an "Authorize" button, and tests can override it."""
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


def test_an_issuer_that_never_answered_is_a_503() -> None:
    """Nobody's token is bad because of that; the caller is told when to try again."""
    issuer = Issuer()
    issuer.reply = httpx.ConnectError("refused")
    reply = ask(bearer_of(issuer, pause=30.0), issuer.token())

    assert reply.status_code == 503
    assert 1 <= int(reply.headers["Retry-After"]) <= 30
    assert "idp.example" not in reply.text


def test_the_wait_is_told_in_whole_seconds_rounded_up() -> None:
    """Who comes back a fraction too early is turned away again (RFC 9110 §10.2.3)."""
    issuer = Issuer()
    issuer.reply = httpx.ConnectError("refused")
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
        pytest.param({"jwks_url": "http://idp.example/jwks"}, "jwks_url", id="keys in clear"),
        pytest.param({"jwks_url": "file:///etc/keys"}, "jwks_url", id="keys from a file"),
        pytest.param({"require_bound": True}, "client_certificate", id="bound to what nobody forwards"),
    ],
)
def test_unsafe_settings_are_refused(changes: dict[str, Any], field: str, issuer: Issuer) -> None:
    """When the application is written, not when the attack comes."""
    with pytest.raises(seic.ConfigurationError) as caught:
        bearer_of(issuer, **changes)

    assert caught.value.field == field

"""Incoming bearer tokens that are rejected, without a reason in the response."""

from __future__ import annotations

import base64
import hmac
import logging
from typing import Any

import pytest
from fastapi.testclient import TestClient
from joserfc import jws
from joserfc.jwk import ECKey, OctKey, RSAKey
from joserfc.jws import JWSRegistry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from seic.testing import MockIssuer
from tests._support.bearers import THUMBPRINT, ask, bearer_of
from tests._support.issuer import AUDIENCE, NOW, URL, encode, issuer_of


def _swap(token: str, part: int, text: str) -> str:
    parts = token.split(".")
    parts[part] = text
    return ".".join(parts)


def _attacks() -> list[Any]:
    stranger = RSAKey.generate_key(2048, {"kid": "key-1"})

    def hmac_with_public_key(issuer: MockIssuer) -> str:
        # By hand: joserfc refuses to.
        signed = f"{encode({'alg': 'HS256', 'kid': 'key-1'})}.{encode(issuer.claims())}"
        digest = hmac.digest(issuer.key.as_pem(private=False), signed.encode(), "sha256")
        return f"{signed}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"

    def none(issuer: MockIssuer, algorithm: str, signature: str) -> str:
        return f"{encode({'alg': algorithm, 'kid': 'key-1'})}.{encode(issuer.claims())}.{signature}"

    def with_header(issuer: MockIssuer, **header: Any) -> str:
        return _swap(issuer.token(), 0, encode({"alg": "RS256", "kid": "key-1", **header}))

    def raw(text: str) -> str:
        return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()

    def nested(issuer: MockIssuer, token: str) -> str:
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
        pytest.param(lambda i: i.token(key=OctKey.generate_key(256)), id="HMAC with another secret"),
        pytest.param(
            lambda i: i.token(key=ECKey.generate_key("P-256"), header={"alg": "ES256"}),
            id="EC under the kid of an RSA key",
        ),
        pytest.param(lambda i: with_header(i, alg=None), id="alg null"),
        pytest.param(lambda i: with_header(i, alg=["RS256"]), id="alg a list"),
        # Keys in the token's header
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
        # kid
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
        pytest.param(lambda i: i.token(exp=None), id="without exp"),
        pytest.param(lambda i: i.token(exp="9999999999"), id="exp a string"),
        pytest.param(lambda i: i.token(exp=True), id="exp a boolean"),
        pytest.param(lambda i: i.token(nbf=NOW + 31), id="not yet valid"),
        pytest.param(lambda i: i.token(iat=NOW + 31), id="issued in the future"),
        # Other audiences and issuers
        pytest.param(lambda i: i.token(aud="other"), id="wrong audience"),
        pytest.param(lambda i: i.token(aud=["other", "another"]), id="wrong audiences"),
        pytest.param(lambda i: i.token(aud=None), id="without an audience"),
        pytest.param(lambda i: i.token(aud=[]), id="an empty audience"),
        pytest.param(lambda i: i.token(aud={AUDIENCE: 1}), id="audience an object"),
        pytest.param(lambda i: i.token(iss=f"{URL}/"), id="issuer with a slash"),
        pytest.param(lambda i: i.token(iss="https://evil.example"), id="wrong issuer"),
        pytest.param(lambda i: i.token(iss=None), id="without an issuer"),
        pytest.param(lambda i: i.token(iss=[URL]), id="issuer a list"),
        # Malformed
        pytest.param(lambda i: _swap(i.token(), 1, encode(i.claims(sub="admin"))), id="claims changed"),
        pytest.param(lambda i: _swap(i.token(), 2, "AAAA"), id="signature changed"),
        pytest.param(lambda i: _swap(i.token(), 0, "AAAA"), id="header garbage"),
        pytest.param(lambda i: _swap(i.token(), 0, encode(["RS256"])), id="header a list"),
        pytest.param(lambda i: _swap(i.token(), 1, encode(["claims"])), id="claims a list"),
        pytest.param(lambda i: _swap(i.token(), 0, raw("[" * 9000)), id="header nested 9,000 deep"),
        pytest.param(lambda i: _swap(i.token(), 1, raw('{"a":' * 1500)), id="claims nested 1,500 deep"),
        pytest.param(lambda i: _swap(i.token(), 0, raw('{"alg":"RS256","alg":"none"}')), id="alg twice"),
        pytest.param(lambda i: _swap(i.token(), 0, raw('{"alg":"RS256","kid":"\\ud800"}')), id="kid a lone surrogate"),
        pytest.param(lambda i: i.token(exp=float("nan")), id="exp NaN"),
        pytest.param(lambda i: i.token(exp=float("inf")), id="exp infinite"),
        pytest.param(lambda i: nested(i, i.token()), id="a nested token"),
        pytest.param(lambda i: "a.b.c.d.e", id="an encrypted token"),
        pytest.param(lambda i: "opaque", id="opaque"),
        pytest.param(lambda i: i.token(sub="x" * 17_000), id="too long"),
        # Bindings that cannot be checked here (RFC 8705 §3, RFC 9449 §6)
        pytest.param(lambda i: i.token(cnf={"x5t#S256": THUMBPRINT}), id="bound, and no header is set"),
        pytest.param(lambda i: i.token(cnf={"jkt": "abc"}), id="bound to a DPoP key"),
        pytest.param(lambda i: i.token(cnf={}), id="bound to nothing"),
        pytest.param(lambda i: i.token(cnf="x"), id="cnf a string"),
    ]


@pytest.mark.parametrize("attack", _attacks())
def test_an_invalid_token_gets_no_reason(attack: Any, issuer: MockIssuer, caplog: pytest.LogCaptureFixture) -> None:
    """The response names claims that do not fit, which anybody can read, and nothing else; the log has the reason."""
    token = attack(issuer)
    with caplog.at_level(logging.DEBUG, logger="seic"):
        reply = ask(bearer_of(issuer), token)

    assert reply.status_code == 401
    challenge, _, description = reply.headers["WWW-Authenticate"].partition(", error_description=")
    assert challenge == 'Bearer error="invalid_token"'
    assert not description or description[-6:] in ('(aud)"', '(iss)"', '(exp)"', '(nbf)"', '(iat)"')
    assert reply.text == "Unauthorized"
    (record,) = [record for record in caplog.records if "bearer token rejected: " in record.getMessage()]
    assert record.levelno in (logging.INFO, logging.WARNING)
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
def test_credentials_are_one_authorization_header(
    headers: list[tuple[str, str]], challenge: str, issuer: MockIssuer
) -> None:
    """Without credentials the challenge has no error (RFC 6750 §3.1); repeated headers are rejected."""
    bearer = bearer_of(issuer)

    async def whoami(request: Request) -> JSONResponse:
        return JSONResponse((await bearer(request)).subject)

    browser = TestClient(Starlette(routes=[Route("/", whoami)]))
    token = issuer.token()
    reply = browser.get(f"/?access_token={token}", headers=[(name, text.format(token)) for name, text in headers])

    assert reply.status_code == 401
    assert reply.headers["WWW-Authenticate"] == challenge


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"iss": "https://other.example"}, id="another issuer"),
        pytest.param({"aud": "other"}, id="another audience"),
        pytest.param({"exp": NOW - 31}, id="expired"),
    ],
)
def test_a_token_for_another_service_causes_no_fetch(changes: dict[str, Any]) -> None:
    """Tokens that are sent here by mistake do not use up the fetch of a new key."""
    issuer = issuer_of()
    reply = ask(bearer_of(issuer), issuer.token(header={"kid": "theirs"}, **changes))

    assert reply.status_code == 401
    assert issuer.key_set_requests == 0

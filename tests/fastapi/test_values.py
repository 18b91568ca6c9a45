"""Every public value of seic can be returned by a handler, with and without a response model, and shows no secret."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import attrs
import pytest
from fastapi import FastAPI
from fastapi.encoders import jsonable_encoder
from fastapi.testclient import TestClient

import seic
from seic.fastapi import ClientCertHeader, EnvoyHeader, NginxHeader, UserLogin
from tests._support.pki import authority, mint

SECRET = "sesame-7f3a91"
_MINTED = mint(issuer=authority())
_CERTIFICATE = seic.ClientCertificate.load(_MINTED.pem, key=_MINTED.key_pem)
_PROVIDER = attrs.evolve(seic.OAUTH2, authorize_url="https://idp.example/authorize")
_HOSTS = seic.Hosts(api="api.example", mtls="mtls.example")
_TOKEN = seic.Token(
    access_token=SECRET, refresh_token=SECRET, expires_in=600, extra={"id_token": SECRET}, scope="orders"
)
_CONFIG = seic.Config(
    provider=_PROVIDER,
    hosts=_HOSTS,
    client_id="client-1",
    client_secret=SECRET,
    grant=seic.Password(username="ann", password=SECRET),
    certificate=_CERTIFICATE,
    proxy=f"http://user:{SECRET}@proxy.example:3128",
    store=seic.MemoryStore(),
)


def _dict(value: Any) -> dict[str, Any]:
    return dict(value)


#: A value of each public attrs class, and some of its members as JSON.
_VALUES: list[tuple[Any, dict[str, Any]]] = [
    (_CERTIFICATE.leaf, {"common_name": "svc-user", "is_ca": False, "key_type": "EC P-256"}),
    (_CERTIFICATE, {"chain": [], "path": _CERTIFICATE.path, "leaf": _dict(_CERTIFICATE.leaf)}),
    (_TOKEN, {"expires_in": 600, "scope": "orders", "refresh_token": "***"}),
    (_CONFIG, {"client_id": "client-1", "client_secret": "***"}),
    (_HOSTS, {"api": {"scheme": "https", "host": "api.example", "port": 443}}),
    (_CONFIG.origin, {"host": "mtls.example"}),
    (seic.SEI_GATEWAY, {"token_url": "/v2/oauthtoken", "username_field": "username"}),
    (seic.ClientCredentials(username="ann", password=SECRET), {"username": "ann", "password": "***"}),
    (seic.Password(username="ann", password=SECRET), {"password": "***"}),
    (seic.RefreshToken(refresh_token=SECRET), {"refresh_token": "***"}),
    (seic.AuthorizationCode(code=SECRET), {"code": "***"}),
    (seic.Saml2Bearer(saml_assertion=f"<{SECRET}/>".encode()), {"saml_assertion": "***"}),
    (seic.SessionToken(session_token=SECRET), {"session_token": "***"}),
    (seic.TokenExchange(subject_token=SECRET, subject_token_type="access_token"), {"subject_token": "***"}),
    (seic.JwtBearer(assertion=SECRET), {"assertion": "***"}),
    (seic.SamlBearer(assertion=f"<{SECRET}/>".encode()), {"assertion": "***"}),
    (seic.DeviceCode(device_code=SECRET), {"device_code": "***"}),
    (seic.ExistingToken(token=_TOKEN), {"token": "***"}),
    (UserLogin(scope="orders"), {"scope": "orders"}),
    (seic.ClientSecretBasic(form_encoded=False), {"form_encoded": False}),
    (seic.ClientSecretPost(), {}),
    (seic.ClientIdOnly(), {}),
    (seic.PrivateKeyJwt(key=_MINTED.key_pem, key_id="k-1"), {"key": "***", "key_id": "k-1"}),
    (seic.ClientSecretJwt(), {}),
    (seic.TlsClientAuth(), {}),
    (seic.SelfSignedTlsClientAuth(), {}),
    (seic.DPoP(key=_MINTED.key_pem), {"key": "***"}),
    (seic.Retry(attempts=2), {"attempts": 2}),
    (seic.FieldError("limit", "query", "too large"), {"field": "limit", "location": "query", "reason": "too large"}),
    (seic.Clock(), {}),
    (
        seic.Login.begin(provider=_PROVIDER, client_id="c", redirect_uri="https://app.example/cb", hosts=_HOSTS),
        {"redirect_uri": "https://app.example/cb", "state": "***"},
    ),
    (
        seic.RequestContext(provider=_PROVIDER, token_url="/t", client_id="c", client_secret=SECRET),
        {"client_id": "c", "client_secret": "***"},
    ),
    (ClientCertHeader(), {}),
    (NginxHeader(), {}),
    (EnvoyHeader(), {}),
]


def _names(kinds: list[type]) -> list[str]:
    return sorted(kind.__name__ for kind in kinds)


def test_each_public_value_is_here() -> None:
    """A class that is exported later needs a row above."""
    exported = [getattr(seic, name) for name in seic.__all__]
    kinds = [kind for kind in exported if isinstance(kind, type) and attrs.has(kind)]
    others = {"DeviceLogin", "Stats"}
    missing = set(_names(kinds)) - {type(value).__name__ for value, _ in _VALUES} - others
    assert not missing, missing


@pytest.mark.parametrize("annotated", [False, True], ids=["plain", "as response model"])
@pytest.mark.parametrize(("value", "members"), _VALUES, ids=[type(value).__name__ for value, _ in _VALUES])
def test_a_public_value_is_returned_without_secrets(value: Any, members: dict[str, Any], annotated: bool) -> None:
    """The response has the members that its repr shows, and secrets are masked."""
    app = FastAPI()

    async def handler() -> Any:
        return value

    app.get("/", response_model=type(value) if annotated else None)(handler)
    with TestClient(app) as client:
        reply = client.get("/")

    assert reply.status_code == 200
    document = reply.json()
    assert {name: document[name] for name in members} == members
    assert SECRET not in reply.text
    assert "PRIVATE KEY" not in reply.text
    assert app.openapi()["paths"]["/"]


@pytest.mark.parametrize("value", [value for value, _ in _VALUES], ids=[type(value).__name__ for value, _ in _VALUES])
def test_a_public_value_is_serialized_as_any(value: Any) -> None:
    """`-> Any`, `-> list` and a model with such a field take pydantic's serializer, which looks at the value alone."""
    app = FastAPI()

    @app.get("/")
    async def handler() -> dict[str, Any]:
        return {"value": value, "values": [value]}

    with TestClient(app) as client:
        reply = client.get("/")
    assert reply.json() == jsonable_encoder({"value": value, "values": [value]})
    assert SECRET not in reply.text


@pytest.mark.parametrize(
    "error",
    [
        seic.ApiError("m", status=400, errors=[seic.FieldError("a", "b", "c")]),
        seic.CertificateError("m", path="client.pem", reason="expired"),
        seic.TokenRequestRefused("m", status=401, code="invalid_client"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_within_a_response(error: seic.SeicError) -> None:
    """An error in a list or an object is its attributes."""
    app = FastAPI()
    app.get("/")(lambda: {"errors": [error]})
    with TestClient(app) as client:
        assert client.get("/").json()["errors"][0]["message"] == "m"


def test_times_numbers_and_sets_are_json() -> None:
    """Times are in the form of ISO 8601, sets are sorted lists, and a callable is left out."""
    document = jsonable_encoder([_CERTIFICATE.leaf, seic.SEI_PLATFORM, seic.Clock(), _dict(_TOKEN)])
    assert dt.datetime.fromisoformat(document[0]["not_after"]) == _CERTIFICATE.leaf.not_after
    assert document[1]["grants"] == sorted(document[1]["grants"])
    assert document[2] == {}
    assert SECRET not in json.dumps(document)


def test_a_value_is_not_a_sequence() -> None:
    """`dict` takes its members; it cannot be iterated by mistake."""
    assert _dict(seic.FieldError("a"))["field"] == "a"
    with pytest.raises(TypeError, match="not iterable"):
        list(seic.FieldError("a"))  # type: ignore[call-overload]

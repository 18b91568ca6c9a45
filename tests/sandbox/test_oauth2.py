"""The plain OAuth 2.0 provider."""

from __future__ import annotations

import base64
import json
import re
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from seic.sandbox import MockClock, Sandbox
from tests._support.sandbox_client import api_client, basic, mtls_client

TOKEN = "/oauth/v2/token"
REVOKE = "/oauth/v2/revoke"
INTROSPECT = "/oauth/v2/introspect"
METADATA = "/.well-known/oauth-authorization-server"
KEYS = "/oauth/v2/keys"
SECRET = "a+b c%41:é/"
#: The characters of an error_description (RFC 6749 §5.2).
DESCRIPTION = re.compile(r"[ !#-\[\]-~]+")


def headers_of(sandbox: Sandbox) -> dict[str, str]:
    """Return Basic authentication, form-encoded (RFC 6749 §2.3.1)."""
    return {"Authorization": basic(quote(sandbox.client_id, safe=""), quote(sandbox.client_secret, safe=""))}


def ask(client: httpx.Client, sandbox: Sandbox, path: str = TOKEN, **form: str) -> httpx.Response:
    """Post a form with the client's credentials; by default a token request."""
    fields = {**({"grant_type": "client_credentials"} if path == TOKEN else {}), **form}
    return client.post(path, headers=headers_of(sandbox), data=fields)


def body_of(reply: httpx.Response) -> dict[str, Any]:
    """Return the body of a successful response."""
    assert reply.status_code == 200, reply.text
    body: dict[str, Any] = reply.json()
    return body


def get_token(client: httpx.Client, sandbox: Sandbox, **form: str) -> str:
    """Request a token and return it."""
    token: str = body_of(ask(client, sandbox, **form))["access_token"]
    return token


def call(client: httpx.Client, token: str, method: str = "GET", path: str = "/v1/echo") -> httpx.Response:
    """Send an API request."""
    return client.request(method, path, headers={"Authorization": f"Bearer {token}"})


def claims_of(token: str) -> dict[str, Any]:
    """Return the claims of a JWT without verifying it."""
    part = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return claims


def assert_refused(reply: httpx.Response, status: int, error: str) -> None:
    """Check the error body of RFC 6749 §5.2."""
    assert reply.status_code == status, reply.text
    assert list(reply.json()) == ["error", "error_description"]
    assert reply.json()["error"] == error
    assert DESCRIPTION.fullmatch(reply.json()["error_description"])
    assert reply.headers["Cache-Control"] == "no-store"


# Token requests


def test_response_follows_rfc_6749(sandbox: Sandbox, api: httpx.Client) -> None:
    """`Bearer`, a number, and the granted scope."""
    reply = ask(api, sandbox)
    assert reply.headers["Cache-Control"] == "no-store"
    body = body_of(reply)
    assert call(api, body.pop("access_token")).status_code == 200
    assert body == {"token_type": "Bearer", "expires_in": 3600, "scope": "read write"}


def test_token_is_a_jwt_with_the_claims_of_rfc_9068(sandbox: Sandbox, api: httpx.Client, clock: MockClock) -> None:
    """The times are those of the sandbox's clock; each token has its own id."""
    first, second = claims_of(get_token(api, sandbox)), claims_of(get_token(api, sandbox))
    assert first.pop("jti") != second.pop("jti")
    issued = first.pop("iat")
    assert first == {
        "iss": sandbox.api_url,
        "sub": sandbox.client_id,
        "aud": sandbox.api_url,
        "client_id": sandbox.client_id,
        "exp": issued + 3600,
        "scope": "read write",
    }
    clock.advance(1000)
    assert claims_of(get_token(api, sandbox))["iat"] == pytest.approx(issued + 1000, abs=1)


@pytest.mark.parametrize(("seconds", "status"), [(1800.0, 200), (3599.9, 200), (3600.0, 401)])
def test_token_expires_after_expires_in(
    seconds: float, status: int, sandbox: Sandbox, api: httpx.Client, clock: MockClock
) -> None:
    """There is no idle lifetime; the 401 has the challenge of RFC 6750."""
    token = get_token(api, sandbox)
    clock.advance(seconds)
    reply = call(api, token)
    assert reply.status_code == status
    if status == 401:
        assert_refused(reply, 401, "invalid_token")
        assert reply.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


@pytest.mark.parametrize(
    ("client_id", "client_secret", "status"),
    [
        pytest.param("{id}", quote(SECRET, safe=""), 200, id="form-encoded"),
        pytest.param("{id}", quote(SECRET, safe="").replace("%20", "+"), 200, id="a plus for the space"),
        pytest.param("{id}", SECRET, 401, id="raw"),
        pytest.param("{id}", quote(SECRET, safe="+"), 401, id="a plus left as it is"),
        pytest.param("{id}", "%FF", 401, id="not UTF-8"),
        pytest.param("{id}", "", 401, id="no secret"),
        pytest.param("x{id}", quote(SECRET, safe=""), 401, id="another client"),
    ],
)
def test_basic_must_be_form_encoded(client_id: str, client_secret: str, status: int) -> None:
    """RFC 6749 §2.3.1."""
    with Sandbox(client_secret=SECRET) as sandbox, api_client(sandbox) as client:
        header = {"Authorization": basic(client_id.format(id=sandbox.client_id), client_secret)}
        reply = client.post(TOKEN, headers=header, data={"grant_type": "client_credentials"})
        assert reply.status_code == status
        if status == 401:
            assert_refused(reply, 401, "invalid_client")
            assert reply.headers["WWW-Authenticate"].startswith("Basic realm=")


@pytest.mark.parametrize("authorization", [None, "Bearer x", "Basic !"])
def test_client_must_authenticate(authorization: str | None, sandbox: Sandbox, api: httpx.Client) -> None:
    """RFC 6749 §5.2: the 401 has a challenge, whatever the setting."""
    headers = {} if authorization is None else {"Authorization": authorization}
    form = {"grant_type": "client_credentials", "client_id": sandbox.client_id}
    reply = api.post(TOKEN, headers=headers, data=form)
    assert_refused(reply, 401, "invalid_client")
    assert reply.headers["WWW-Authenticate"].startswith("Basic realm=")


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        pytest.param({"grant_type": ""}, 400, "invalid_request", id="no grant type"),
        pytest.param({"grant_type": "password"}, 400, "unsupported_grant_type", id="unknown grant type"),
        pytest.param({"client_secret": "x"}, 400, "invalid_request", id="a secret in the form"),
        pytest.param({"client_id": "x"}, 400, "invalid_request", id="another client in the form"),
        pytest.param({"scope": "admin"}, 400, "invalid_scope", id="unknown scope"),
        pytest.param({"scope": "read admin"}, 400, "invalid_scope", id="one unknown scope"),
        pytest.param({"scope": ""}, 400, "invalid_scope", id="empty scope"),
        pytest.param({"scope": "read  write"}, 400, "invalid_scope", id="two spaces"),
        pytest.param({"scope": "read read"}, 400, "invalid_scope", id="a scope twice"),
        pytest.param({"resource": "/accounts"}, 400, "invalid_target", id="relative resource"),
        pytest.param({"resource": "https://api.example/#x"}, 400, "invalid_target", id="resource with a fragment"),
    ],
)
def test_every_field_of_the_form_is_checked(
    form: dict[str, str], status: int, error: str, sandbox: Sandbox, api: httpx.Client
) -> None:
    """Each error has its code of the RFCs."""
    assert_refused(ask(api, sandbox, **form), status, error)


def test_client_id_may_be_in_header_and_form(sandbox: Sandbox, api: httpx.Client) -> None:
    """Some clients send both."""
    assert ask(api, sandbox, client_id=sandbox.client_id).status_code == 200


def test_token_request_must_have_no_query(sandbox: Sandbox, api: httpx.Client) -> None:
    """URLs are written to access logs."""
    form = {"grant_type": "client_credentials"}
    assert_refused(api.post(TOKEN, params=form, data=form, headers=headers_of(sandbox)), 400, "invalid_request")


# Scope, audience, resource


@pytest.mark.parametrize(
    ("scope", "method", "status"),
    [
        ("read", "GET", 200),
        ("read", "POST", 403),
        ("write", "POST", 200),
        ("write", "GET", 403),
        ("write", "HEAD", 403),
    ],
)
def test_scope_limits_the_token(scope: str, method: str, status: int, sandbox: Sandbox, api: httpx.Client) -> None:
    """A missing scope is a 403: a new token would not help."""
    token = get_token(api, sandbox, scope=scope)
    assert claims_of(token)["scope"] == scope
    reply = call(api, token, method)
    assert reply.status_code == status
    if status == 403:
        needed = "write" if method == "POST" else "read"
        assert reply.headers["WWW-Authenticate"] == f'Bearer error="insufficient_scope", scope="{needed}"'
        if method != "HEAD":
            assert_refused(reply, 403, "insufficient_scope")


@pytest.mark.parametrize(
    ("form", "audience"),
    [
        ({"audience": "accounts"}, "accounts"),
        ({"resource": "https://api.example/v1?x"}, "https://api.example/v1?x"),
        ({"resource": "urn:example:accounts", "audience": "other"}, "urn:example:accounts"),
    ],
)
def test_audience_can_be_requested(form: dict[str, str], audience: str, sandbox: Sandbox, api: httpx.Client) -> None:
    """By `resource` (RFC 8707) or `audience`."""
    assert claims_of(get_token(api, sandbox, **form))["aud"] == audience


# Bound tokens (RFC 8705)


def test_token_of_the_mtls_host_is_bound_to_its_certificate(
    api: httpx.Client, mtls: httpx.Client, sandbox: Sandbox
) -> None:
    """Another certificate is refused, even with the same subject."""
    token = get_token(mtls, sandbox)
    thumbprint = claims_of(token)["cnf"]["x5t#S256"]
    assert body_of(ask(mtls, sandbox, INTROSPECT, token=token))["cnf"] == {"x5t#S256": thumbprint}
    assert call(mtls, token).status_code == 200
    assert_refused(call(api, token), 401, "invalid_token")
    with mtls_client(sandbox, sandbox.issue_certificate()) as renewed:
        assert_refused(call(renewed, token), 401, "invalid_token")
        assert call(renewed, get_token(renewed, sandbox)).status_code == 200


def test_token_of_the_api_host_is_not_bound(api: httpx.Client, mtls: httpx.Client, sandbox: Sandbox) -> None:
    """Both hosts accept it."""
    token = get_token(api, sandbox)
    assert "cnf" not in claims_of(token)
    assert [call(client, token).status_code for client in (api, mtls)] == [200, 200]


@pytest.mark.parametrize(
    ("common_name", "client_id", "status"),
    [
        pytest.param(None, None, 200, id="certificate of the client"),
        pytest.param("somebody-else", None, 401, id="certificate of another client"),
        pytest.param(None, "0123456789abcdef", 401, id="another client"),
    ],
)
def test_certificate_can_authenticate_the_client(
    common_name: str | None, client_id: str | None, status: int, sandbox: Sandbox
) -> None:
    """`tls_client_auth` (RFC 8705 §2.1): the client id in the form, and no secret."""
    form = {"grant_type": "client_credentials", "client_id": client_id or sandbox.client_id}
    with mtls_client(sandbox, sandbox.issue_certificate(common_name)) as client:
        reply = client.post(TOKEN, data=form)
        assert reply.status_code == status
        if status == 401:
            assert_refused(reply, 401, "invalid_client")


def test_certificate_does_not_replace_a_wrong_secret(mtls: httpx.Client, sandbox: Sandbox) -> None:
    """Basic authentication takes precedence."""
    header = {"Authorization": basic(sandbox.client_id, "wrong")}
    form = {"grant_type": "client_credentials", "client_id": sandbox.client_id}
    assert_refused(mtls.post(TOKEN, headers=header, data=form), 401, "invalid_client")


# Revocation (RFC 7009)


def test_revoked_token_is_refused(sandbox: Sandbox, api: httpx.Client) -> None:
    """Other tokens stay active; the body of the response is empty."""
    token, other = get_token(api, sandbox), get_token(api, sandbox)
    reply = ask(api, sandbox, REVOKE, token=token, token_type_hint="access_token")
    assert (reply.status_code, reply.content) == (200, b"")
    assert [call(api, each).status_code for each in (token, other)] == [401, 200]
    assert sandbox.counts.tokens_invalidated == 1


def test_revocation_of_an_inactive_token_succeeds(sandbox: Sandbox, api: httpx.Client) -> None:
    """RFC 7009 §2.2."""
    token = get_token(api, sandbox)
    for each in (token, token, "unknown"):
        assert ask(api, sandbox, REVOKE, token=each).status_code == 200


def test_tokens_of_other_dialects_are_unknown(sandbox: Sandbox, api: httpx.Client) -> None:
    """For revocation and introspection."""
    headers = {"AppKey": sandbox.client_id, "Authorization": basic(sandbox.client_id, sandbox.client_secret)}
    form = {"grant_type": "client_credentials", "username": sandbox.username, "password": sandbox.password}
    token = body_of(api.post("/v2/oauthtoken", headers=headers, data=form))["access_token"]
    assert ask(api, sandbox, REVOKE, token=token).status_code == 200
    assert body_of(ask(api, sandbox, INTROSPECT, token=token)) == {"active": False}
    headers["Authorization"] = f"Bearer {token}"
    assert api.get("/v1/echo", headers=headers).status_code == 200


@pytest.mark.parametrize("path", [REVOKE, INTROSPECT])
def test_revocation_and_introspection_need_the_client_and_a_token(
    path: str, sandbox: Sandbox, api: httpx.Client
) -> None:
    """An unknown client cannot revoke a token."""
    token = get_token(api, sandbox)
    assert_refused(api.post(path, data={"token": token}), 401, "invalid_client")
    assert_refused(ask(api, sandbox, path), 400, "invalid_request")
    assert_refused(api.get(path), 404, "invalid_request")
    assert call(api, token).status_code == 200


# Introspection (RFC 7662)


def test_introspection_of_an_active_token(sandbox: Sandbox, api: httpx.Client, clock: MockClock) -> None:
    """It has the claims of the token."""
    token = get_token(api, sandbox, scope="read")
    clock.advance(50)
    claims = claims_of(token)
    assert body_of(ask(api, sandbox, INTROSPECT, token=token)) == {
        "active": True,
        "token_type": "Bearer",
        **{name: claims[name] for name in ("client_id", "sub", "scope", "iss", "iat", "exp")},
    }
    assert sandbox.counts.info_requests == 1


def test_introspection_of_an_inactive_token(sandbox: Sandbox, api: httpx.Client, clock: MockClock) -> None:
    """Unknown, revoked and expired tokens have the same response."""
    revoked, expired = get_token(api, sandbox), get_token(api, sandbox)
    ask(api, sandbox, REVOKE, token=revoked)
    clock.advance(3600)
    for token in ("unknown", revoked, expired):
        assert body_of(ask(api, sandbox, INTROSPECT, token=token)) == {"active": False}


# Metadata (RFC 8414) and keys


def test_metadata_has_the_endpoints_of_both_hosts(sandbox: Sandbox, api: httpx.Client, mtls: httpx.Client) -> None:
    """The issuer is the same at both; the aliases of RFC 8705 §5 are at the mtls host."""
    documents = [body_of(client.get(METADATA)) for client in (api, mtls)]
    assert documents[0] == documents[1]
    document = documents[0]
    assert document["issuer"] == sandbox.api_url
    paths = {"token_endpoint": TOKEN, "revocation_endpoint": REVOKE, "introspection_endpoint": INTROSPECT}
    for name, path in paths.items():
        assert document[name] == f"{sandbox.api_url}{path}"
        assert document["mtls_endpoint_aliases"][name] == f"{sandbox.mtls_url}{path}"
    assert document["tls_client_certificate_bound_access_tokens"] is True
    assert document["token_endpoint_auth_methods_supported"] == ["client_secret_basic", "tls_client_auth"]
    assert document["grant_types_supported"] == ["client_credentials"]


def test_metadata_behind_a_proxy_has_the_requested_host() -> None:
    """The proxy's other host is unknown, so there are no aliases."""
    with Sandbox(behind_proxy=True) as sandbox, httpx.Client(base_url=sandbox.proxy_url) as client:
        document = body_of(client.get(METADATA, headers={"Host": "gateway.example:8443"}))
    assert document["issuer"] == "https://gateway.example:8443"
    assert "mtls_endpoint_aliases" not in document


def test_keys_are_public(sandbox: Sandbox, api: httpx.Client) -> None:
    """The key of the token, without private members."""
    document = body_of(api.get(body_of(api.get(METADATA))["jwks_uri"]))
    header = json.loads(base64.urlsafe_b64decode(get_token(api, sandbox).split(".")[0] + "=="))
    assert [key["kid"] for key in document["keys"]] == [header["kid"]]
    assert set(document["keys"][0]) == {"crv", "kty", "x", "y", "alg", "use", "kid"}


@pytest.mark.parametrize("path", [METADATA, KEYS])
def test_metadata_and_keys_need_a_get(path: str, api: httpx.Client) -> None:
    """Other methods are not found."""
    assert_refused(api.post(path), 404, "invalid_request")


# Planned failures


def test_planned_failures_have_the_error_body_of_rfc_6749(sandbox: Sandbox, api: httpx.Client) -> None:
    """With the provider's error codes."""
    sandbox.fail_tokens(500)
    sandbox.fail_tokens(401)
    assert_refused(ask(api, sandbox), 500, "server_error")
    assert_refused(ask(api, sandbox), 401, "invalid_client")
    assert ask(api, sandbox).status_code == 200


def test_unknown_token_without_an_app_key_has_the_error_body_of_rfc_6749(api: httpx.Client, sandbox: Sandbox) -> None:
    """With an AppKey, it has the error body of the gateway."""
    assert_refused(call(api, "unknown"), 401, "invalid_token")
    headers = {"AppKey": sandbox.client_id, "Authorization": "Bearer unknown"}
    assert api.get("/v1/echo", headers=headers).json()["code"] == "gateway.token.invalid"

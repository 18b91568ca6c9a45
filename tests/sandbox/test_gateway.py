"""The gateway's token endpoint: client authentication, the form and certificates."""

from __future__ import annotations

import base64
import uuid

import httpx
import pytest

from seic.sandbox import MockClock, Sandbox
from tests._support.sandbox_client import (
    TOKEN_PATH,
    api_client,
    ask_token,
    assert_refused,
    basic,
    call,
    get_token,
    mtls_client,
    token_form,
    token_headers,
)

FORM = "application/x-www-form-urlencoded"
AUTHENTICATION = "gateway.authentication.failure"
INVALID = "gateway.request.invalid"
MISMATCH = "gateway.certificate.mismatch"


def test_token_response_has_the_documented_members(api: httpx.Client, sandbox: Sandbox) -> None:
    """Every value is a string, except the one that is an array."""
    reply = ask_token(api, sandbox)
    assert reply.status_code == 200
    body = reply.json()
    assert body.pop("access_token")
    assert uuid.UUID(body.pop("application_name")).version == 4
    assert body.pop("issued_at").isdecimal()
    assert body == {
        "refresh_token_expires_in": "0",
        "api_product_list": "[Investors]",
        "api_product_list_json": ["Investors"],
        "organization_name": "sei",
        "developer.email": "developer@example.com",
        "token_type": "BearerToken",
        "client_id": sandbox.client_id,
        "scope": "",
        "expires_in": "3599",
        "refresh_count": "0",
        "status": "approved",
    }


def test_each_token_is_different(api: httpx.Client, sandbox: Sandbox) -> None:
    """Both are active."""
    first, second = get_token(api, sandbox), get_token(api, sandbox)
    assert first != second
    assert [call(api, sandbox, token).status_code for token in (first, second)] == [200, 200]


def test_issued_at_is_in_milliseconds_of_the_clock(api: httpx.Client, sandbox: Sandbox, clock: MockClock) -> None:
    """Ten seconds of the sandbox's clock are ten thousand in `issued_at`."""
    first = int(ask_token(api, sandbox).json()["issued_at"])
    clock.advance(10)
    second = int(ask_token(api, sandbox).json()["issued_at"])
    assert second - first == pytest.approx(10_000, abs=1)


@pytest.mark.parametrize(
    ("lifetime", "expires_in"),
    [(3600.0, "3599"), (2.0, "1"), (1.5, "1"), (1.0, "0"), (0.5, "0")],
)
def test_expires_in_is_the_whole_seconds_left(lifetime: float, expires_in: str) -> None:
    """Just under the lifetime, as documented."""
    with Sandbox(active_lifetime=lifetime) as sandbox, api_client(sandbox) as client:
        assert ask_token(client, sandbox).json()["expires_in"] == expires_in


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        pytest.param({"AppKey": None}, "AppKey", id="no AppKey"),
        pytest.param({"AppKey": ""}, "AppKey", id="empty AppKey"),
        pytest.param({"AppKey": "0123456789abcdef"}, "AppKey", id="wrong AppKey"),
        pytest.param({"AppKey": "Schlüssel"}, "AppKey", id="AppKey beyond ASCII"),
        pytest.param({"Authorization": None}, "Authorization", id="no Authorization"),
        pytest.param({"Authorization": "Basic"}, "Authorization", id="Basic without credentials"),
        pytest.param({"Authorization": "Basic !"}, "Authorization", id="not Base64"),
        pytest.param({"Authorization": "Basic ÿ"}, "Authorization", id="not ASCII"),
        pytest.param({"Authorization": "Basic /w=="}, "Authorization", id="not UTF-8"),
        pytest.param(
            {"Authorization": "Basic " + base64.b64encode(b"no colon").decode()}, "Authorization", id="no colon"
        ),
        pytest.param({"Authorization": "Bearer abc"}, "Authorization", id="not Basic"),
    ],
)
def test_token_request_needs_basic_and_app_key(
    changes: dict[str, str | None], names: str, api: httpx.Client, sandbox: Sandbox
) -> None:
    """Each error of the client authentication is a 401 that names the header."""
    headers = token_headers(sandbox)
    for name, value in changes.items():
        headers.pop(name)
        if value is not None:
            headers[name] = value
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    reply = api.post(TOKEN_PATH, headers=raw, data=token_form(sandbox))
    form = assert_refused(reply, 401, AUTHENTICATION)
    assert form["transient"] == "false"
    assert [(entry["field"], entry["location"]) for entry in form["errors"]] == [(names, "header")]
    assert sandbox.client_secret not in reply.text


@pytest.mark.parametrize(
    ("client_id", "client_secret"),
    [
        pytest.param(None, "wrong", id="wrong AppSecret"),
        pytest.param(None, "", id="empty AppSecret"),
        pytest.param("0123456789abcdef", None, id="another AppKey than the header's"),
        pytest.param("", None, id="empty AppKey"),
    ],
)
def test_basic_must_match_the_app_key_and_the_secret(
    client_id: str | None, client_secret: str | None, api: httpx.Client, sandbox: Sandbox
) -> None:
    """The error names the header."""
    client_id = sandbox.client_id if client_id is None else client_id
    client_secret = sandbox.client_secret if client_secret is None else client_secret
    headers = {**token_headers(sandbox), "Authorization": basic(client_id, client_secret)}
    reply = api.post(TOKEN_PATH, headers=headers, data=token_form(sandbox))
    assert assert_refused(reply, 401, AUTHENTICATION)["errors"][0]["field"] == "Authorization"


@pytest.mark.parametrize("name", ["AppKey", "Authorization"])
def test_repeated_header_is_refused(name: str, api: httpx.Client, sandbox: Sandbox) -> None:
    """Even with equal values."""
    headers = token_headers(sandbox)
    reply = api.post(TOKEN_PATH, headers=[*headers.items(), (name, headers[name])], data=token_form(sandbox))
    assert assert_refused(reply, 401, AUTHENTICATION)["errors"][0]["field"] == name


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        pytest.param(FORM, 200, id="form"),
        pytest.param(f"{FORM}; charset=utf-8", 200, id="form with charset"),
        pytest.param(f"{FORM}; charset=utf-16", 400, id="form with another charset"),
        pytest.param(FORM.upper(), 200, id="upper case"),
        pytest.param("application/xxx-form-urlencoded", 400, id="the documents' typo"),
        pytest.param("application/json", 400, id="json"),
        pytest.param("text/plain", 400, id="text"),
        pytest.param("multipart/form-data; boundary=x", 400, id="multipart"),
        pytest.param(None, 400, id="none"),
    ],
)
def test_token_request_must_be_a_form(
    content_type: str | None, status: int, api: httpx.Client, sandbox: Sandbox
) -> None:
    """Only one content type is accepted."""
    content = httpx.Request("POST", "https://x", data=token_form(sandbox)).content
    headers = {**token_headers(sandbox), **({} if content_type is None else {"Content-Type": content_type})}
    reply = api.post(TOKEN_PATH, headers=headers, content=content)
    assert reply.status_code == status
    if status == 400:
        assert assert_refused(reply, 400, INVALID)["errors"][0]["field"] == "Content-Type"


def test_content_type_must_occur_once(api: httpx.Client, sandbox: Sandbox) -> None:
    """Two are refused."""
    headers = [*token_headers(sandbox).items(), ("Content-Type", FORM), ("Content-Type", "text/plain")]
    content = httpx.Request("POST", "https://x", data=token_form(sandbox)).content
    assert_refused(api.post(TOKEN_PATH, headers=headers, content=content), 400, INVALID)


@pytest.mark.parametrize("in_query", [["password"], ["grant_type"], ["grant_type", "username", "password"]])
def test_token_request_must_have_no_query(in_query: list[str], api: httpx.Client, sandbox: Sandbox) -> None:
    """A query string is refused even with a complete form, and its values are not repeated."""
    form = token_form(sandbox)
    params = {name: form[name] for name in in_query}
    reply = api.post(TOKEN_PATH, headers=token_headers(sandbox), params=params, data=form)
    assert assert_refused(reply, 400, INVALID)["errors"][0]["location"] == "query"
    assert sandbox.password not in reply.text


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        pytest.param({"grant_type": None}, ["grant_type"], id="no grant type"),
        pytest.param({"grant_type": ""}, ["grant_type"], id="empty grant type"),
        pytest.param({"username": None}, ["username"], id="no user name"),
        pytest.param({"password": ""}, ["password"], id="empty password"),
        pytest.param({"username": None, "password": None}, ["username", "password"], id="neither"),
        pytest.param({"client_secret": "x"}, ["client_secret"], id="AppSecret in the form too"),
        pytest.param({"username": ["a", "b"]}, [""], id="a field twice"),
    ],
)
def test_every_field_of_the_form_is_checked(
    changes: dict[str, str | list[str] | None], fields: list[str], api: httpx.Client, sandbox: Sandbox
) -> None:
    """The error names every invalid field."""
    form = {name: value for name, value in {**token_form(sandbox), **changes}.items() if value is not None}
    errors = assert_refused(ask_token(api, sandbox, form), 400, INVALID)["errors"]
    assert [(entry["field"], entry["location"]) for entry in errors] == [(field, "body") for field in fields]


@pytest.mark.parametrize("grant_type", ["authorization_code", "Password", "client_credentials "])
def test_unknown_grant_type_is_refused(grant_type: str, api: httpx.Client, sandbox: Sandbox) -> None:
    """With its own error code; the comparison is exact."""
    reply = ask_token(api, sandbox, {**token_form(sandbox), "grant_type": grant_type})
    form = assert_refused(reply, 400, "gateway.granttype.unknown")
    assert [(entry["field"], entry["location"]) for entry in form["errors"]] == [("grant_type", "body")]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"grant_type", id="no value"),
        pytest.param(b"grant_type=client_credentials&username=\xff", id="beyond ASCII"),
        pytest.param(b"grant_type=client_credentials&username=%FF", id="not UTF-8"),
        pytest.param(b'{"grant_type": "client_credentials"}', id="JSON"),
        pytest.param(b"grant_type=" + b"x" * (1024 * 1024), id="over a MiB"),
    ],
)
def test_malformed_form_is_refused(content: bytes, api: httpx.Client, sandbox: Sandbox) -> None:
    """It is a 400, never a 500."""
    headers = {**token_headers(sandbox), "Content-Type": FORM}
    assert_refused(api.post(TOKEN_PATH, headers=headers, content=content), 400, INVALID)


@pytest.mark.parametrize("changes", [{"username": "nobody"}, {"password": "wrong"}, {"username": "x", "password": "é"}])
def test_wrong_user_name_and_wrong_password_have_the_same_error(
    changes: dict[str, str], api: httpx.Client, sandbox: Sandbox
) -> None:
    """The error does not tell which is wrong."""
    form = assert_refused(ask_token(api, sandbox, {**token_form(sandbox), **changes}), 401, AUTHENTICATION)
    assert form["message"] == "The user name or the password of the service account is wrong."
    assert form["errors"] == []


def test_password_must_be_encoded_in_the_form(api: httpx.Client, sandbox: Sandbox) -> None:
    """A client that does not encode the form gets no token."""
    headers = {**token_headers(sandbox), "Content-Type": FORM}
    content = "&".join(f"{name}={value}" for name, value in token_form(sandbox).items())
    assert api.post(TOKEN_PATH, headers=headers, content=content.encode()).status_code == 400


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_token_request_must_be_a_post(method: str, api: httpx.Client, sandbox: Sandbox) -> None:
    """Other methods are not found."""
    reply = api.request(method, TOKEN_PATH, headers=token_headers(sandbox))
    assert_refused(reply, 404, "gateway.resource.unknown")


@pytest.mark.parametrize("key_type", ["ec", "rsa", "ed25519"])
def test_certificate_of_the_service_account_is_accepted(key_type: str, sandbox: Sandbox) -> None:
    """With each type of key."""
    certificate = sandbox.issue_certificate(key_type=key_type)  # type: ignore[arg-type]
    with mtls_client(sandbox, certificate) as client:
        assert ask_token(client, sandbox).status_code == 200


@pytest.mark.parametrize("common_name", ["somebody-else", "{} ", "x{}", "{}x"])
def test_certificate_of_another_account_is_refused(common_name: str, sandbox: Sandbox) -> None:
    """403: a new token would not help."""
    certificate = sandbox.issue_certificate(common_name.format(sandbox.username))
    with mtls_client(sandbox, certificate) as client:
        assert_refused(ask_token(client, sandbox), 403, MISMATCH)


def test_certificate_without_a_cn_is_refused(sandbox: Sandbox) -> None:
    """The gateway does not read alternative names."""
    certificate = sandbox.authority.issue(None, sans=[sandbox.username])
    with mtls_client(sandbox, certificate) as client:
        assert_refused(ask_token(client, sandbox), 403, MISMATCH)


def test_invalidated_token_is_refused(api: httpx.Client, sandbox: Sandbox) -> None:
    """No other token is invalidated, and the response does not repeat the token."""
    token, other = get_token(api, sandbox), get_token(api, sandbox)
    reply = ask_token(api, sandbox, {"grant_type": "invalidate_token", "access_token": token})
    assert reply.status_code == 200
    assert reply.json() == {"client_id": sandbox.client_id, "status": "revoked"}
    assert [call(api, sandbox, each).status_code for each in (token, other)] == [401, 200]


@pytest.mark.parametrize("access_token", [None, "", "unknown"])
def test_invalidation_needs_an_active_token(access_token: str | None, api: httpx.Client, sandbox: Sandbox) -> None:
    """400 and not 401: the client itself is authenticated."""
    form = {"grant_type": "invalidate_token", **({} if access_token is None else {"access_token": access_token})}
    code = "gateway.token.invalid" if access_token else INVALID
    assert assert_refused(ask_token(api, sandbox, form), 400, code)["errors"][0]["field"] == "access_token"


def test_invalidated_token_cannot_be_invalidated_again(api: httpx.Client, sandbox: Sandbox) -> None:
    """The second request is refused."""
    form = {"grant_type": "invalidate_token", "access_token": get_token(api, sandbox)}
    assert [ask_token(api, sandbox, form).status_code for _ in range(2)] == [200, 400]


def test_invalidation_needs_the_certificate_of_the_owner(api: httpx.Client, sandbox: Sandbox) -> None:
    """The token stays active."""
    token = get_token(api, sandbox)
    with mtls_client(sandbox, sandbox.issue_certificate("somebody-else")) as other:
        form = {"grant_type": "invalidate_token", "access_token": token}
        assert_refused(ask_token(other, sandbox, form), 403, MISMATCH)
    assert call(api, sandbox, token).status_code == 200

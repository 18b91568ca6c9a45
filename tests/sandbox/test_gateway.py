from __future__ import annotations

import base64
import uuid

import httpx
import pytest

from seic.sandbox import ManualClock, Sandbox
from tests._support.far_side import (
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


def test_token_reply_has_the_documented_members_all_of_them_strings(api: httpx.Client, sandbox: Sandbox) -> None:
    """The reply is the documented one: every value is a string, save the one that is an array."""
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


def test_each_token_is_another(api: httpx.Client, sandbox: Sandbox) -> None:
    """Two calls give two tokens, and both live."""
    first, second = get_token(api, sandbox), get_token(api, sandbox)
    assert first != second
    assert [call(api, sandbox, token).status_code for token in (first, second)] == [200, 200]


def test_issued_at_is_in_milliseconds_and_moves_with_the_clock(
    api: httpx.Client, sandbox: Sandbox, clock: ManualClock
) -> None:
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
    """`expires_in` is just under the lifetime, as in the documents."""
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
def test_token_call_needs_basic_and_app_key_that_agree(
    changes: dict[str, str | None], names: str, api: httpx.Client, sandbox: Sandbox
) -> None:
    """Each defect of the client's authentication is a 401 that names the header."""
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
def test_basic_needs_the_secret_and_the_app_key_of_the_header(
    client_id: str | None, client_secret: str | None, api: httpx.Client, sandbox: Sandbox
) -> None:
    """A wrong half of the pair is a 401 that names the header."""
    client_id = sandbox.client_id if client_id is None else client_id
    client_secret = sandbox.client_secret if client_secret is None else client_secret
    headers = {**token_headers(sandbox), "Authorization": basic(client_id, client_secret)}
    reply = api.post(TOKEN_PATH, headers=headers, data=token_form(sandbox))
    assert assert_refused(reply, 401, AUTHENTICATION)["errors"][0]["field"] == "Authorization"


@pytest.mark.parametrize("name", ["AppKey", "Authorization"])
def test_header_that_stands_twice_is_refused(name: str, api: httpx.Client, sandbox: Sandbox) -> None:
    """Of two values nobody knows which counts, equal or not."""
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
def test_token_call_takes_a_form_and_nothing_else(
    content_type: str | None, status: int, api: httpx.Client, sandbox: Sandbox
) -> None:
    """Only one content type gets a token."""
    content = httpx.Request("POST", "https://x", data=token_form(sandbox)).content
    headers = {**token_headers(sandbox), **({} if content_type is None else {"Content-Type": content_type})}
    reply = api.post(TOKEN_PATH, headers=headers, content=content)
    assert reply.status_code == status
    if status == 400:
        assert assert_refused(reply, 400, INVALID)["errors"][0]["field"] == "Content-Type"


def test_content_type_stands_once(api: httpx.Client, sandbox: Sandbox) -> None:
    """Of two nobody knows which counts."""
    headers = [*token_headers(sandbox).items(), ("Content-Type", FORM), ("Content-Type", "text/plain")]
    content = httpx.Request("POST", "https://x", data=token_form(sandbox)).content
    assert_refused(api.post(TOKEN_PATH, headers=headers, content=content), 400, INVALID)


@pytest.mark.parametrize("in_query", [["password"], ["grant_type"], ["grant_type", "username", "password"]])
def test_token_call_takes_nothing_in_the_query(in_query: list[str], api: httpx.Client, sandbox: Sandbox) -> None:
    """A query string is refused even beside a whole form, and its values are not repeated."""
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
def test_form_is_checked_field_by_field(
    changes: dict[str, str | list[str] | None], fields: list[str], api: httpx.Client, sandbox: Sandbox
) -> None:
    """Each defect of the form is a 400 that names every field at fault."""
    form = {name: value for name, value in {**token_form(sandbox), **changes}.items() if value is not None}
    errors = assert_refused(ask_token(api, sandbox, form), 400, INVALID)["errors"]
    assert [(entry["field"], entry["location"]) for entry in errors] == [(field, "body") for field in fields]


@pytest.mark.parametrize("grant_type", ["authorization_code", "Password", "client_credentials "])
def test_grant_type_has_to_be_one_of_the_gateways(grant_type: str, api: httpx.Client, sandbox: Sandbox) -> None:
    """An unknown one is a 400 of its own, letter by letter."""
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
def test_body_that_is_no_form_is_refused(content: bytes, api: httpx.Client, sandbox: Sandbox) -> None:
    """What cannot be read as a form is a 400, never a 500."""
    headers = {**token_headers(sandbox), "Content-Type": FORM}
    assert_refused(api.post(TOKEN_PATH, headers=headers, content=content), 400, INVALID)


@pytest.mark.parametrize("changes", [{"username": "nobody"}, {"password": "wrong"}, {"username": "x", "password": "é"}])
def test_wrong_service_account_is_refused_without_saying_what_was_wrong(
    changes: dict[str, str], api: httpx.Client, sandbox: Sandbox
) -> None:
    """A wrong user name and a wrong password are one and the same 401."""
    form = assert_refused(ask_token(api, sandbox, {**token_form(sandbox), **changes}), 401, AUTHENTICATION)
    assert form["message"] == "The user name or the password of the service account is wrong."
    assert form["errors"] == []


def test_password_needs_encoding_in_the_form(api: httpx.Client, sandbox: Sandbox) -> None:
    """A client that writes the form without encoding it gets no token."""
    headers = {**token_headers(sandbox), "Content-Type": FORM}
    content = "&".join(f"{name}={value}" for name, value in token_form(sandbox).items())
    assert api.post(TOKEN_PATH, headers=headers, content=content.encode()).status_code == 400


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_token_call_is_a_post(method: str, api: httpx.Client, sandbox: Sandbox) -> None:
    """Another method finds nothing there."""
    reply = api.request(method, TOKEN_PATH, headers=token_headers(sandbox))
    assert_refused(reply, 404, "gateway.resource.unknown")


@pytest.mark.parametrize("key_type", ["ec", "rsa", "ed25519"])
def test_certificate_of_the_service_account_gets_a_token(key_type: str, sandbox: Sandbox) -> None:
    """The CN counts, whatever the key."""
    certificate = sandbox.issue_certificate(key_type=key_type)  # type: ignore[arg-type]
    with mtls_client(sandbox, certificate) as client:
        assert ask_token(client, sandbox).status_code == 200


@pytest.mark.parametrize("common_name", ["somebody-else", "{} ", "x{}", "{}x"])
def test_certificate_of_another_account_gets_no_token(common_name: str, sandbox: Sandbox) -> None:
    """Any other CN is a 403, which no new token would mend."""
    certificate = sandbox.issue_certificate(common_name.format(sandbox.username))
    with mtls_client(sandbox, certificate) as client:
        assert_refused(ask_token(client, sandbox), 403, MISMATCH)


def test_certificate_without_a_cn_gets_no_token(sandbox: Sandbox) -> None:
    """A name in the alternative names is none that the gateway looks at."""
    certificate = sandbox.authority.issue(None, sans=[sandbox.username])
    with mtls_client(sandbox, certificate) as client:
        assert_refused(ask_token(client, sandbox), 403, MISMATCH)


def test_invalidated_token_is_dead(api: httpx.Client, sandbox: Sandbox) -> None:
    """`invalidate_token` kills the token that it carries, and no other; it is not repeated."""
    token, other = get_token(api, sandbox), get_token(api, sandbox)
    reply = ask_token(api, sandbox, {"grant_type": "invalidate_token", "access_token": token})
    assert reply.status_code == 200
    assert reply.json() == {"client_id": sandbox.client_id, "status": "revoked"}
    assert [call(api, sandbox, each).status_code for each in (token, other)] == [401, 200]


@pytest.mark.parametrize("access_token", [None, "", "unknown"])
def test_invalidation_needs_a_valid_token(access_token: str | None, api: httpx.Client, sandbox: Sandbox) -> None:
    """Without a live token there is nothing to invalidate: 400, since the caller itself is known."""
    form = {"grant_type": "invalidate_token", **({} if access_token is None else {"access_token": access_token})}
    code = "gateway.token.invalid" if access_token else INVALID
    assert assert_refused(ask_token(api, sandbox, form), 400, code)["errors"][0]["field"] == "access_token"


def test_token_is_invalidated_once(api: httpx.Client, sandbox: Sandbox) -> None:
    """A second invalidation meets a dead token."""
    form = {"grant_type": "invalidate_token", "access_token": get_token(api, sandbox)}
    assert [ask_token(api, sandbox, form).status_code for _ in range(2)] == [200, 400]


def test_invalidation_needs_the_owners_certificate(api: httpx.Client, sandbox: Sandbox) -> None:
    """Somebody else's certificate kills no token of this account."""
    token = get_token(api, sandbox)
    with mtls_client(sandbox, sandbox.issue_certificate("somebody-else")) as other:
        form = {"grant_type": "invalidate_token", "access_token": token}
        assert_refused(ask_token(other, sandbox, form), 403, MISMATCH)
    assert call(api, sandbox, token).status_code == 200

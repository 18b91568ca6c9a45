"""The API of the sandbox: access tokens, certificates, the list of accounts and the echo."""

from __future__ import annotations

import base64
import hashlib
import json

import httpx
import pytest

from seic.sandbox import MockClock, Sandbox
from tests._support.sandbox_client import (
    ACCOUNTS_PATH,
    ECHO_PATH,
    api_client,
    api_headers,
    assert_refused,
    basic,
    call,
    get_token,
    mtls_client,
)

AUTHENTICATION = "gateway.authentication.failure"
INACTIVE = "gateway.token.invalid"
INVALID = "gateway.request.invalid"
MISMATCH = "gateway.certificate.mismatch"


@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        pytest.param(None, AUTHENTICATION, id="none"),
        pytest.param("Bearer", AUTHENTICATION, id="no token"),
        pytest.param("BearerToken {token}", AUTHENTICATION, id="the token_type as scheme"),
        pytest.param("{token}", AUTHENTICATION, id="no scheme"),
        pytest.param(basic("a", "b"), AUTHENTICATION, id="Basic"),
        pytest.param("Bearer {token}x", INACTIVE, id="unknown token"),
        pytest.param("Bearer  {token}", INACTIVE, id="two spaces"),
    ],
)
def test_request_needs_an_active_bearer_token(
    authorization: str | None, code: str, api: httpx.Client, sandbox: Sandbox
) -> None:
    """A missing and an inactive token are both a 401, with different codes."""
    headers = {"AppKey": sandbox.client_id}
    if authorization is not None:
        headers["Authorization"] = authorization.format(token=get_token(api, sandbox))
    form = assert_refused(api.get(ECHO_PATH, headers=headers), 401, code)
    assert form["transient"] == "false"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_scheme_is_case_insensitive(scheme: str, api: httpx.Client, sandbox: Sandbox) -> None:
    """RFC 9110 §11.1."""
    headers = {**api_headers(sandbox, ""), "Authorization": f"{scheme} {get_token(api, sandbox)}"}
    assert api.get(ECHO_PATH, headers=headers).status_code == 200


@pytest.mark.parametrize("app_key", [None, "", "0123456789abcdef"])
def test_request_needs_the_app_key(app_key: str | None, api: httpx.Client, sandbox: Sandbox) -> None:
    """An active token is not enough."""
    headers = api_headers(sandbox, get_token(api, sandbox))
    del headers["AppKey"]
    if app_key is not None:
        headers["AppKey"] = app_key
    form = assert_refused(api.get(ECHO_PATH, headers=headers), 401, AUTHENTICATION)
    assert form["errors"][0]["field"] == "AppKey"


@pytest.mark.parametrize(("seconds", "status"), [(1799.9, 200), (1800.0, 401)])
def test_unused_token_expires_after_thirty_minutes(
    seconds: float, status: int, api: httpx.Client, sandbox: Sandbox, clock: MockClock
) -> None:
    """Whatever `expires_in` says."""
    token = get_token(api, sandbox)
    clock.advance(seconds)
    assert call(api, sandbox, token).status_code == status


@pytest.mark.parametrize(("seconds", "status"), [(599.9, 200), (600.0, 401)])
def test_used_token_expires_after_sixty_minutes(
    seconds: float, status: int, api: httpx.Client, sandbox: Sandbox, clock: MockClock
) -> None:
    """Two requests, 25 minutes apart, keep it from being idle."""
    token = get_token(api, sandbox)
    for _ in range(2):
        clock.advance(1500)
        assert call(api, sandbox, token).status_code == 200
    clock.advance(seconds)
    assert call(api, sandbox, token).status_code == status


def test_refused_request_is_not_a_use_of_the_token(api: httpx.Client, sandbox: Sandbox, clock: MockClock) -> None:
    """A request without the AppKey does not restart the idle time."""
    token = get_token(api, sandbox)
    clock.advance(1000)
    assert api.get(ECHO_PATH, headers={"Authorization": f"Bearer {token}"}).status_code == 401
    clock.advance(1000)
    assert_refused(call(api, sandbox, token), 401, INACTIVE)


@pytest.mark.parametrize(("active", "idle"), [(2.0, 9.0), (9.0, 2.0)])
def test_lifetimes_are_settable(active: float, idle: float, clock: MockClock) -> None:
    """Each lifetime ends a token by itself."""
    with Sandbox(clock=clock, active_lifetime=active, idle_lifetime=idle) as sandbox, api_client(sandbox) as client:
        token = get_token(client, sandbox)
        clock.advance(2.0)
        assert_refused(call(client, sandbox, token), 401, INACTIVE)


def test_api_sees_the_client_certificate(mtls: httpx.Client, sandbox: Sandbox) -> None:
    """The certificate of the connection."""
    reply = call(mtls, sandbox, get_token(mtls, sandbox))
    assert reply.json()["certificate_common_name"] == sandbox.username


def test_token_is_valid_with_a_renewed_certificate(mtls: httpx.Client, sandbox: Sandbox) -> None:
    """The account matters, not the certificate of the token request."""
    token = get_token(mtls, sandbox)
    with mtls_client(sandbox, sandbox.issue_certificate(key_type="rsa")) as renewed:
        assert call(renewed, sandbox, token).status_code == 200


def test_token_is_refused_with_the_certificate_of_another_account(mtls: httpx.Client, sandbox: Sandbox) -> None:
    """403 and not 401: a new token would not help."""
    token = get_token(mtls, sandbox)
    with mtls_client(sandbox, sandbox.issue_certificate("somebody-else")) as other:
        assert_refused(call(other, sandbox, token), 403, MISMATCH)


def test_token_issued_with_a_certificate_needs_it(mtls: httpx.Client, api: httpx.Client, sandbox: Sandbox) -> None:
    """It stays valid with the certificate."""
    token = get_token(mtls, sandbox)
    assert_refused(call(api, sandbox, token), 401, INACTIVE)
    assert call(mtls, sandbox, token).status_code == 200


def test_token_issued_without_a_certificate_is_refused_with_one(
    mtls: httpx.Client, api: httpx.Client, sandbox: Sandbox
) -> None:
    """An application uses one host for token and API requests."""
    token = get_token(api, sandbox)
    assert_refused(call(mtls, sandbox, token), 401, INACTIVE)
    assert call(api, sandbox, token).status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/v1"),
        ("GET", "/v1/echo/"),
        ("GET", "/V1/ECHO"),
        ("POST", ACCOUNTS_PATH),
        ("GET", f"{ACCOUNTS_PATH}/1"),
    ],
)
def test_other_paths_are_not_found(method: str, path: str, api: httpx.Client, sandbox: Sandbox) -> None:
    """404 with a token, 401 without."""
    headers = api_headers(sandbox, get_token(api, sandbox))
    assert_refused(api.request(method, path, headers=headers), 404, "gateway.resource.unknown")
    assert_refused(api.request(method, path), 401, AUTHENTICATION)


# The list of accounts


@pytest.fixture
def pages(api: httpx.Client, sandbox: Sandbox) -> httpx.Client:
    """A client whose requests have an active token."""
    api.headers.update(api_headers(sandbox, get_token(api, sandbox)))
    return api


@pytest.mark.parametrize(("limit", "sizes"), [(None, [50, 50, 20]), (50, [50, 50, 20]), (49, [49, 49, 22])])
def test_cursor_leads_through_the_list(limit: int | None, sizes: list[int], pages: httpx.Client) -> None:
    """Every account occurs once, in order; the last page has no cursor."""
    found: list[list[str]] = []
    params: dict[str, str | int] = {} if limit is None else {"limit": limit}
    while True:
        page = pages.get(ACCOUNTS_PATH, params=params).json()
        found.append([account["externalId"] for account in page["accounts"]])
        if page["nextCursor"] is None:
            break
        params["cursor"] = page["nextCursor"]
    assert [len(page) for page in found] == sizes
    names = [name for page in found for name in page]
    assert names == sorted(set(names))


@pytest.mark.parametrize(("limit", "is_last"), [(19, False), (20, True)])
def test_page_with_the_last_account_has_no_cursor(limit: int, is_last: bool, pages: httpx.Client) -> None:
    """Even if the page is full."""
    cursor = None
    for _ in range(2):
        page = pages.get(ACCOUNTS_PATH, params={"cursor": cursor} if cursor else {}).json()
        cursor = page["nextCursor"]
    page = pages.get(ACCOUNTS_PATH, params={"cursor": cursor, "limit": limit}).json()
    assert (page["nextCursor"] is None) is is_last


def test_cursor_is_base64_of_sequential_properties(pages: httpx.Client) -> None:
    """As documented."""
    page = pages.get(ACCOUNTS_PATH, params={"limit": 1}).json()
    cursor = json.loads(base64.b64decode(page["nextCursor"], validate=True))
    assert cursor == {"externalId": page["accounts"][0]["externalId"]}


@pytest.mark.parametrize(
    ("limit", "status"),
    [
        ("1", 200),
        ("50", 200),
        ("0", 400),
        ("51", 400),
        ("-1", 400),
        ("", 400),
        ("1.0", 400),
        ("ten", 400),
        ("٣", 400),
        ("9" * 5000, 400),
    ],
)
def test_limit_must_be_one_to_fifty(limit: str, status: int, pages: httpx.Client) -> None:
    """The error names the field."""
    reply = pages.get(ACCOUNTS_PATH, params={"limit": limit})
    assert reply.status_code == status
    if status == 400:
        assert assert_refused(reply, 400, INVALID)["errors"][0]["field"] == "limit"


@pytest.mark.parametrize("cursor", ["", "x", "!", base64.b64encode(b'{"externalId": "ACC-9999"}').decode()])
def test_cursor_must_come_from_a_page(cursor: str, pages: httpx.Client) -> None:
    """Any other cursor is a 400."""
    reply = pages.get(ACCOUNTS_PATH, params={"cursor": cursor})
    assert assert_refused(reply, 400, INVALID)["errors"][0]["field"] == "cursor"


# The echo


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "REPORT"])
def test_echo_describes_the_request(method: str, api: httpx.Client, sandbox: Sandbox) -> None:
    """With any method; the body by its length and digest."""
    content = b"body of the call"
    headers = {**api_headers(sandbox, get_token(api, sandbox)), "X-One": "1"}
    reply = api.request(method, f"{ECHO_PATH}?a=1&a=2&b=", headers=headers, content=content)
    body = reply.json()
    assert body["headers"].pop("x-one") == "1"
    assert body["headers"].pop("host") == api.base_url.netloc.decode()
    assert {key: value for key, value in body.items() if key != "headers"} == {
        "method": method,
        "path": ECHO_PATH,
        "query": [["a", "1"], ["a", "2"], ["b", ""]],
        "body_length": len(content),
        "body_sha256": hashlib.sha256(content).hexdigest(),
        "certificate_common_name": None,
    }


def test_echo_of_head_has_no_body(api: httpx.Client, sandbox: Sandbox) -> None:
    """HEAD is allowed."""
    reply = api.head(ECHO_PATH, headers=api_headers(sandbox, get_token(api, sandbox)))
    assert (reply.status_code, reply.content) == (200, b"")


def test_echo_leaves_out_secrets(api: httpx.Client, sandbox: Sandbox) -> None:
    """The token, the AppKey and cookies."""
    token = get_token(api, sandbox)
    headers = {
        **api_headers(sandbox, token),
        "Cookie": "session=kept-secret",
        "Proxy-Authorization": "Basic kept-secret",
        "X-SSL-Client-Cert": "kept-secret",
    }
    reply = api.get(ECHO_PATH, headers=headers)
    assert reply.status_code == 200
    for secret in (token, sandbox.client_id, "kept-secret"):
        assert secret not in reply.text


def test_echo_joins_repeated_headers(api: httpx.Client, sandbox: Sandbox) -> None:
    """RFC 9110 §5.3."""
    headers = [*api_headers(sandbox, get_token(api, sandbox)).items(), ("X-Two", "a"), ("x-two", "b")]
    assert api.get(ECHO_PATH, headers=headers).json()["headers"]["x-two"] == "a, b"


def test_echo_accepts_a_large_body_in_chunks(api: httpx.Client, sandbox: Sandbox) -> None:
    """More than 1 MiB."""
    headers = api_headers(sandbox, get_token(api, sandbox))
    reply = api.put(ECHO_PATH, headers=headers, content=(b"x" * 65536 for _ in range(40)))
    assert reply.json()["body_length"] == 40 * 65536

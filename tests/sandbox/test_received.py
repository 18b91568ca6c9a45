"""The requests that arrived, for tests to assert on."""

from __future__ import annotations

import concurrent.futures
import json
from collections.abc import Iterator

import httpx
import pytest

from seic.sandbox import Sandbox
from seic.sandbox._control.control_server import ControlServer
from tests._support.sandbox_client import (
    ECHO_PATH,
    api_client,
    api_headers,
    ask_token,
    call,
    get_token,
    mtls_client,
    token_form,
)


def test_the_values_of_a_request(sandbox: Sandbox, mtls: httpx.Client, api: httpx.Client) -> None:
    """Method, path, query, headers, body, certificate and status."""
    token = get_token(mtls, sandbox)
    body = json.dumps({"amount": 1}).encode()
    headers = {**api_headers(sandbox, token), "X-Order": "7"}
    mtls.post(ECHO_PATH, params={"a": "1"}, headers=headers, content=body)
    api.get("/nowhere")
    asked, posted, lost = sandbox.received()
    assert [each.number for each in (asked, posted, lost)] == [1, 2, 3]
    assert [each.kind for each in (asked, posted, lost)] == ["token", "api", "api"]
    assert [each.status for each in (asked, posted, lost)] == [200, 200, 401]
    assert (asked.method, asked.path, asked.host) == ("POST", "/v2/oauthtoken", "mtls")
    assert httpx.QueryParams(asked.body.decode())["username"] == token_form(sandbox)["username"]
    assert (posted.query, posted.headers["x-order"], posted.body) == ({"a": "1"}, "7", body)
    assert posted.common_name == sandbox.username
    assert posted.thumbprint is not None
    assert (lost.host, lost.common_name, lost.thumbprint) == ("api", None, None)


def test_a_selection(sandbox: Sandbox, api: httpx.Client) -> None:
    """By path, method and kind; the requests can be forgotten."""
    token = get_token(api, sandbox)
    call(api, sandbox, token)
    call(api, sandbox, token, "/nowhere")
    assert [each.number for each in sandbox.received(path=ECHO_PATH)] == [2]
    assert [each.number for each in sandbox.received(kind="api")] == [2, 3]
    assert [each.number for each in sandbox.received(method="POST")] == [1]
    assert sandbox.received(path=ECHO_PATH, method="POST") == []
    sandbox.clear_received()
    assert sandbox.received() == []
    call(api, sandbox, token)
    assert [each.number for each in sandbox.received()] == [4]


def test_a_request_without_a_response(sandbox: Sandbox) -> None:
    """It is there on arrival, and has no status yet."""
    with (
        concurrent.futures.ThreadPoolExecutor(1) as pool,
        api_client(sandbox) as client,
        sandbox.hold_tokens() as hold,
    ):
        asked = pool.submit(ask_token, client, sandbox)
        hold.wait_for(1)
        assert [each.status for each in sandbox.received()] == [None]
        hold.release()
        asked.result(timeout=30)
        assert [each.status for each in sandbox.received()] == [200]


def test_the_name_of_a_fault(sandbox: Sandbox, api: httpx.Client) -> None:
    """That was applied."""
    sandbox.inject("503")
    ask_token(api, sandbox)
    ask_token(api, sandbox)
    assert [(each.fault, each.status) for each in sandbox.received()] == [("503", 503), (None, 200)]


def test_a_large_body_and_many_requests_are_kept_in_part(sandbox: Sandbox, api: httpx.Client) -> None:
    """64 KiB of a body, and 1,000 requests."""
    token = get_token(api, sandbox)
    api.post(ECHO_PATH, headers=api_headers(sandbox, token), content=b"x" * 200_000)
    assert len(sandbox.received()[-1].body) == 65536
    for _ in range(1000):
        api.get("/")
    assert [each.number for each in sandbox.received()] == [*range(3, 1003)]


def test_a_listener(sandbox: Sandbox, api: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    """It is called twice for each request, until its end; one that fails is logged and affects nothing."""
    statuses: list[int | None] = []

    def fail(_request: object) -> None:
        raise RuntimeError("s3cret")

    end_of_failing = sandbox.on_received(fail)
    end = sandbox.on_received(lambda request: statuses.append(request.status))
    assert ask_token(api, sandbox).status_code == 200
    assert statuses == [None, 200]
    end()
    end_of_failing()
    ask_token(api, sandbox)
    assert statuses == [None, 200]
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == [
        "a listener for received requests failed: RuntimeError"
    ] * 2


def test_no_secret_is_in_the_repr(sandbox: Sandbox, mtls: httpx.Client) -> None:
    """Of a token request or an API request."""
    token = get_token(mtls, sandbox)
    mtls.get(ECHO_PATH, params={"key": "s3cret-query"}, headers=api_headers(sandbox, token))
    text = repr(sandbox.received())
    for secret in (token, sandbox.client_secret, sandbox.password, "s3cret-query"):
        assert secret not in text


@pytest.fixture
def control(sandbox: Sandbox) -> Iterator[httpx.Client]:
    """A client of the control."""
    with (
        ControlServer(sandbox) as server,
        httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {server.token}"}) as client,
    ):
        yield client


def test_by_http(sandbox: Sandbox, mtls: httpx.Client, control: httpx.Client) -> None:
    """Without secrets, which a client may send by mistake."""
    token = get_token(mtls, sandbox)
    mtls.get(ECHO_PATH, params={"key": "s3cret-query"}, headers=api_headers(sandbox, token))
    reply = control.get("/received", params={"path": ECHO_PATH})
    (found,) = reply.json()["received"]
    assert (found["method"], found["path"], found["status"]) == ("GET", ECHO_PATH, 200)
    assert (found["common_name"], found["has_token"], found["has_app_key"]) == (sandbox.username, True, True)
    text = control.get("/received").text
    for secret in (token, sandbox.client_id, sandbox.client_secret, sandbox.password, "s3cret-query"):
        assert secret not in text
    counts = control.get("/counts").json()
    assert (counts["token_requests"], counts["mtls"]["api_calls"]) == (1, 1)
    assert control.delete("/received").status_code == 204
    assert control.get("/received").json() == {"received": []}


@pytest.mark.usefixtures("sandbox")
def test_a_certificate_of_another_account(sandbox: Sandbox) -> None:
    """Its name arrives, and the refusal is the status."""
    with mtls_client(sandbox, sandbox.issue_certificate("other")) as client:
        ask_token(client, sandbox)
    (request,) = sandbox.received()
    assert (request.common_name, request.status) == ("other", 403)

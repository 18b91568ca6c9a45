"""Tracking ids, error responses and the log of every request."""

from __future__ import annotations

import gzip
import logging
import uuid

import httpx
import pytest

from seic.sandbox import Sandbox
from tests._support.sandbox_client import (
    ACCOUNTS_PATH,
    ECHO_PATH,
    api_client,
    api_headers,
    ask_token,
    assert_refused,
    call,
    get_token,
    token_form,
    token_headers,
)


def test_every_response_has_its_own_tracking_id(api: httpx.Client, sandbox: Sandbox) -> None:
    """Success, error and planned failure; each id is a UUID."""
    token = get_token(api, sandbox)
    sandbox.fail_tokens()
    replies = [
        ask_token(api, sandbox),
        ask_token(api, sandbox),
        ask_token(api, sandbox, {"grant_type": "x"}),
        call(api, sandbox, token),
        call(api, sandbox, token, ACCOUNTS_PATH),
        call(api, sandbox, token, "/nowhere"),
        call(api, sandbox, "dead"),
    ]
    assert [reply.status_code for reply in replies] == [503, 200, 400, 200, 200, 404, 401]
    assert len({uuid.UUID(reply.headers["requesttrackingid"]) for reply in replies}) == len(replies)


@pytest.mark.parametrize(
    ("challenge", "token", "header"),
    [
        pytest.param(False, "dead", None, id="off"),
        pytest.param(False, None, None, id="off, no token"),
        pytest.param(True, "dead", 'Bearer error="invalid_token"', id="on"),
        pytest.param(True, None, "Bearer", id="on, no token"),
    ],
)
def test_challenge_is_optional(challenge: bool, token: str | None, header: str | None) -> None:
    """With it, a 401 of the API has the header of RFC 6750 §3."""
    with Sandbox(challenge=challenge) as sandbox, api_client(sandbox) as client:
        headers = {"AppKey": sandbox.client_id} if token is None else api_headers(sandbox, token)
        reply = client.get(ECHO_PATH, headers=headers)
        assert reply.status_code == 401
        assert reply.headers.get("WWW-Authenticate") == header


def test_token_endpoint_of_the_gateway_sends_no_challenge() -> None:
    """The setting is only for the API."""
    with Sandbox(challenge=True) as sandbox, api_client(sandbox) as client:
        reply = client.post("/v2/oauthtoken", data=token_form(sandbox))
        assert (reply.status_code, reply.headers.get("WWW-Authenticate")) == (401, None)


def test_internal_error_is_a_500_without_details(
    api: httpx.Client, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the response nor the log has the message of the exception; the log has its class and the tracking id."""

    def fail(_registry: object, token: str) -> None:
        raise RuntimeError(f"cannot find {token}")

    monkeypatch.setattr("seic.sandbox._token_registry.TokenRegistry.find", fail)
    reply = call(api, sandbox, "a-secret-token")
    form = assert_refused(reply, 500, "gateway.internal.error")
    assert form["transient"] == "true"
    assert "a-secret-token" not in reply.text
    assert "a-secret-token" not in caplog.text
    assert f"RuntimeError (tracking id {form['trackingId']})" in caplog.text


@pytest.mark.parametrize("path", ["/v2/oauthtoken", ECHO_PATH])
def test_unreadable_body_is_refused(path: str, api: httpx.Client, sandbox: Sandbox) -> None:
    """A body that does not match its content encoding is the client's error."""
    headers = token_headers(sandbox) if path == "/v2/oauthtoken" else api_headers(sandbox, get_token(api, sandbox))
    headers |= {"Content-Encoding": "gzip", "Content-Type": "application/x-www-form-urlencoded"}
    broken = gzip.compress(b"grant_type=x" * 99)[:-20] + b"\0" * 20
    assert_refused(api.post(path, headers=headers, content=broken), 400, "gateway.request.invalid")


def test_log_has_no_secret_and_one_logger(
    api: httpx.Client, mtls: httpx.Client, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    """At DEBUG, the sandbox logs only as `seic.sandbox`, and nothing that a client sent."""
    caplog.set_level(logging.DEBUG)
    tokens = [get_token(client, sandbox) for client in (api, mtls)]
    call(api, sandbox, tokens[0], f"{ACCOUNTS_PATH}?secret=in-the-query")
    call(api, sandbox, tokens[1], "/secret-in-the-path")
    ask_token(api, sandbox, {**token_form(sandbox), "password": "secret-that-is-wrong"})
    ask_token(mtls, sandbox, {"grant_type": "invalidate_token", "access_token": tokens[1]})
    api.post("/v2/oauthtoken", params=token_form(sandbox))
    records = [record for record in caplog.records if record.threadName == "seic-sandbox"]
    # asyncio logs in Python's development mode.
    assert {record.name for record in records} - {"asyncio"} == {"seic.sandbox"}
    text = "\n".join(str(record.__dict__) for record in records)
    assert "token request answered with 200" in text
    for secret in (*tokens, sandbox.client_secret, sandbox.password, sandbox.client_id, "secret"):
        assert secret not in text

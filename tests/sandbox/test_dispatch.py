from __future__ import annotations

import gzip
import logging
import uuid

import httpx
import pytest

from seic.sandbox import Sandbox
from seic.sandbox._token_registry import TokenRegistry
from tests._support.far_side import (
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


def test_every_reply_carries_a_tracking_id_of_its_own(api: httpx.Client, sandbox: Sandbox) -> None:
    """Success, refusal and fault alike; each is a UUID, none comes twice."""
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
def test_challenge_is_a_switch(challenge: bool, token: str | None, header: str | None) -> None:
    """Off, a 401 speaks by its body alone; on, by RFC 6750 §3 too."""
    with Sandbox(challenge=challenge) as sandbox, api_client(sandbox) as client:
        headers = {"AppKey": sandbox.client_id} if token is None else api_headers(sandbox, token)
        reply = client.get(ECHO_PATH, headers=headers)
        assert reply.status_code == 401
        assert reply.headers.get("WWW-Authenticate") == header


def test_token_endpoint_never_challenges() -> None:
    """The switch is the API's."""
    with Sandbox(challenge=True) as sandbox, api_client(sandbox) as client:
        reply = client.post("/v2/oauthtoken", data=token_form(sandbox))
        assert (reply.status_code, reply.headers.get("WWW-Authenticate")) == (401, None)


def test_failure_of_the_sandbox_is_a_500_that_tells_nothing(
    api: httpx.Client, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The error's own words stand neither in the reply nor in the log; the log has its kind and the tracking id."""

    def fail(_registry: TokenRegistry, token: str) -> None:
        raise RuntimeError(f"cannot find {token}")

    monkeypatch.setattr(TokenRegistry, "find", fail)
    reply = call(api, sandbox, "a-secret-token")
    form = assert_refused(reply, 500, "gateway.internal.error")
    assert form["transient"] == "true"
    assert "a-secret-token" not in reply.text
    assert "a-secret-token" not in caplog.text
    assert f"RuntimeError (tracking id {form['trackingId']})" in caplog.text


@pytest.mark.parametrize("path", ["/v2/oauthtoken", ECHO_PATH])
def test_body_that_cannot_be_read_is_refused(path: str, api: httpx.Client, sandbox: Sandbox) -> None:
    """A body that is not what its encoding says is the caller's mistake."""
    headers = token_headers(sandbox) if path == "/v2/oauthtoken" else api_headers(sandbox, get_token(api, sandbox))
    headers |= {"Content-Encoding": "gzip", "Content-Type": "application/x-www-form-urlencoded"}
    broken = gzip.compress(b"grant_type=x" * 99)[:-20] + b"\0" * 20
    assert_refused(api.post(path, headers=headers, content=broken), 400, "gateway.request.invalid")


def test_log_holds_no_secret_and_has_one_name(
    api: httpx.Client, mtls: httpx.Client, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    """At DEBUG, over all kinds of calls, the far side logs as `seic.sandbox` only, and nothing of what it was sent."""
    caplog.set_level(logging.DEBUG)
    tokens = [get_token(client, sandbox) for client in (api, mtls)]
    call(api, sandbox, tokens[0], f"{ACCOUNTS_PATH}?secret=in-the-query")
    call(api, sandbox, tokens[1], "/secret-in-the-path")
    ask_token(api, sandbox, {**token_form(sandbox), "password": "secret-that-is-wrong"})
    ask_token(mtls, sandbox, {"grant_type": "invalidate_token", "access_token": tokens[1]})
    api.post("/v2/oauthtoken", params=token_form(sandbox))
    far_side = [record for record in caplog.records if record.threadName == "seic-sandbox"]
    # A loop in Python's development mode has words of its own.
    assert {record.name for record in far_side} - {"asyncio"} == {"seic.sandbox"}
    text = "\n".join(str(record.__dict__) for record in far_side)
    assert "token call answered 200" in text
    for secret in (*tokens, sandbox.client_secret, sandbox.password, sandbox.client_id, "secret"):
        assert secret not in text

"""Tracking ids in errors and the log, and redaction of secrets that a server echoes."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable, Iterator

import httpx
import pytest

import seic

TOKEN = "the-access-token"
Answer = Callable[[httpx.Request], httpx.Response]


def config() -> seic.Config:
    """Return a configuration for the gateway."""
    return seic.Config(
        provider=seic.SEI_GATEWAY,
        client_id="AppKey-1",
        client_secret="AppSecret-1",
        grant=seic.ClientCredentials(username="svc-user", password="password-1"),
    )


def gateway(api: Answer) -> httpx.MockTransport:
    """Return a transport with a working token endpoint and the given API."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v2/oauthtoken":
            return httpx.Response(200, json={"access_token": TOKEN, "expires_in": "3599", "token_type": "BearerToken"})
        return api(request)

    return httpx.MockTransport(answer)


def body_that_breaks() -> Iterator[bytes]:
    """Yield the start of a body, then lose the connection."""
    yield b"{"
    raise httpx.ReadError("gone")


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param({"content": b"x" * (1024 * 1024 + 1)}, id="too large"),
        pytest.param(
            {"headers": {"Content-Encoding": "br"}, "stream": httpx.ByteStream(b"x")}, id="unsupported encoding"
        ),
        pytest.param({"headers": {"Content-Encoding": "gzip"}, "stream": httpx.ByteStream(b"x")}, id="invalid gzip"),
        pytest.param({"content": body_that_breaks()}, id="truncated"),
        pytest.param({"content": b"<html>"}, id="not JSON"),
    ],
)
def test_an_error_in_the_body_keeps_the_tracking_id(reply: dict[str, object]) -> None:
    """The id is in the headers, so an invalid body does not lose it."""

    def answer(_request: httpx.Request) -> httpx.Response:
        response = httpx.Response(200, **reply)  # type: ignore[arg-type]
        response.headers["requesttrackingid"] = "TID-77"
        return response

    with (
        seic.Client(config(), transport=httpx.MockTransport(answer)) as client,
        pytest.raises(seic.TokenError) as caught,
    ):
        client.token()
    assert caught.value.tracking_id == "TID-77"


def test_each_redirect_is_logged_with_its_id(caplog: pytest.LogCaptureFixture) -> None:
    """Redirects within the origin are logged as other responses."""

    def api(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/old":
            return httpx.Response(302, headers={"Location": "/new", "requesttrackingid": "FIRST"})
        return httpx.Response(200, headers={"requesttrackingid": "SECOND"})

    caplog.set_level(logging.INFO, "seic.api")
    with seic.Client(config(), transport=gateway(api), follow_redirects=True) as client:
        client.get("/old")
    assert [record.getMessage().rpartition("=")[2] for record in caplog.records] == ["FIRST", "SECOND"]


def test_a_retried_response_is_logged_with_its_id(caplog: pytest.LogCaptureFixture) -> None:
    """The caller does not see this response, but its id is in the log."""
    replies = iter([503, 200])

    def api(_request: httpx.Request) -> httpx.Response:
        status = next(replies)
        return httpx.Response(status, headers={"requesttrackingid": f"CALL-{status}", "Retry-After": "0"})

    caplog.set_level(logging.INFO, "seic.api")
    with seic.Client(config(), transport=gateway(api), retry=seic.Retry()) as client:
        assert client.get("/x").status_code == 200
    assert "CALL-503" in caplog.text
    assert "CALL-200" in caplog.text


@pytest.mark.parametrize("form", ["gateway", "none"])
def test_a_token_that_the_api_echoes_is_redacted(form: str, caplog: pytest.LogCaptureFixture) -> None:
    """Neither the error, nor its pickle, nor the log contains it."""

    def api(_request: httpx.Request) -> httpx.Response:
        headers = {"requesttrackingid": f"id-of-{TOKEN}"}
        if form == "none":
            return httpx.Response(400, headers=headers, extensions={"reason_phrase": TOKEN.encode()})
        reason = {"field": TOKEN, "location": TOKEN, "reason": f"no such {TOKEN}"}
        body = {"code": f"x.{TOKEN}", "message": f"bad token {TOKEN}", "transient": "false", "errors": [reason]}
        return httpx.Response(400, headers=headers, json=body)

    caplog.set_level(logging.DEBUG)
    with seic.Client(config(), transport=gateway(api)) as client:
        reply = client.get("/x")
        with pytest.raises(seic.ApiError) as caught:
            seic.raise_for_status(reply)
    # httpx logs a server's reason phrase unchanged, with its own logger.
    logged = [record.getMessage() for record in caplog.records if record.name.startswith("seic")]
    shown = f"{caught.value} {vars(caught.value)} {logged}"
    assert TOKEN not in shown
    assert TOKEN.encode() not in pickle.dumps(caught.value)
    assert "tracking_id=None" in shown

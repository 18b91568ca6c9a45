"""Tracking ids reach errors and the log from every reply, and what a server echoes of ours does not."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable, Iterator

import httpx
import pytest

import seic

TOKEN = "a-token-of-ours"
Answer = Callable[[httpx.Request], httpx.Response]


def config() -> seic.Config:
    """Settings of the gateway."""
    return seic.Config(
        provider=seic.SEI_GATEWAY,
        client_id="AppKey-1",
        client_secret="AppSecret-1",
        grant=seic.ClientCredentials(username="svc-user", password="password-1"),
    )


def gateway(api: Answer) -> httpx.MockTransport:
    """Return a transport whose token call works and whose API answers so."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v2/oauthtoken":
            return httpx.Response(200, json={"access_token": TOKEN, "expires_in": "3599", "token_type": "BearerToken"})
        return api(request)

    return httpx.MockTransport(answer)


def body_that_breaks() -> Iterator[bytes]:
    """A body whose connection is lost in the middle."""
    yield b"{"
    raise httpx.ReadError("gone")


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param({"content": b"x" * (1024 * 1024 + 1)}, id="too large"),
        pytest.param(
            {"headers": {"Content-Encoding": "br"}, "stream": httpx.ByteStream(b"x")}, id="compressed unasked"
        ),
        pytest.param({"headers": {"Content-Encoding": "gzip"}, "stream": httpx.ByteStream(b"x")}, id="bad gzip"),
        pytest.param({"content": body_that_breaks()}, id="cut off"),
        pytest.param({"content": b"<html>"}, id="no JSON"),
    ],
)
def test_an_error_of_a_reply_whose_head_arrived_carries_its_id(reply: dict[str, object]) -> None:
    """What goes wrong with the body does not lose what support asks for."""

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


def test_each_hop_is_logged_with_its_id(caplog: pytest.LogCaptureFixture) -> None:
    """A redirect within the origin is a reply like any other."""

    def api(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/old":
            return httpx.Response(302, headers={"Location": "/new", "requesttrackingid": "FIRST"})
        return httpx.Response(200, headers={"requesttrackingid": "SECOND"})

    caplog.set_level(logging.INFO, "seic.api")
    with seic.Client(config(), transport=gateway(api), follow_redirects=True) as client:
        client.get("/old")
    assert [record.getMessage().rpartition("=")[2] for record in caplog.records] == ["FIRST", "SECOND"]


def test_a_reply_that_was_retried_is_logged_with_its_id(caplog: pytest.LogCaptureFixture) -> None:
    """What a retry swallows is what support will ask for."""
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
def test_an_api_that_echoes_the_token_does_not_have_it_repeated(form: str, caplog: pytest.LogCaptureFixture) -> None:
    """Neither the error, nor its pickle, nor the log holds it."""

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
    # httpx logs a server's reason phrase as it is, under a name of its own.
    logged = [record.getMessage() for record in caplog.records if record.name.startswith("seic")]
    shown = f"{caught.value} {vars(caught.value)} {logged}"
    assert TOKEN not in shown
    assert TOKEN.encode() not in pickle.dumps(caught.value)
    assert "tracking_id=None" in shown

"""The log of requests: one line each, without the query, with attributes for structured logs."""

from __future__ import annotations

import json
import logging
from typing import Any

import httpx
import httpx2
import pytest

import seic
from seic.testing import MockProvider
from tests._support.mocks import client_of

_SECRET = "api_key=sesame"


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the lines about API requests, of all loggers."""
    return [record.getMessage() for record in caplog.records if "/v1/accounts" in record.getMessage()]


async def test_info_has_one_line_for_each_request(gateway: MockProvider, caplog: pytest.LogCaptureFixture) -> None:
    """That of seic, which has the tracking id; httpx would log the query."""
    with caplog.at_level(logging.INFO):
        async with client_of(gateway) as client:
            await client.get(f"/v1/accounts?{_SECRET}")
            gateway.revoke("token-1")
            await client.get("/v1/accounts")

    assert [line.split(" tracking_id")[0] for line in lines(caplog)] == [
        "GET https://api.example/v1/accounts 200",
        "GET https://api.example/v1/accounts 401",
        "GET https://api.example/v1/accounts 200",
    ]
    assert "sesame" not in caplog.text


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
def test_a_client_of_your_own_logs_each_request_once(
    library: Any, gateway: MockProvider, caplog: pytest.LogCaptureFixture
) -> None:
    """With `auth=OAuth2Auth(...)`, in both libraries."""
    auth = seic.OAuth2Auth(gateway.config(), transport=gateway)
    with caplog.at_level(logging.INFO):
        mock = library.MockTransport(lambda request: library.Response(200))
        with library.Client(auth=auth, transport=mock) as client:
            client.get(f"https://api.example/v1/accounts?{_SECRET}")

    assert len(lines(caplog)) == 1
    assert "sesame" not in caplog.text


def test_other_requests_are_logged_by_httpx_as_before(gateway: MockProvider, caplog: pytest.LogCaptureFixture) -> None:
    """Also after a request of seic has failed."""

    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("down", request=request)

    auth = seic.OAuth2Auth(gateway.config(), transport=gateway)
    with caplog.at_level(logging.INFO):
        with (
            httpx.Client(auth=auth, transport=httpx.MockTransport(refuse)) as client,
            pytest.raises(httpx.ConnectError),
        ):
            client.get("https://api.example/v1/accounts")
        with httpx.Client(transport=httpx.MockTransport(lambda request: httpx.Response(200))) as other:
            other.get("https://other.example/v1/accounts?page=2")

    assert lines(caplog) == ['HTTP Request: GET https://other.example/v1/accounts?page=2 "HTTP/1.1 200 OK"']


def test_without_seics_line_httpx_logs_no_query(gateway: MockProvider, caplog: pytest.LogCaptureFixture) -> None:
    """An application may switch off `seic.api` alone."""
    caplog.set_level(logging.WARNING, logger="seic.api")
    caplog.set_level(logging.INFO)
    with seic.Client(gateway.config(), transport=gateway) as client:
        client.get(f"/v1/accounts?{_SECRET}")

    assert lines(caplog) == ['HTTP Request: GET https://api.example/v1/accounts "HTTP/1.1 200 OK"']


async def test_a_record_has_attributes_for_structured_logs(
    gateway: MockProvider, caplog: pytest.LogCaptureFixture
) -> None:
    """`json.dumps` takes each of them."""
    with caplog.at_level(logging.INFO):
        async with client_of(gateway) as client:
            await client.get("/v1/accounts")

    (record,) = (record for record in caplog.records if record.name == "seic.api")
    extra = {name: vars(record)[name] for name in ("method", "url", "status", "tracking_id")}
    assert extra == {
        "method": "GET",
        "url": "https://api.example/v1/accounts",
        "status": 200,
        "tracking_id": extra["tracking_id"],
    }
    assert json.dumps(extra)


async def test_the_description_of_a_token_is_logged_like_a_response(caplog: pytest.LogCaptureFixture) -> None:
    """`token_info()` is a request of the API too."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/token":
            return httpx.Response(200, json={"access_token": "token-1", "token_type": "Bearer", "expires_in": 60})
        return httpx.Response(200, json={"active": True})

    config = seic.Config(
        provider=seic.Provider(token_url="/token", introspection_url="/introspect"),
        hosts=seic.Hosts(api="idp.example"),
        client_id="client-1",
        client_secret="secret-1",
        grant=seic.ClientCredentials(),
    )
    with caplog.at_level(logging.INFO):
        async with seic.AsyncClient(config, transport=httpx.MockTransport(answer)) as client:
            await client.token_info()

    (record,) = (record for record in caplog.records if record.name == "seic.api")
    assert {name: vars(record)[name] for name in ("method", "url", "status", "tracking_id")} == {
        "method": "POST",
        "url": "https://idp.example/introspect",
        "status": 200,
        "tracking_id": None,
    }

"""A login that fails by a fault of the application or the provider: the user is not blamed, and operators are told."""

from __future__ import annotations

import logging
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from fastapi.testclient import TestClient

from tests._support.login_site import Site, cookies_of, login_cookie
from tests._support.platform_mock import PlatformMock

_WRONG_SECRET = [
    pytest.param(401, {"error": "invalid_client"}, id="RFC 6749"),
    pytest.param(400, {"error": "INVALID_CLIENT"}, id="in capitals"),
    pytest.param(200, {"error": "incorrect_client_credentials"}, id="under 200"),
    pytest.param(401, {"error": "unauthorized_client", "message": "Invalid client secret"}, id="another code"),
    pytest.param(401, {"message": "Client authentication failed"}, id="in words"),
    pytest.param(401, {}, id="a bare 401"),
    pytest.param(403, {"code": "E4711", "message": "no"}, id="a code of digits"),
]


def callback_of(site: Site, browser: TestClient) -> str:
    """Log a user in at the provider, and return the address of the callback."""
    return site.platform.log_in(browser.get("/login").headers["Location"])


@pytest.mark.parametrize(("status", "body"), _WRONG_SECRET)
def test_a_wrong_client_secret_is_not_the_users_fault(
    status: int, body: Any, site: Site, browser: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    """The page says so, and the log names the variables of the client, not those of an account."""
    callback = callback_of(site, browser)
    site.platform.token_responses.append(httpx.Response(status, json=body))
    reply = browser.get(callback)

    assert reply.status_code == 502
    for words in ("Login out of order", "not your fault", "operators were told", '<a href="/login">'):
        assert words in reply.text
    assert "default-src 'none'" in reply.headers["Content-Security-Policy"]
    assert reply.headers["Cache-Control"] == "no-store"
    assert cookies_of(reply)[login_cookie(cookies_of(reply))]["max-age"] == "0"
    (record,) = [each for each in caplog.records if each.name == "seic.fastapi"]
    assert record.levelno == logging.ERROR
    assert "SEIC_CLIENT_ID, SEIC_CLIENT_SECRET" in record.getMessage()
    assert "SEIC_USERNAME" not in record.getMessage()
    assert "secret-1" not in record.getMessage() + reply.text


@pytest.mark.parametrize(
    ("answer", "status", "title"),
    [
        pytest.param(
            httpx.Response(400, json={"error": "redirect_uri_mismatch"}), 502, "Login out of order", id="settings"
        ),
        pytest.param(
            httpx.Response(400, json={"error": "unsupported_grant_type"}), 502, "Login out of order", id="grant"
        ),
        pytest.param(httpx.Response(200, text="<html>"), 502, "Login out of order", id="a page in place of a token"),
        pytest.param(httpx.Response(404), 502, "Login out of order", id="another address"),
        pytest.param(httpx.Response(503), 503, "Login unavailable", id="an outage"),
        pytest.param(httpx.ConnectTimeout("slow"), 504, "Login unavailable", id="a timeout"),
    ],
)
@pytest.mark.parametrize("accept", ["text/html,*/*", "application/json"])
def test_other_faults(
    answer: Any, status: int, title: str, accept: str, platform: PlatformMock, caplog: pytest.LogCaptureFixture
) -> None:
    """A page for people, problem details for programs; operators find an error in the log."""
    site = Site(platform)
    with site as browser:
        callback = callback_of(site, browser)
        platform.token_responses.extend([answer] * 2)
        reply = browser.get(callback, headers={"Accept": accept})

    assert reply.status_code == status
    assert reply.headers["Content-Type"].startswith("text/html" if "html" in accept else "application/problem+json")
    assert (title in reply.text) is ("html" in accept)
    assert ("Retry-After" in reply.headers) is (status == 503)
    assert [each.levelname for each in caplog.records if each.name == "seic.fastapi"] == ["ERROR"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"error": "invalid_grant"}, 400),
        ({"error": "INVALID_GRANT"}, 400),
        ({"error": "bad_verification_code"}, 400),
        ({"error": "invalid_request", "message": "The authorization code has expired"}, 400),
    ],
)
def test_an_old_code_is_a_matter_of_the_user(body: Any, status: int, site: Site, browser: TestClient) -> None:
    """The user logs in again; the application is in order."""
    callback = callback_of(site, browser)
    site.platform.token_responses.append(httpx.Response(400, json=body))
    reply = browser.get(callback)
    assert reply.status_code == status
    assert "Login failed" in reply.text


@pytest.mark.parametrize(
    ("code", "status", "title"),
    [
        ("unauthorized_client", 502, "Login out of order"),
        ("invalid_scope", 502, "Login out of order"),
        ("unsupported_response_type", 502, "Login out of order"),
        ("server_error", 503, "Login unavailable"),
        ("temporarily_unavailable", 503, "Login unavailable"),
        ("redirect_uri_mismatch", 502, "Login out of order"),
        ("InvalidScope", 502, "Login out of order"),
        ("access_denied", 400, "Login cancelled"),
        ("ACCESS_DENIED", 400, "Login cancelled"),
        ("consent_required", 400, "Login failed"),
    ],
)
def test_errors_of_an_authorization_response(
    code: str, status: int, title: str, site: Site, browser: TestClient
) -> None:
    """A registration that is wrong is a fault of the application (RFC 6749 §4.1.2.1)."""
    state = parse_qs(urlsplit(browser.get("/login").headers["Location"]).query)["state"][0]
    reply = browser.get(f"/login/callback?error={code}&state={state}")
    assert reply.status_code == status
    assert title in reply.text


def test_a_strangers_error_is_no_fault_of_the_application(browser: TestClient) -> None:
    """Another site can send a browser to the callback; operators are not alarmed by it."""
    reply = browser.get("/login/callback?error=unauthorized_client&state=x")
    assert reply.status_code == 400

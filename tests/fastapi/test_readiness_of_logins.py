"""Readiness of logins."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from cryptography.fernet import Fernet
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.routing import Mount

from seic.fastapi import Logins, lifespan, readiness_route
from seic.testing import MockProvider
from tests._support.platform_mock import CALLBACK, PlatformMock
from tests._support.readiness import BROWSER, certificate


def logins_of(platform: PlatformMock, **changes: Any) -> Logins:
    """Return logins at the platform."""
    config = platform.config(**changes)
    return Logins(config, callback_url=CALLBACK, key=Fernet.generate_key(), transport=platform)


def site_of(logins: Logins, run: Any = None) -> TestClient:
    """Return a browser at an application with logins and a readiness route."""
    app = Starlette(routes=[*logins.routes, readiness_route("/ready")], lifespan=run or logins.lifespan)
    return TestClient(app, base_url="https://app.example", follow_redirects=False)


def log_in(platform: PlatformMock, browser: TestClient) -> int:
    """Log a user in, and return the status of the callback."""
    return browser.get(platform.log_in(browser.get("/login").headers["Location"])).status_code


def test_logins_need_no_client() -> None:
    """An application with logins only is ready before the first login."""
    with site_of(logins_of(PlatformMock())) as browser:
        reply = browser.get("/ready")
        page = browser.get("/ready", headers=BROWSER)

    assert reply.status_code == 200
    assert {name: reply.json()[name] for name in ("status", "clients", "logins")} == {
        "status": "idle",
        "clients": {},
        "logins": {"seic": {"status": "idle", "problems": [], "certificate": None, "last_error": None}},
    }
    for word in ("Not tried yet", "seic", "logins", "none yet", "nobody has logged in since the start"):
        assert word in page.text


def test_failing_logins_are_a_warning_until_one_succeeds() -> None:
    """Users who are logged in are not affected, so the instance stays in service."""
    platform = PlatformMock()
    with site_of(logins_of(platform)) as browser:
        platform.token_responses.extend([httpx.Response(503)] * 2)
        assert log_in(platform, browser) == 503
        amber = browser.get("/ready")
        amber_page = browser.get("/ready", headers=BROWSER).text
        assert log_in(platform, browser) == 303
        green = browser.get("/ready")
        green_page = browser.get("/ready", headers=BROWSER).text

    assert (amber.status_code, amber.json()["status"]) == (200, "warn")
    assert amber.json()["logins"]["seic"]["last_error"]["what"] == "token endpoint down"
    assert "failing" in amber_page
    assert green.json()["status"] == "pass"
    assert green.json()["logins"]["seic"]["last_error"] == amber.json()["logins"]["seic"]["last_error"]
    assert "working" in green_page
    assert "api.example" not in amber.text + amber_page


@pytest.mark.parametrize(
    ("code", "word", "what"),
    [
        pytest.param("invalid_grant", "idle", None, id="a user's code"),
        pytest.param("INVALID_GRANT", "idle", None, id="in another spelling"),
        pytest.param("bad_verification_code", "idle", None, id="in other words"),
        pytest.param("invalid_client", "warn", "token refused", id="the application's secret"),
        pytest.param("invalidClient", "warn", "token refused", id="the secret in another spelling"),
        pytest.param("", "warn", "token refused", id="without a code"),
    ],
)
def test_only_a_refusal_of_the_application_is_a_warning(code: str, word: str, what: str | None) -> None:
    """One user's expired code says nothing about other logins; the remedy names the client's secret."""
    platform = PlatformMock()
    with site_of(logins_of(platform)) as browser:
        platform.token_responses.append(httpx.Response(401, json={"error": code}))
        assert log_in(platform, browser) == (400 if what is None else 502)
        seen = browser.get("/ready").json()["logins"]["seic"]

    remedies = "".join(problem["remedy"] for problem in seen["problems"])
    assert ("SEIC_CLIENT_SECRET" in remedies) is (what is not None)
    assert "SEIC_USERNAME" not in remedies

    assert seen["status"] == word
    assert (seen["last_error"] and seen["last_error"]["what"]) == what


@pytest.mark.parametrize(
    ("left", "status", "word"), [(31, 200, "idle"), (29, 200, "warn"), (2.9, 503, "fail")], ids=str
)
def test_the_certificate_of_logins_counts_like_a_clients(left: float, status: int, word: str) -> None:
    """Without it no user can log in."""
    with site_of(logins_of(PlatformMock(), certificate=certificate(left=left))) as browser:
        reply = browser.get("/ready")

    assert (reply.status_code, reply.json()["status"]) == (status, word)
    assert reply.json()["logins"]["seic"]["certificate"]["status"] == ("pass" if word == "idle" else word)


def test_unused_logins_do_not_hide_that_a_client_works(gateway: MockProvider) -> None:
    """An application whose users sleep is ready."""
    logins = logins_of(PlatformMock())
    run = lifespan(gateway.config(), also=logins.lifespan, transport=gateway, warm=True)
    with site_of(logins, run) as browser:
        document = browser.get("/ready").json()
        page = browser.get("/ready", headers=BROWSER).text

    assert document["status"] == document["clients"]["default"]["status"] == "pass"
    assert document["logins"]["seic"]["status"] == "idle"
    assert "Not everything below has been tried yet." in page


def test_clients_and_logins_are_reported_together(gateway: MockProvider) -> None:
    """Each has its name, the worst decides; a mounted application reports the same."""
    logins = logins_of(PlatformMock(), certificate=certificate(left=1))
    run = lifespan(gateway.config(), also=logins.lifespan, transport=gateway)
    inner = Starlette(routes=[readiness_route("/ready")])
    app = Starlette(routes=[*logins.routes, readiness_route("/ready"), Mount("/inner", inner)], lifespan=run)
    with TestClient(app) as browser:
        outer, mounted = browser.get("/ready"), browser.get("/inner/ready")

    for reply in (outer, mounted):
        document = reply.json()
        assert reply.status_code == 503
        assert (document["clients"]["default"]["status"], document["logins"]["seic"]["status"]) == ("idle", "fail")

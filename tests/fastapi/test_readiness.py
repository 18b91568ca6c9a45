"""Readiness of clients: status and JSON for each state of token and certificate."""

from __future__ import annotations

import datetime as dt
import functools
import os
import threading
import time
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

import seic
from seic.events import Event, TokenRefreshEnded
from seic.fastapi import lifespan, readiness_route
from seic.testing import MockProvider
from tests._support.clocks import FakeClock
from tests._support.readiness import BROWSER, app_of, certificate


def _app_with_clock(gateway: MockProvider, clock: FakeClock) -> FastAPI:
    """Return an application whose token lives by a clock that the test moves."""
    config = gateway.config()
    auth = seic.OAuth2Auth(config, transport=gateway, clock=clock.clock)
    options: Any = {"auth": auth}
    app = FastAPI(lifespan=lifespan(config, warm=True, **options))
    app.routes.append(readiness_route("/ready"))
    return app


def test_a_warm_application_is_ready(gateway: MockProvider) -> None:
    """The JSON document has every fact."""
    with TestClient(app_of(gateway, gateway.config(certificate=certificate(left=400)), warm=True)) as browser:
        reply = browser.get("/ready")

    assert reply.status_code == 200
    assert reply.headers["Content-Type"] == "application/json"
    assert reply.headers["Cache-Control"] == "no-store"
    document = reply.json()
    client = document["clients"]["default"]
    assert document["status"] == client["status"] == "pass"
    assert client["token"]["status"] == client["certificate"]["status"] == "pass"
    assert 0 <= client["token"]["age_seconds"] < 60
    assert 3540 < client["token"]["expires_in_seconds"] <= 3600
    assert 399 < client["certificate"]["days_left"] <= 400
    assert dt.datetime.fromisoformat(client["certificate"]["expires_at"]) > dt.datetime.now(dt.UTC)
    assert client["last_error"] is None
    assert client["problems"] == []
    assert document["worker"] == os.getpid()
    assert abs(dt.datetime.fromisoformat(document["as_of"]) - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=1)


def test_before_the_first_call_nothing_is_known(gateway: MockProvider) -> None:
    """No token was needed yet, and a probe does not request one."""
    with TestClient(app_of(gateway)) as browser:
        reply = browser.get("/ready")

    assert (reply.status_code, reply.json()["status"]) == (200, "idle")
    assert reply.json()["clients"]["default"] == {
        "status": "idle",
        "problems": [],
        "token": {"status": "idle", "age_seconds": None, "expires_in_seconds": None},
        "certificate": None,
        "last_error": None,
    }
    assert gateway.issued_tokens == 0


@pytest.mark.parametrize(
    ("left", "lifetime", "status", "word"),
    [
        pytest.param(31, 730, 200, "pass", id="SEI's, a month left"),
        pytest.param(29, 730, 200, "warn", id="less than a month"),
        pytest.param(3.1, 730, 200, "warn", id="just above the limit"),
        pytest.param(2.9, 730, 503, "fail", id="fails before it expires"),
        pytest.param(-0.1, 730, 503, "fail", id="expired"),
        pytest.param(0.9, 1, 200, "pass", id="short-lived, fresh"),
        pytest.param(0.1, 1, 200, "warn", id="short-lived, used up"),
        pytest.param(0.04, 1, 503, "fail", id="short-lived, a twentieth left"),
    ],
)
def test_it_fails_before_the_certificate_expires(
    left: float, lifetime: float, status: int, word: str, gateway: MockProvider
) -> None:
    """A warning for 30 days, a failure 3 days ahead; a short-lived certificate counts by its share."""
    config = gateway.config(certificate=certificate(left=left, lifetime=lifetime))
    with TestClient(app_of(gateway, config, warm=True)) as browser:
        reply = browser.get("/ready")

    assert reply.status_code == status
    assert reply.json()["status"] == reply.json()["clients"]["default"]["certificate"]["status"] == word


def test_red_days_can_be_set(gateway: MockProvider) -> None:
    """An operator who needs two weeks for a new certificate sets 14."""
    config = gateway.config(certificate=certificate(left=13))
    with TestClient(app_of(gateway, config, red_days=14)) as browser:
        assert browser.get("/ready").status_code == 503


def test_an_expired_token_is_no_failure(gateway: MockProvider) -> None:
    """The client has worked, and the next request gets a new token."""
    clock = FakeClock(wall=time.time())
    app = _app_with_clock(gateway, clock)
    with TestClient(app) as browser:
        clock.advance(3601)
        reply = browser.get("/ready")
        page = browser.get("/ready", headers=BROWSER).text

    assert (reply.status_code, reply.json()["status"]) == (200, "pass")
    assert "the last one expired" in page


@pytest.mark.parametrize(
    ("answer", "facts", "cause", "remedy"),
    [
        pytest.param(
            httpx.Response(401, json={"error": "invalid_client"}),
            {"status": 401, "code": "invalid_client"},
            "The provider refuses the credentials of the client (status 401, invalid_client).",
            "SEIC_CLIENT_SECRET",
            id="secret",
        ),
        pytest.param(
            httpx.Response(401, json={"code": "gateway.authentication.failure", "message": "svc-user"}),
            {"status": 401, "code": "gateway.authentication.failure"},
            "The provider refuses the credentials (status 401, gateway.authentication.failure).",
            "SEIC_CLIENT_SECRET",
            id="SEI's code",
        ),
        pytest.param(
            httpx.Response(400, json={"error": "invalid_grant"}),
            {"status": 400, "code": "invalid_grant"},
            "The provider refuses the account or the grant (status 400, invalid_grant).",
            "SEIC_PASSWORD",
            id="password",
        ),
        pytest.param(
            httpx.Response(400, json={"error": "see https://internal.example"}),
            {"status": 400, "code": None},
            "The provider refuses the token request (status 400).",
            "support",
            id="words of the provider",
        ),
        pytest.param(
            httpx.Response(503),
            {"status": 503, "reason": None},
            "The token endpoint is unavailable (status 503).",
            "tries again",
            id="down",
        ),
        pytest.param(
            httpx.Response(200, html="<title>Log in</title>"),
            {"status": 200, "reason": None},
            "The reply of the token endpoint cannot be used (status 200).",
            "provider.token_url",
            id="a page",
        ),
        pytest.param(
            httpx.Response(302, headers={"Location": "https://other.example/"}),
            {"status": 302, "reason": None},
            "The reply of the token endpoint cannot be used (status 302).",
            "provider.token_url",
            id="a redirect",
        ),
        pytest.param(
            httpx.ConnectTimeout("10.0.0.1"),
            {"status": None, "reason": "httpx.ConnectTimeout"},
            "The token endpoint cannot be reached (httpx.ConnectTimeout).",
            "proxy",
            id="no connection",
        ),
    ],
)
def test_a_failure_has_its_facts_and_a_remedy(
    answer: Any, facts: dict[str, Any], cause: str, remedy: str, gateway: MockProvider
) -> None:
    """Status, code and reason are in JSON and on the page, with what to do; nothing internal is."""
    gateway.token_responses.extend([answer] * 4)
    with TestClient(app_of(gateway, warm=True)) as browser:
        reply = browser.get("/ready")
        page = browser.get("/ready", headers=BROWSER).text

    assert reply.status_code == 503
    client = reply.json()["clients"]["default"]
    assert {name: client["last_error"][name] for name in facts} == facts
    (problem,) = client["problems"]
    assert problem["cause"] == cause
    assert remedy in problem["remedy"]
    assert cause in page
    assert page.index(cause) < page.index("<section")
    for word in ("internal.example", "10.0.0.1", "api.example", "svc-user"):
        assert word not in reply.text + page


@pytest.mark.parametrize(
    ("reason", "cause"),
    [
        (seic.Reason.UNKNOWN_TO_SERVER, "The server refuses the client certificate (unknown-to-server)."),
        (seic.Reason.SERVER_UNKNOWN_CA, "The certificate of the token endpoint is not accepted (server-unknown-ca)."),
        (seic.Reason.CLOSED_EARLY, "The token endpoint cannot be reached (closed-early)."),
    ],
)
def test_a_failed_handshake_has_its_reason(reason: seic.Reason, cause: str, gateway: MockProvider) -> None:
    """The code is that of `error.reason` and of the event."""
    gateway.token_responses.extend([seic.TokenEndpointUnavailable("api.example: no", reason=reason.value)] * 4)
    with TestClient(app_of(gateway, warm=True)) as browser:
        client = browser.get("/ready").json()["clients"]["default"]

    assert client["last_error"]["reason"] == reason.value
    assert client["problems"][0]["cause"] == cause


def test_a_refused_token_fails_until_there_is_one(gateway: MockProvider) -> None:
    """The last error has its id but none of the provider's words, and is still shown after the recovery."""
    gateway.token_responses.append(httpx.Response(401, json={"code": "bad", "message": "password-1 of svc-user"}))
    clock = FakeClock(wall=time.time())
    app = _app_with_clock(gateway, clock)
    with TestClient(app) as browser:
        red = browser.get("/ready")
        clock.advance(3600)  # the pause after a refusal is over
        assert browser.portal is not None
        browser.portal.call(app.state.seic["default"].token)
        green = browser.get("/ready")

    assert red.status_code == 503
    client = red.json()["clients"]["default"]
    assert client["token"] == {"status": "fail", "age_seconds": None, "expires_in_seconds": None}
    assert client["last_error"]["what"] == "token refused"
    assert client["last_error"]["tracking_id"] == "track-1"
    assert dt.datetime.fromisoformat(client["last_error"]["at"]).tzinfo is not None
    for word in ("password-1", "svc-user", "api.example", "AppKey"):
        assert word not in red.text
    assert green.status_code == 200
    assert green.json()["status"] == "pass"
    assert green.json()["clients"]["default"]["last_error"] == client["last_error"]


def test_a_rejected_secret_is_a_warning(gateway: MockProvider) -> None:
    """Until the provider accepts it; the previous one serves."""
    secrets = ["one"]
    app = app_of(gateway, gateway.config(client_secret=lambda: secrets[-1]), warm=True)
    with TestClient(app) as browser:
        assert browser.portal is not None
        refresh = functools.partial(app.state.seic["default"].token, force=True)
        secrets.append("two")
        gateway.token_responses.append(httpx.Response(401, json={"code": "invalid_client", "message": "m"}))
        browser.portal.call(refresh)
        yellow = browser.get("/ready")
        browser.portal.call(refresh)
        green = browser.get("/ready")

    assert (yellow.status_code, yellow.json()["status"]) == (200, "warn")
    cause = yellow.json()["clients"]["default"]["problems"][0]["cause"]
    assert "the new client secret or password (status 401, invalid_client); the previous one is used" in cause
    assert green.json()["status"] == "pass"


def test_a_failing_probe_requests_a_token(gateway: MockProvider) -> None:
    """An instance out of service gets no other requests, so only a probe can end the failure."""
    gateway.token_responses.append(httpx.Response(401))
    clock = FakeClock(wall=time.time())
    app = _app_with_clock(gateway, clock)
    refreshed = threading.Event()

    def listen(event: Event) -> None:
        if isinstance(event, TokenRefreshEnded):
            refreshed.set()

    with TestClient(app) as browser:
        app.state.seic["default"].listen(listen)
        clock.advance(3600)  # the pause after a refusal is over
        red = browser.get("/ready")
        assert refreshed.wait(30)
        green = browser.get("/ready")

    assert (red.status_code, green.status_code) == (503, 200)
    assert gateway.issued_tokens == 1


def test_failing_probes_request_tokens_no_more_often_than_calls_would(gateway: MockProvider) -> None:
    """The pause after a failure applies, or a probe every second would lock an account."""
    gateway.token_responses.append(httpx.Response(401))
    app = app_of(gateway, warm=True)
    with TestClient(app) as browser:
        client = app.state.seic["default"]
        assert browser.portal is not None
        for _ in range(3):
            assert browser.get("/ready").status_code == 503
            with pytest.raises(seic.TokenRequestRefused):
                browser.portal.call(client.token)
        assert client.stats.token_requests == 1


def test_an_outage_while_the_token_is_valid_is_a_warning(gateway: MockProvider) -> None:
    """Calls go through, so the instance stays in service."""
    app = app_of(gateway, warm=True)
    with TestClient(app) as browser:
        gateway.token_responses.extend([httpx.Response(503), httpx.Response(503)])
        client = app.state.seic["default"]
        assert browser.portal is not None
        with pytest.raises(seic.TokenEndpointUnavailable):
            browser.portal.call(lambda: client.token(force=True))
        reply = browser.get("/ready")

    assert reply.status_code == 200
    assert reply.json()["status"] == "warn"
    assert reply.json()["clients"]["default"]["last_error"]["what"] == "token endpoint down"


def test_the_worst_client_decides(gateway: MockProvider) -> None:
    """One failing client fails the whole; the others are reported as they are."""
    configs = {"good": gateway.config(), "bad": gateway.config(certificate=certificate(left=1))}
    with TestClient(app_of(gateway, configs)) as browser:
        reply = browser.get("/ready")

    assert reply.status_code == 503
    assert reply.json()["status"] == "fail"
    assert {name: client["status"] for name, client in reply.json()["clients"].items()} == {
        "good": "idle",
        "bad": "fail",
    }
    assert list(reply.json()["clients"]) == ["bad", "good"]


def test_a_forgotten_lifespan_is_an_error() -> None:
    """Not a ready application without clients."""
    app = FastAPI()
    app.routes.append(readiness_route())

    with pytest.raises(seic.ConfigurationError):
        TestClient(app).get("/ready")

"""When an application is ready: what its clients' tokens and certificates make of the probe."""

from __future__ import annotations

import asyncio
import datetime as dt
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from cryptography.fernet import Fernet
from fastapi import FastAPI
from fastapi.testclient import TestClient

import seic
from seic._events import CertificateRejected
from seic._runtime import Job, start_thread
from seic.fastapi import Logins, _certificate_probe, _readiness, lifespan, readiness_route
from tests._support.fake_gateway import FakeGateway
from tests._support.fake_platform import CALLBACK, FakePlatform
from tests._support.readiness import BROWSER, app_of, certificate


def test_a_warm_application_is_ready(gateway: FakeGateway) -> None:
    """The whole document, as a machine reads it."""
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


def test_before_the_first_call_nothing_is_wrong(gateway: FakeGateway) -> None:
    """No token was needed yet; asking does not fetch one."""
    with TestClient(app_of(gateway)) as browser:
        client = browser.get("/ready").json()["clients"]["default"]

    assert client == {
        "status": "pass",
        "token": {"status": "pass", "age_seconds": None, "expires_in_seconds": None},
        "certificate": None,
        "last_error": None,
    }
    assert gateway.tokens == 0


@pytest.mark.parametrize(
    ("left", "lifetime", "status", "word"),
    [
        pytest.param(31, 730, 200, "pass", id="SEI's, a month left"),
        pytest.param(29, 730, 200, "warn", id="less than a month"),
        pytest.param(3.1, 730, 200, "warn", id="just above the limit"),
        pytest.param(2.9, 730, 503, "fail", id="red before it dies"),
        pytest.param(-0.1, 730, 503, "fail", id="dead"),
        pytest.param(0.9, 1, 200, "pass", id="short-lived, fresh"),
        pytest.param(0.1, 1, 200, "warn", id="short-lived, used up"),
        pytest.param(0.04, 1, 503, "fail", id="short-lived, a twentieth left"),
    ],
)
def test_it_goes_red_before_the_certificate_dies(
    left: float, lifetime: float, status: int, word: str, gateway: FakeGateway
) -> None:
    """Yellow for a month, red three days ahead; a short-lived certificate by its share."""
    config = gateway.config(certificate=certificate(left=left, lifetime=lifetime))
    with TestClient(app_of(gateway, config, warm=True)) as browser:
        reply = browser.get("/ready")

    assert reply.status_code == status
    assert reply.json()["status"] == reply.json()["clients"]["default"]["certificate"]["status"] == word


def test_how_early_it_goes_red_can_be_set(gateway: FakeGateway) -> None:
    """Who needs a fortnight for a new certificate says so."""
    config = gateway.config(certificate=certificate(left=13))
    with TestClient(app_of(gateway, config, red_days=14)) as browser:
        assert browser.get("/ready").status_code == 503


def test_a_refused_token_makes_it_red_until_one_is_had(gateway: FakeGateway) -> None:
    """With the last error and its id; none of the provider's words. It stays to be read after the recovery."""
    gateway.plan.append(httpx.Response(401, json={"code": "bad", "message": "password-1 of svc-user"}))
    app = app_of(gateway, warm=True)
    with TestClient(app) as browser:
        red = browser.get("/ready")
        app.state.seic["default"].auth._source.state._error = None  # the pause after a refusal is over
        assert browser.portal is not None
        browser.portal.call(app.state.seic["default"].token)
        green = browser.get("/ready")

    assert red.status_code == 503
    client = red.json()["clients"]["default"]
    assert client["token"] == {"status": "fail", "age_seconds": None, "expires_in_seconds": None}
    assert client["last_error"]["what"] == "token refused"
    assert client["last_error"]["tracking_id"] == "track-1"
    assert dt.datetime.fromisoformat(client["last_error"]["at"]).tzinfo is not None
    for word in ("password-1", "svc-user", "api.seic.com", "AppKey"):
        assert word not in red.text
    assert green.status_code == 200
    assert green.json()["status"] == "pass"
    assert green.json()["clients"]["default"]["last_error"] == client["last_error"]


def _settled(app: FastAPI, browser: TestClient) -> None:
    """Wait until what a probe started has ended."""

    async def wait() -> None:
        (job,) = app.state.seic.renewals.values()
        await asyncio.wait([job._task])

    assert browser.portal is not None
    browser.portal.call(wait)


def test_a_red_probe_has_a_token_fetched(gateway: FakeGateway) -> None:
    """No traffic comes to a red instance, so nothing else would ever find out that the outage is over."""
    gateway.plan.append(httpx.Response(401))
    app = app_of(gateway, warm=True)
    with TestClient(app) as browser:
        app.state.seic["default"].auth._source.state._error = None  # the pause after a failure is over
        red = browser.get("/ready")
        _settled(app, browser)
        green = browser.get("/ready")

    assert (red.status_code, green.status_code) == (503, 200)
    assert gateway.tokens == 1


def test_red_probes_ask_no_more_often_than_calls_would(gateway: FakeGateway) -> None:
    """The pause after a failure holds for them as well, or a probe every second would lock an account."""
    gateway.plan.append(httpx.Response(401))
    app = app_of(gateway, warm=True)
    with TestClient(app) as browser:
        for _ in range(3):
            assert browser.get("/ready").status_code == 503
            _settled(app, browser)
        assert app.state.seic["default"].stats.token_requests == 1


def test_an_outage_under_a_living_token_is_a_warning(gateway: FakeGateway) -> None:
    """Calls go through, so the instance stays in service."""
    app = app_of(gateway, warm=True)
    with TestClient(app) as browser:
        gateway.plan.extend([httpx.Response(503), httpx.Response(503)])
        auth = app.state.seic["default"].auth
        assert browser.portal is not None
        with pytest.raises(seic.TokenEndpointUnavailable):
            browser.portal.call(lambda: auth.source.token(force=True))
        reply = browser.get("/ready")

    assert reply.status_code == 200
    assert reply.json()["status"] == "warn"
    assert reply.json()["clients"]["default"]["last_error"]["what"] == "token endpoint down"


def test_a_rejected_new_certificate_is_the_last_error(gateway: FakeGateway) -> None:
    """The old one still serves, so it is not red; but somebody has to know. The path stays inside."""
    app = app_of(gateway, warm=True)
    with TestClient(app) as browser:
        app.state.seic["default"].auth._emit(
            CertificateRejected(path="/etc/tls/client.pem", reason="mismatch", problem="the key is another's")
        )
        reply = browser.get("/ready")

    assert reply.status_code == 200
    assert reply.json()["clients"]["default"]["last_error"]["what"] == "certificate rejected"
    assert "client.pem" not in reply.text


def test_a_certificate_that_cannot_be_had_is_red(gateway: FakeGateway) -> None:
    """A vault that gives none leaves the client unable to connect."""

    def from_vault() -> seic.ClientCertificate:
        raise LookupError("vault.internal.example is sealed")

    with TestClient(app_of(gateway, gateway.config(certificate=from_vault))) as browser:
        reply = browser.get("/ready")
        page = browser.get("/ready", headers=BROWSER).text

    assert reply.status_code == 503
    assert reply.json()["clients"]["default"]["certificate"] == {
        "status": "fail",
        "days_left": None,
        "expires_at": None,
    }
    assert "unusable" in page
    assert "vault" not in reply.text + page


@pytest.mark.parametrize("at_logins", [False, True], ids=["a client", "logins"])
async def test_a_certificate_that_is_waited_for_holds_up_no_probe(
    at_logins: bool, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A vault that hangs is looked at once, however many probes come, and each is answered: nobody can connect now."""
    monkeypatch.setattr(_readiness, "_PATIENCE", 0.0)
    vault, asked = threading.Event(), threading.Event()
    looks: list[int] = []

    def from_vault() -> seic.ClientCertificate:
        asked.set()
        vault.wait()
        return certificate(left=400)

    def look(call: Callable[[], None], **options: Any) -> Job:
        looks.append(1)
        return start_thread(call, **options)

    monkeypatch.setattr(_certificate_probe, "start_thread", look)
    app = FastAPI(routes=[readiness_route("/ready")])
    if at_logins:
        platform = FakePlatform()
        logins = Logins(platform.config(certificate=from_vault), callback_url=CALLBACK, key=Fernet.generate_key())
        running = lifespan({}, also=logins.lifespan)
    else:
        running = lifespan(gateway.config(certificate=from_vault), transport=gateway.transport)
    transport = httpx.ASGITransport(app)
    async with running(app), httpx.AsyncClient(transport=transport, base_url="http://app") as browser:
        red = [(await browser.get("/ready")).status_code for _ in range(3)]
        vault.set()
        assert (red, len(looks)) == ([503] * 3, 1)
        monkeypatch.setattr(_readiness, "_PATIENCE", 60.0)
        assert (await browser.get("/ready")).status_code == 200
    assert asked.is_set()


def test_the_worst_client_decides(gateway: FakeGateway) -> None:
    """One that cannot work makes the whole red; the others are shown as they are."""
    configs = {"good": gateway.config(), "bad": gateway.config(certificate=certificate(left=1))}
    with TestClient(app_of(gateway, configs)) as browser:
        reply = browser.get("/ready")

    assert reply.status_code == 503
    assert reply.json()["status"] == "fail"
    assert {name: client["status"] for name, client in reply.json()["clients"].items()} == {
        "good": "pass",
        "bad": "fail",
    }


def test_an_application_without_a_lifespan_is_told_so() -> None:
    """Rather than being ready with nothing."""
    app = FastAPI()
    app.routes.append(readiness_route())

    with pytest.raises(seic.ConfigurationError):
        TestClient(app).get("/ready")

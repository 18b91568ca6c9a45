from __future__ import annotations

import asyncio
import base64
import datetime as dt
import hashlib
import re
from typing import Any

import httpx
import pytest
from cryptography.fernet import Fernet
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.routing import Mount

import seic
from seic._events import CertificateRejected
from seic.fastapi import Logins, lifespan, readiness_route
from seic.sandbox import CertificateAuthority
from tests._support.fake_gateway import FakeGateway
from tests._support.fake_platform import CALLBACK, FakePlatform

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"}
_AUTHORITY = CertificateAuthority()
_DAY = dt.timedelta(days=1)


def certificate(*, left: float, lifetime: float = 730.0) -> seic.ClientCertificate:
    """Return a certificate that ends in `left` of its `lifetime`, in days."""
    end = dt.datetime.now(dt.UTC) + left * _DAY
    issued = _AUTHORITY.issue("svc-user", not_before=end - lifetime * _DAY, not_after=end)
    return seic.ClientCertificate.load(issued.cert_pem, key=issued.key_pem)


def app_of(gateway: FakeGateway, configs: Any = None, *, warm: bool = False, **options: Any) -> FastAPI:
    """Return an application with a readiness route."""
    app = FastAPI(lifespan=lifespan(configs or gateway.config(), warm=warm, transport=gateway.transport))
    app.routes.append(readiness_route("/ready", **options))
    return app


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
        app.state.seic["default"].auth.source.state._error = None  # the pause after a refusal is over
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
        app.state.seic["default"].auth.source.state._error = None  # the pause after a failure is over
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


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        pytest.param(BROWSER["Accept"], "text/html", id="browser"),
        pytest.param("text/html", "text/html", id="HTML"),
        pytest.param("*/*", "application/json", id="curl, Kubernetes"),
        pytest.param("application/json", "application/json", id="JSON"),
        pytest.param("text/html, application/json", "application/json", id="either"),
        pytest.param("text/html;q=0.5, application/json;q=0.4", "text/html", id="HTML rather"),
        pytest.param("text/html;q=0.3, application/*;q=0.4", "application/json", id="JSON rather"),
        pytest.param("text/html;q=0", "application/json", id="no HTML"),
        pytest.param("text/html;q=much", "application/json", id="no number"),
        pytest.param("", "application/json", id="empty"),
    ],
)
def test_people_get_a_page_and_machines_json(accept: str, kind: str, gateway: FakeGateway) -> None:
    """By what each accepts (RFC 9110 §12.5.1); a cache may not mix them up."""
    with TestClient(app_of(gateway)) as browser:
        reply = browser.get("/ready", headers={"Accept": accept})

    assert reply.headers["Content-Type"].partition(";")[0] == kind
    assert reply.headers["Vary"] == "Accept"


def test_the_page_says_the_same_and_runs_nothing(gateway: FakeGateway) -> None:
    """The same facts and status; no script, and no style but its own is allowed to apply."""
    config = gateway.config(certificate=certificate(left=2))
    with TestClient(app_of(gateway, {"invest <ments>": config}, warm=True)) as browser:
        reply = browser.get("/ready", headers=BROWSER)

    assert reply.status_code == 503
    page = reply.text
    assert "Not ready" in page
    assert re.search(r"Client certificate</dt><dd class=\"fail\">.*?47 hours left", page)
    assert re.search(r"Token age</dt><dd class=\"pass\">.*?\d seconds?<", page)
    assert "invest &lt;ments&gt;" in page
    assert "<script" not in page
    style = page.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = reply.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert f"style-src 'sha256-{digest}'" in policy
    assert "style=" not in page


@pytest.mark.parametrize(
    ("warm", "plan", "words"),
    [
        pytest.param(False, [], ["Ready", "none yet", "the next call gets one", "calls go without one"], id="cold"),
        pytest.param(True, [], ["Ready", "left"], id="warm"),
        pytest.param(
            True, [httpx.Response(401)], ["Not ready", "the last request for one failed", "token refused"], id="refused"
        ),
    ],
)
def test_the_page_tells_each_state_in_words(
    warm: bool, plan: list[httpx.Response], words: list[str], gateway: FakeGateway
) -> None:
    """Nobody has to know what null means."""
    gateway.plan.extend(plan)
    with TestClient(app_of(gateway, warm=warm)) as browser:
        page = browser.get("/ready", headers=BROWSER).text

    for word in words:
        assert word in page


def test_a_token_of_unknown_lifetime_is_shown_without_an_end(gateway: FakeGateway) -> None:
    """Not every provider tells `expires_in`."""
    gateway.plan.append(httpx.Response(200, json={"access_token": "token-9"}))
    app = app_of(gateway, warm=True)
    with TestClient(app) as browser:
        document = browser.get("/ready").json()
        page = browser.get("/ready", headers=BROWSER).text

    assert document["clients"]["default"]["token"]["expires_in_seconds"] is None
    assert document["status"] == "pass"
    assert "no end is known" in page


# Logins


def logins_of(platform: FakePlatform, **changes: Any) -> Logins:
    """Return a login at the platform."""
    config = platform.config(**changes)
    return Logins(config, callback_url=CALLBACK, key=Fernet.generate_key(), transport=platform.transport)


def site_of(logins: Logins, run: Any = None) -> TestClient:
    """Return a browser at an application where people log in, with a readiness route."""
    app = Starlette(routes=[*logins.routes, readiness_route("/ready")], lifespan=run or logins.lifespan)
    return TestClient(app, base_url="https://app.example", follow_redirects=False)


def log_in(platform: FakePlatform, browser: TestClient) -> int:
    """Log a person in, and return the status of the callback's answer."""
    return browser.get(platform.log_in(browser.get("/login").headers["Location"])).status_code


def test_an_application_with_logins_alone_has_a_readiness_route() -> None:
    """No client of its own is needed; before the first login nothing is wrong."""
    with site_of(logins_of(FakePlatform())) as browser:
        reply = browser.get("/ready")
        page = browser.get("/ready", headers=BROWSER)

    assert reply.status_code == 200
    assert reply.json() == {
        "status": "pass",
        "clients": {},
        "logins": {"seic": {"status": "pass", "certificate": None, "last_error": None}},
    }
    for word in ("Ready", "seic", "logins", "none yet", "nobody has logged in since the start"):
        assert word in page.text


def test_logins_that_fail_are_a_warning_until_one_works() -> None:
    """Whoever is logged in goes on, so the instance stays in service; but somebody has to know."""
    platform = FakePlatform()
    with site_of(logins_of(platform)) as browser:
        platform.plan.extend([httpx.Response(503)] * 2)
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
    assert "api.seic.com" not in amber.text + amber_page


@pytest.mark.parametrize(
    ("code", "word", "what"),
    [
        pytest.param("invalid_grant", "pass", None, id="a person's code"),
        pytest.param("invalid_client", "warn", "token refused", id="the application's secret"),
    ],
)
def test_only_a_refusal_of_the_application_is_trouble(code: str, word: str, what: str | None) -> None:
    """That one person's login was too late says nothing of the next one's."""
    platform = FakePlatform()
    with site_of(logins_of(platform)) as browser:
        platform.plan.append(httpx.Response(400, json={"error": code}))
        assert log_in(platform, browser) == 400
        seen = browser.get("/ready").json()["logins"]["seic"]

    assert seen["status"] == word
    assert (seen["last_error"] and seen["last_error"]["what"]) == what


@pytest.mark.parametrize(
    ("left", "status", "word"), [(31, 200, "pass"), (29, 200, "warn"), (2.9, 503, "fail")], ids=str
)
def test_the_certificate_of_logins_counts_as_a_clients(left: float, status: int, word: str) -> None:
    """Without it nobody could log in, nor call anything."""
    with site_of(logins_of(FakePlatform(), certificate=certificate(left=left))) as browser:
        reply = browser.get("/ready")

    assert (reply.status_code, reply.json()["status"]) == (status, word)
    assert reply.json()["logins"]["seic"]["certificate"]["status"] == word


def test_clients_and_logins_stand_side_by_side(gateway: FakeGateway) -> None:
    """Each under its own name; the worst decides. A mounted application says the same."""
    logins = logins_of(FakePlatform(), certificate=certificate(left=1))
    run = lifespan(gateway.config(), also=logins.lifespan, transport=gateway.transport)
    inner = Starlette(routes=[readiness_route("/ready")])
    app = Starlette(routes=[*logins.routes, readiness_route("/ready"), Mount("/inner", inner)], lifespan=run)
    with TestClient(app) as browser:
        outer, mounted = browser.get("/ready"), browser.get("/inner/ready")

    for reply in (outer, mounted):
        document = reply.json()
        assert reply.status_code == 503
        assert (document["clients"]["default"]["status"], document["logins"]["seic"]["status"]) == ("pass", "fail")


def test_an_application_without_a_lifespan_is_told_so() -> None:
    """Rather than being ready with nothing."""
    app = FastAPI()
    app.routes.append(readiness_route())

    with pytest.raises(seic.ConfigurationError):
        TestClient(app).get("/ready")

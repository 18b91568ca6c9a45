"""The page that people see of an application's readiness."""

from __future__ import annotations

import base64
import hashlib
import re

import httpx
import pytest
from fastapi.testclient import TestClient

from tests._support.fakes.gateway import FakeGateway
from tests._support.readiness import BROWSER, app_of, certificate


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

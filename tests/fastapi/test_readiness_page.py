"""The readiness page: content negotiation, content, and its content security policy."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient

from seic.testing import MockProvider
from tests._support.browser import Browser
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
def test_browsers_get_a_page_and_programs_json(accept: str, kind: str, gateway: MockProvider) -> None:
    """The Accept header decides (RFC 9110 §12.5.1); Vary keeps caches from mixing them up."""
    with TestClient(app_of(gateway)) as browser:
        reply = browser.get("/ready", headers={"Accept": accept})

    assert reply.headers["Content-Type"].partition(";")[0] == kind
    assert reply.headers["Vary"] == "Accept"


def test_the_page_has_the_same_facts_and_runs_nothing(gateway: MockProvider) -> None:
    """Facts and status are those of the JSON; scripts and foreign styles are forbidden."""
    config = gateway.config(certificate=certificate(left=2))
    with TestClient(app_of(gateway, {"invest <ments>": config}, warm=True)) as browser:
        reply = browser.get("/ready", headers=BROWSER)

    assert reply.status_code == 503
    page = reply.text
    assert "Not ready" in page
    assert re.search(r"Client certificate</dt><dd class=\"fail\">.*?1.9 days left", page)
    assert re.search(r"Token</dt><dd class=\"pass\">.*?59 min \d+ s left<", page)
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
        pytest.param(
            False,
            [],
            ["Not tried yet", "none yet", "the next request gets the first one", "sent without one"],
            id="cold",
        ),
        pytest.param(True, [], ["Ready", "left"], id="warm"),
        pytest.param(
            True,
            [httpx.Response(401)],
            ["Not ready", "the last token request failed", "refuses the credentials", "SEIC_CLIENT_SECRET"],
            id="refused",
        ),
    ],
)
def test_the_page_has_each_state_in_words(
    warm: bool, plan: list[httpx.Response], words: list[str], gateway: MockProvider
) -> None:
    """A null in JSON is a word on the page."""
    gateway.token_responses.extend(plan)
    with TestClient(app_of(gateway, warm=warm)) as browser:
        page = browser.get("/ready", headers=BROWSER).text

    for word in words:
        assert word in page


def test_a_token_without_expires_in(gateway: MockProvider) -> None:
    """The page says that the expiry is unknown."""
    gateway.token_responses.append(httpx.Response(200, json={"access_token": "token-9"}))
    app = app_of(gateway, warm=True)
    with TestClient(app) as browser:
        document = browser.get("/ready").json()
        page = browser.get("/ready", headers=BROWSER).text

    assert document["clients"]["default"]["token"]["expires_in_seconds"] is None
    assert document["status"] == "pass"
    assert "expiry unknown" in page


def test_the_page_has_the_numbers_of_the_json(gateway: MockProvider) -> None:
    """Both are rounded once, down; the page names the time and the worker."""
    config = gateway.config(certificate=certificate(left=19.97))
    with TestClient(app_of(gateway, config, warm=True)) as browser:
        document = browser.get("/ready").json()
        page = browser.get("/ready", headers=BROWSER).text

    client = document["clients"]["default"]
    assert client["certificate"]["days_left"] == 19.9
    assert "19.9 days left" in page
    seconds = client["token"]["expires_in_seconds"]
    assert isinstance(seconds, int)
    assert f"{seconds} s, obtained" in page or f"{seconds - 1} s, obtained" in page
    assert f"worker {document['worker']}" in page
    assert re.search(r"As of \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", page)


def test_failing_clients_come_first_and_healthy_ones_are_collapsed(gateway: MockProvider) -> None:
    """With a coloured edge; the style shows collapsed clients on wide screens."""
    configs = {
        "good": gateway.config(),
        "worn": gateway.config(certificate=certificate(left=20)),
        "bad": gateway.config(certificate=certificate(left=1)),
    }
    with TestClient(app_of(gateway, configs, warm=True)) as browser:
        page = browser.get("/ready", headers=BROWSER).text

    sections = re.findall(r'<section class="edge-(\w+)"><details( open)?><summary><h2>(\w+)<', page)
    assert sections == [("fail", " open", "bad"), ("warn", " open", "worn"), ("pass", "", "good")]
    assert page.index("The client certificate expires in 0.9 days.") < page.index(
        "The client certificate expires in 19.9"
    )


@pytest.mark.parametrize(("width", "hidden"), [(400, True), (1280, False)], ids=str)
def test_healthy_clients_collapse_on_narrow_screens(
    width: int, hidden: bool, gateway: MockProvider, tmp_path: Path
) -> None:
    """At 400 pixels only the line with the times is visible, and nothing is wider than the screen."""
    configs = {"good": gateway.config(), "bad": gateway.config(certificate=certificate(left=1))}
    with TestClient(app_of(gateway, configs, warm=True)) as client:
        page = tmp_path / "page.html"
        page.write_text(client.get("/ready", headers=BROWSER).text, encoding="utf-8")

    with Browser(tmp_path / "profile") as browser:
        browser.look(width=width, height=900)
        browser.open(page.as_uri())
        visible = browser.run("[...document.querySelectorAll('dl')].map(each => each.checkVisibility())")
        too_wide = browser.run("document.documentElement.scrollWidth > innerWidth")

    assert visible == [True, not hidden]
    assert not too_wide

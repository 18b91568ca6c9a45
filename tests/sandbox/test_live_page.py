"""The live page in Chromium, and the stream of events that it reads."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from seic.sandbox import Sandbox
from seic.sandbox._control.control_server import ControlServer
from tests._support.browser import Browser
from tests._support.sandbox_client import ask_token, call, get_token, mtls_client

_PATIENCE = 20.0
#: Violations of the page's policy, and errors of its script.
_WATCH = """(() => { window.found = []; document.addEventListener("securitypolicyviolation",
  event => found.push(event.violatedDirective)); addEventListener("error", event => found.push(event.message)); })()"""


@pytest.fixture
def control(sandbox: Sandbox) -> Iterator[ControlServer]:
    """The control of the sandbox."""
    with ControlServer(sandbox) as server:
        yield server


@pytest.fixture(scope="module")
def shared_browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for all tests."""
    with Browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def page(control: ControlServer, shared_browser: Browser) -> Browser:
    """The live page, connected."""
    shared_browser.look(width=1280, height=900)
    shared_browser.open("about:blank")
    shared_browser.open(control.page_url)
    shared_browser.run(_WATCH)
    until(lambda: "Running" in shared_browser.text)
    return shared_browser


def until(is_true: Callable[[], object]) -> None:
    """Wait for something that happens soon."""
    ends = time.monotonic() + _PATIENCE
    while not is_true():
        assert time.monotonic() < ends
        time.sleep(0.02)


def _toggle(page: Browser, label: str, within: str) -> None:
    page.run(
        f"[...document.querySelectorAll({json.dumps(within + ' label')})]"
        f".find(label => label.innerText.startsWith({json.dumps(label)})).querySelector('input').click()"
    )


def test_a_request_appears_with_its_certificate(page: Browser, sandbox: Sandbox, mtls: httpx.Client) -> None:
    """And its token, by the digest; no secret is on the page or in its URL."""
    token = get_token(mtls, sandbox)
    mtls.get("/v1/echo", params={"key": "s3cret-query"}, headers={"Authorization": "Bearer s3cret-token"})
    until(lambda: "401" in page.text_of("#calls") and "min" in page.text_of("#tokens"))
    assert f"certificate {sandbox.username}" in page.text_of("#calls")
    assert "GET /v1/echo" in page.text_of("#calls li:first-child")
    assert page.text_of("#tokens").startswith(sandbox.active_tokens[0].digest)
    assert "POST /v2/oauthtoken" in page.text_of("#calls")
    html = page.run("document.documentElement.outerHTML")
    for secret in (token, sandbox.client_secret, sandbox.client_id, sandbox.password, "s3cret-query", "s3cret-token"):
        assert secret not in html
    assert "#" not in page.url
    assert page.run("found") == []


def test_earlier_requests_are_there_after_a_reload(page: Browser, sandbox: Sandbox, api: httpx.Client) -> None:
    """The tab keeps the token."""
    ask_token(api, sandbox)
    until(lambda: "POST /v2/oauthtoken" in page.text)
    page.open(page.url)
    until(lambda: "POST /v2/oauthtoken" in page.text)


def test_a_switch_injects_a_fault_and_ends_it(page: Browser, sandbox: Sandbox, api: httpx.Client) -> None:
    """For its target only; the others stay, and the request names the fault."""
    token = get_token(api, sandbox)
    sandbox.inject("html", times=9)
    _toggle(page, "503", "#api-faults")
    until(lambda: len(sandbox.faults) == 2)
    assert call(api, sandbox, token).headers["Retry-After"] == "5"
    until(lambda: "fault: 503" in page.text_of("#calls"))
    assert ask_token(api, sandbox).headers["Content-Type"].startswith("text/html")
    until(lambda: "HTML page (8 left)" in page.text)
    until(lambda: page.run("document.querySelectorAll('#api-faults input:checked').length") == 1)
    _toggle(page, "503", "#api-faults")
    until(lambda: [fault.name for fault in sandbox.faults] == ["html"])
    assert call(api, sandbox, token).status_code == 200


def test_a_fault_of_the_command_line_shows_by_itself(page: Browser, sandbox: Sandbox) -> None:
    """Without a request."""
    sandbox.inject("reset", target="api", times=None)
    until(lambda: page.run("document.querySelectorAll('#api-faults input:checked').length") == 1)


def test_a_certificate_is_refused_and_accepted(page: Browser, sandbox: Sandbox) -> None:
    """One of two."""
    other = sandbox.issue_certificate("other")
    sandbox.refuse_certificate()
    until(lambda: "other" in page.text_of("#certificates"))
    _toggle(page, "other", "#certificates")
    until(lambda: len(sandbox.refused_certificates) == 2)
    with mtls_client(sandbox, other) as client, pytest.raises(httpx.TransportError):
        ask_token(client, sandbox)
    until(lambda: page.run("document.querySelectorAll('#certificates input:checked').length") == 2)
    _toggle(page, "other", "#certificates")
    account = sandbox.issued_certificates[0].thumbprint
    until(lambda: sandbox.refused_certificates == {account})
    with mtls_client(sandbox, other) as client:
        assert ask_token(client, sandbox).status_code == 403  # another account's


def test_buttons_end_tokens_and_faults(page: Browser, sandbox: Sandbox, api: httpx.Client) -> None:
    """Revoke, expire, idle, and all faults with the clock."""
    for name in ("revoke-all", "expire-now", "idle-out"):
        token = get_token(api, sandbox)
        assert sandbox.active_tokens
        page.run(f"document.querySelector('[data-fault={name}]').click()")
        until(lambda: not sandbox.active_tokens)
        assert call(api, sandbox, token).status_code == 401
    page.run("(() => { const skew = document.getElementById('skew'); skew.value = -90;"
             " skew.dispatchEvent(new Event('change')); })()")  # fmt: skip
    until(lambda: sandbox.clock_skew == -90)
    sandbox.inject("500", times=None)
    page.run("document.querySelector('[data-fault=clear]').click()")
    until(lambda: sandbox.clock_skew == 0 and not sandbox.faults)


def test_markup_of_a_client_is_text(page: Browser, sandbox: Sandbox) -> None:
    """In the path and in the name of a certificate."""
    name = "<img src=x onerror=found.push(1)>"
    with mtls_client(sandbox, sandbox.issue_certificate(name)) as client:
        client.get("/<b>bold</b>")
    until(lambda: "certificate <img" in page.text_of("#calls"))
    assert page.run("document.querySelectorAll('#calls img, #calls b, #certificates img').length") == 0
    assert page.run("found") == []


@pytest.mark.parametrize("width", [400, 1280])
def test_it_fits_the_screen(width: int, page: Browser, sandbox: Sandbox, mtls: httpx.Client) -> None:
    """A long path does not widen it."""
    mtls.get("/" + "x" * 500)
    until(lambda: "xxx" in page.text)
    page.look(width=width, height=900)
    assert page.run("document.documentElement.scrollWidth") <= width
    assert page.run("(list => list.scrollWidth - list.clientWidth)(document.getElementById('calls'))") == 0
    assert page.label_of("#token-faults input") == "429, Retry-After"
    assert page.run("getComputedStyle(document.getElementById('problem')).display") == "none"


def test_without_the_token_it_explains_itself(control: ControlServer, tmp_path: Path) -> None:
    """In a tab that has never seen it."""
    with Browser(tmp_path) as browser:
        browser.open(control.url)
        until(lambda: "the URL that the command printed" in browser.text)


def test_the_end_of_the_sandbox_shows(sandbox: Sandbox, shared_browser: Browser) -> None:
    """And a restart on the same port is found again."""
    with ControlServer(sandbox) as server:
        shared_browser.open(server.page_url)
        until(lambda: "Running" in shared_browser.text)
    until(lambda: "Not connected" in shared_browser.text)


def test_another_site_cannot_use_it(control: ControlServer, sandbox: Sandbox, shared_browser: Browser) -> None:
    """A browser sends its `Origin`, with or without CORS; it would not help to know the token."""
    with ControlServer(sandbox) as other:  # another origin
        shared_browser.open(other.url)
        for mode, content_type in (("no-cors", "application/x-www-form-urlencoded"), ("cors", "application/json")):
            options = {
                "method": "POST",
                "mode": mode,
                "body": '{"fault": "500"}' if mode == "cors" else "fault=500",
                "headers": {"Content-Type": content_type, "Authorization": f"Bearer {control.token}"},
            }
            script = f"fetch('{control.url}/faults', {json.dumps(options)}).catch(() => 0).then(() => 1)"
            assert shared_browser.run(script) == 1
    assert sandbox.faults == []


def test_the_events(control: ControlServer, sandbox: Sandbox, api: httpx.Client) -> None:
    """The earlier requests, the state, then each request twice: on arrival and with its status."""
    ask_token(api, sandbox)
    found: list[tuple[str, Any]] = []
    headers = {"Authorization": f"Bearer {control.token}"}
    with httpx.stream("GET", f"{control.url}/events", headers=headers) as reply:
        assert reply.headers["Content-Type"].startswith("text/event-stream")
        lines = (line for line in reply.iter_lines() if line not in ("", ":"))
        for line in lines:
            found.append((line.removeprefix("event: "), json.loads(next(lines).removeprefix("data: "))))
            if found[-1][0] == "state" and len(found) == 2:
                ask_token(api, sandbox)
            if [kind for kind, _ in found].count("call") == 3:
                break
    calls = [(data["number"], data["status"]) for kind, data in found if kind == "call"]
    assert calls == [(1, 200), (2, None), (2, 200)]
    (state, *_) = [data for kind, data in found if kind == "state"]
    assert (state["api_url"], len(state["tokens"])) == (sandbox.api_url, 1)


def test_the_policy_of_the_page(control: ControlServer) -> None:
    """No other script, frame or address."""
    policy = httpx.get(control.url).headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "connect-src 'self'" in policy
    assert "unsafe" not in policy

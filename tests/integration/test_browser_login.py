"""User logins with a real browser on the platform's login page."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import seic
from seic.sandbox import MockClock, Sandbox
from tests._support.browser import Browser


class _Page(BaseHTTPRequestHandler):
    """The page of the application that a login redirects to."""

    def do_GET(self) -> None:
        """Answer the browser."""
        self.send_response(HTTPStatus.OK)
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>Back</title><p id=back>You are logged in.")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # as the base has it
        """Print nothing."""


@pytest.fixture
def callback() -> Iterator[str]:
    """Return the application's callback address on loopback."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Page) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/callback"
        server.shutdown()
        thread.join()


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    """Return a browser without cookies."""
    with Browser(tmp_path / "profile") as browser:
        yield browser


def begin(sandbox: Sandbox, callback: str, *, end_other_sessions: bool = False) -> seic.Login:
    """Start a login as an application does."""
    return seic.Login.begin(
        provider=seic.SEI_PLATFORM,
        hosts=seic.Hosts(api=sandbox.api_url, mtls=sandbox.mtls_url),
        client_id=sandbox.client_id,
        redirect_uri=callback,
        end_other_sessions=end_other_sessions,
    )


def fill_in(browser: Browser, sandbox: Sandbox) -> None:
    """Fill in the login form."""
    browser.fill("#email", sandbox.email)
    browser.fill("#password", sandbox.password, enter=True)


@pytest.mark.parametrize("certificate", [False, True], ids=["api host", "mtls host"])
async def test_a_login_gives_a_token(certificate: bool, callback: str, browser: Browser) -> None:
    """Authorization, login page, callback, token request within 20 seconds, call and refresh, by the real clock."""
    with Sandbox() as sandbox:
        login = begin(sandbox, callback)
        browser.open(login.url)
        assert urlsplit(browser.url).path == "/v2/oauth/login"
        assert browser.text_of("h1") == "Log in"
        assert [browser.label_of(field) for field in ("#email", "#password")] == ["Email address", "Password"]
        fill_in(browser, sandbox)
        grant = login.finish(browser.url)
        config = sandbox.config(provider=seic.SEI_PLATFORM, grant=grant, certificate=certificate)
        async with seic.AsyncClient(config) as client:
            assert (await client.get("/v1/echo")).status_code == 200
            token = await client.token()
            assert token.refresh_token is not None
            renewed = await client.token(force=True)
            assert renewed.access_token != token.access_token
            assert renewed.refresh_token != token.refresh_token
            assert (await client.get("/v1/echo")).status_code == 200
        assert browser.text_of("#back") == "You are logged in."
        counts = sandbox.counts
        assert (counts.tokens_issued, counts.token_refusals, counts.api_refusals) == (2, 0, 0)


async def test_wrong_credentials_can_be_corrected(callback: str, browser: Browser) -> None:
    """The page shows the error and keeps the email; the login continues, with the mouse this time."""
    with Sandbox() as sandbox:
        login = begin(sandbox, callback)
        browser.open(login.url)
        browser.fill("#email", sandbox.email)
        browser.fill("#password", "wrong", enter=True)
        assert browser.text_of("[role=alert]") == "The email address or the password is wrong."
        assert [browser.value_of(field) for field in ("#email", "#password")] == [sandbox.email, ""]
        browser.fill("#password", sandbox.password)
        browser.click("button.main")
        config = sandbox.config(provider=seic.SEI_PLATFORM, grant=login.finish(browser.url))
        async with seic.AsyncClient(config) as client:
            assert (await client.get("/v1/echo")).status_code == 200


async def test_a_login_can_be_cancelled(callback: str, browser: Browser) -> None:
    """The application gets an error with its own code, without any input in the form."""
    with Sandbox() as sandbox:
        login = begin(sandbox, callback)
        browser.open(login.url)
        browser.click("button[value=cancel]")
        answer = browser.url
        with pytest.raises(seic.TokenRequestRefused) as caught:
            login.finish(answer)
        assert caught.value.code == "access_denied"


async def test_an_expired_code_is_refused(callback: str, browser: Browser) -> None:
    """After twenty seconds of the sandbox's clock the user must log in again, and the error names the code."""
    clock = MockClock()
    with Sandbox(clock=clock) as sandbox:
        login = begin(sandbox, callback)
        browser.open(login.url)
        fill_in(browser, sandbox)
        grant = login.finish(browser.url)
        clock.advance(20)
        async with seic.AsyncClient(sandbox.config(provider=seic.SEI_PLATFORM, grant=grant)) as client:
            with pytest.raises(seic.TokenRequestRefused) as caught:
                await client.token()
        assert "20 seconds" in str(caught.value)


async def test_a_login_ends_the_other_session(callback: str, browser: Browser) -> None:
    """The page announces it; the other client gets an error that says so."""
    with Sandbox() as sandbox:
        async with seic.AsyncClient(sandbox.config(provider=seic.SEI_PLATFORM)) as other:
            assert (await other.get("/v1/echo")).status_code == 200
            login = begin(sandbox, callback, end_other_sessions=True)
            browser.open(login.url)
            assert "Your other sessions will end." in browser.text
            fill_in(browser, sandbox)
            config = sandbox.config(provider=seic.SEI_PLATFORM, grant=login.finish(browser.url))
            async with seic.AsyncClient(config) as client:
                assert (await client.get("/v1/echo")).status_code == 200
            ended = await other.get("/v1/echo")
        assert (ended.status_code, ended.json()["error"]["subcode"]) == (403, "018")

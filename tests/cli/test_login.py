"""`seic login`: in a browser, with a pasted address, on another device; and the commands that use the login."""

from __future__ import annotations

import io
import re
import sys
import threading
import webbrowser
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from seic.sandbox import Sandbox
from tests._support.authlib_models import REDIRECT
from tests._support.authlib_site import Site
from tests._support.command import Finished, run
from tests._support.planted import Planted
from tests._support.platform_client import log_in_at
from tests._support.sandbox_client import ECHO_PATH, client_context


@pytest.fixture
def platform(env: pytest.MonkeyPatch, sandbox: Sandbox, tmp_path: Path) -> pytest.MonkeyPatch:
    """Use the platform of the sandbox, without a service account, and with a store."""
    for name in ("USERNAME", "PASSWORD", "CERTIFICATE", "CERTIFICATE_KEY"):
        env.delenv(f"SEIC_{name}")
    env.setenv("SEIC_PROVIDER", "sei-platform")
    env.setenv("SEIC_REVOCATION_URL", "/v2/oauth/revoke")
    env.setenv("SEIC_STORE", (tmp_path / "tokens").as_uri())
    env.setenv("SEIC_STORE_KEY", "k" * 32)
    return env


def browse(patch: pytest.MonkeyPatch, visit: Callable[[str], object]) -> None:
    """Let a function take the place of the browser's user."""

    def open_page(url: str) -> bool:
        threading.Thread(target=visit, args=(url,)).start()
        return True

    patch.setattr(webbrowser, "open", open_page)


def user_of(sandbox: Sandbox) -> Callable[[str], None]:
    """Return a user who logs in with the right password."""

    def visit(url: str) -> None:
        shown = httpx.get(log_in_at(sandbox, url))
        assert shown.status_code == 200
        assert "Logged in" in shown.text

    return visit


def test_a_login_in_the_browser(platform: pytest.MonkeyPatch, sandbox: Sandbox) -> None:
    """Later commands use it, refresh it and end it; without it they say what to do."""
    before = run("token", "--login")
    browse(platform, user_of(sandbox))
    done = run("login")
    first, second = run("token", "--login"), run("token", "--login")
    call = run("request", "GET", ECHO_PATH, "--login")
    renewed = run("token", "--login", "--force")
    ended = run("token", "--login", "revoke")
    after = run("token", "--login")

    assert before.code == after.code == 6
    assert before.err == "seic: nobody has logged in, or the login has ended; run `seic login`\n"
    assert done.code == 0, done.err
    assert done.out == ""
    assert "the token is valid until " in done.err
    assert (first.code, call.code, ended.code) == (0, 0, 0)
    assert first.out == second.out != renewed.out


def test_a_login_is_explained(platform: pytest.MonkeyPatch, sandbox: Sandbox) -> None:
    """Each step, without a secret, a code or a state."""
    planted = Planted()
    planted.add_sandbox(sandbox)
    callbacks: list[str] = []

    def visit(url: str) -> None:
        callbacks.append(log_in_at(sandbox, url))
        httpx.get(callbacks[0])

    browse(platform, visit)
    done = run("login", "--explain")
    # The address with the state is printed too, for a browser that does not open.
    printed = next(line for line in done.err.splitlines() if line.startswith("https://"))
    steps = done.err.replace(printed, "")

    assert done.code == 0
    assert re.findall(r"^(\d)\. ", done.err, re.MULTILINE) == ["1", "2", "3", "4", "5"]
    assert "RFC 6749 §4.1.3" in done.err
    assert planted.find(done.err) == []
    for name in ("code", "state"):
        assert parse_qs(urlsplit(callbacks[0]).query)[name][0] not in steps


def test_other_requests_do_not_end_the_login(platform: pytest.MonkeyPatch, sandbox: Sandbox) -> None:
    """Any page can send requests to loopback: another state, none, another path."""
    answers: list[int] = []

    def visit(url: str) -> None:
        callback = log_in_at(sandbox, url)
        place = callback.partition("?")[0]
        others = (f"{place}?code=x&state=other", place, f"{place}/favicon.ico", callback.replace("/callback", "/other"))
        answers.extend(httpx.get(other).status_code for other in others)
        httpx.get(callback)

    browse(platform, visit)

    assert run("login").code == 0
    assert answers == [404] * 4


def test_a_refused_login(platform: pytest.MonkeyPatch) -> None:
    """The provider's reason, in a sentence."""

    def visit(url: str) -> None:
        query = parse_qs(urlsplit(url).query)
        parameters = {"error": "access_denied", "error_description": "not today", "state": query["state"][0]}
        assert "The login failed" in httpx.get(query["redirect_url"][0], params=parameters).text

    browse(platform, visit)
    done = run("login")

    assert done.code == 6
    assert "access_denied: not today" in done.err


def test_nobody_logs_in(platform: pytest.MonkeyPatch) -> None:
    """The wait has an end."""
    browse(platform, lambda url: None)
    done = run("login", "--timeout", "0.1")

    assert done.code == 6
    assert "was not finished within" in done.err


class _Pasted:
    """Stdin of a user who opens the address on the screen elsewhere, and pastes the one that it leads to."""

    def __init__(self, log_in: Callable[[str], str]) -> None:
        self._log_in = log_in

    def readline(self) -> str:
        """Return the pasted line."""
        assert isinstance(sys.stderr, io.StringIO)
        url = next(line for line in sys.stderr.getvalue().splitlines() if line.startswith("https://"))
        return f"{self._log_in(url)}\n"


def _paste(patch: pytest.MonkeyPatch, log_in: Callable[[str], str]) -> None:
    patch.setattr(sys, "stdin", _Pasted(log_in))


def test_a_login_without_a_browser(platform: pytest.MonkeyPatch, sandbox: Sandbox) -> None:
    """The address is printed, and the one that it leads to is asked for; nothing is opened."""
    platform.setattr(webbrowser, "open", lambda url: pytest.fail("a browser was opened"))
    _paste(platform, lambda url: log_in_at(sandbox, url))

    assert run("login", "--no-browser").code == 0
    assert run("token", "--login").code == 0


def test_the_callback_of_another_login(platform: pytest.MonkeyPatch, sandbox: Sandbox) -> None:
    """Its state does not match, so its code is not used."""
    before = sandbox.counts.api.token_requests
    _paste(platform, lambda url: re.sub(r"state=[^&]*", "state=other", log_in_at(sandbox, url)))
    refused = run("login", "--no-browser")

    assert refused.code == 6
    assert "state does not match" in refused.err
    assert sandbox.counts.api.token_requests == before


def test_a_login_needs_a_store(platform: pytest.MonkeyPatch) -> None:
    """And a provider with logins, and a free port."""
    assert run("login", "--port", "99999").code == 3
    platform.delenv("SEIC_STORE")
    platform.delenv("SEIC_STORE_KEY")
    assert "set SEIC_STORE" in run("login").err
    assert "set SEIC_STORE" in run("token", "--login").err


def test_a_provider_without_logins(platform: pytest.MonkeyPatch) -> None:
    """The gateway has none."""
    platform.setenv("SEIC_PROVIDER", "sei-gateway")
    refused = run("login")

    assert refused.code == 3
    assert "SEI gateway has no login in a browser; set SEIC_ISSUER" in refused.err
    assert "SEI gateway has no login on another device (--device); " in run("login", "--device").err


def _use(login: Finished) -> None:
    """Check that later commands use the login, and refresh it."""
    assert login.code == 0, login.err
    call = run("request", "GET", "/api", "--login")
    assert '"user":"ann"' in call.out.replace(" ", ""), call.err
    assert run("token", "--login").out != run("token", "--login", "--force").out


def test_a_login_at_another_issuer(site: Site) -> None:
    """Its endpoints come from its metadata; PKCE is used."""

    def log_in(url: str) -> str:
        assert "code_challenge=" in url
        with httpx.Client(verify=client_context(site.ca)) as client:
            return str(client.get(url).headers["Location"])

    with pytest.MonkeyPatch.context() as patch:
        _paste(patch, log_in)
        done = run("login", "--no-browser", "--redirect-uri", REDIRECT, "--scope", "read")
    _use(done)


def test_a_login_on_another_device(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The code on the screen is approved while the command polls."""

    async def approve(_seconds: float) -> None:
        site.server.state.approved.update(device["user_code"] for device in site.server.state.devices.values())

    monkeypatch.setattr("anyio.sleep", approve)
    done = run("login", "--device", "--scope", "read")

    assert re.search(r"/activate and type the code [\w-]+", done.err)
    _use(done)


def test_a_login_on_another_device_that_nobody_finishes(site: Site) -> None:
    """It ends with --timeout, however long the provider would wait."""
    done = run("login", "--device", "--timeout", "0.1")

    assert done.code == 6
    assert "the login was not finished within 0.1 s; start again" in done.err


def test_the_doctor_with_a_login(platform: pytest.MonkeyPatch, sandbox: Sandbox) -> None:
    """Without a login it checks the rest, and names what cannot be tried; with one it tries that too."""
    before = run("doctor", "--login", "--brief")
    browse(platform, user_of(sandbox))
    assert run("login").code == 0
    after = run("doctor", "--login", "--brief", "--path", ECHO_PATH)
    platform.delenv("SEIC_STORE")
    platform.delenv("SEIC_STORE_KEY")
    without_store = run("doctor", "--login", "--brief")

    assert before.code == 6
    assert [line.split()[0] for line in before.out.splitlines()].count("\N{BALLOT X}") == 1
    assert (
        "nobody has logged in, or the login has ended; without it no token and no API call can be tried" in before.out
    )
    assert "\N{RIGHTWARDS ARROW} run `seic login`" in before.out
    assert after.code == 0, after.out
    assert f"GET {ECHO_PATH}: 200" in after.out
    assert without_store.code == 3
    assert "set SEIC_STORE" in without_store.out

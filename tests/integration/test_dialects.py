"""Each grant of the three dialects, against the sandbox: token, API call, renewal, and the final error."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest

import seic
from seic import Clock
from seic.sandbox import MockClock, Sandbox
from tests._support.browser import Browser
from tests._support.platform_client import CALLBACK, Page, open_page
from tests._support.sandbox_client import api_client

ECHO = "/v1/echo"
LATER = 3_601.0

GATEWAY = attrs.evolve(seic.SEI_GATEWAY, session_token_field="sessionToken")


@pytest.fixture
def sandbox(manual: MockClock) -> Iterator[Sandbox]:
    """Run a sandbox with a manual clock."""
    with Sandbox(clock=manual, redirect_urls=[CALLBACK]) as sandbox:
        yield sandbox


def log_in(sandbox: Sandbox, **options: Any) -> tuple[seic.Login, str]:
    """Start a login, perform it without a browser, and return it with its callback."""
    hosts = seic.Hosts(api=sandbox.api_url)
    login = seic.Login.begin(
        provider=seic.SEI_PLATFORM, client_id=sandbox.client_id, redirect_uri=CALLBACK, hosts=hosts, **options
    )
    with api_client(sandbox) as browser:
        page: Page = open_page(browser, sandbox, **dict(httpx.URL(login.url).params))
        reply = page.submit(email=sandbox.email, password=sandbox.password)
    return login, reply.headers["Location"]


def by_code(sandbox: Sandbox) -> seic.AuthorizationCode:
    """Return the grant of a user login."""
    login, callback = log_in(sandbox)
    return login.finish(callback)


def by_refresh_token(sandbox: Sandbox, provider: seic.Provider, grant: Any) -> seic.RefreshToken:
    """Return a grant with the refresh token of another login."""
    with seic.Client(sandbox.config(provider=provider, grant=grant)) as client:
        return seic.RefreshToken(refresh_token=client.token().refresh_token or "")


def gateway_password(sandbox: Sandbox) -> seic.Password:
    """Return the grant with the account's name and password."""
    return seic.Password(username=sandbox.username, password=lambda: sandbox.password)


_GRANTS: list[Any] = [
    pytest.param(
        GATEWAY,
        lambda box: seic.ClientCredentials(username=box.username, password=lambda: box.password),
        id="gateway, client_credentials",
    ),
    pytest.param(GATEWAY, gateway_password, id="gateway, password"),
    pytest.param(
        GATEWAY, lambda box: by_refresh_token(box, GATEWAY, gateway_password(box)), id="gateway, refresh_token"
    ),
    pytest.param(
        GATEWAY, lambda box: seic.SessionToken(session_token=lambda: box.session_token), id="gateway, sessionToken"
    ),
    pytest.param(seic.SEI_PLATFORM, by_code, id="platform, authorization_code"),
    pytest.param(
        seic.SEI_PLATFORM,
        lambda box: by_refresh_token(box, seic.SEI_PLATFORM, by_code(box)),
        id="platform, refresh_token",
    ),
    pytest.param(
        seic.SEI_PLATFORM,
        lambda box: seic.ClientCredentials(username=box.email, password=box.password),
        id="platform, client_credentials",
    ),
    pytest.param(
        seic.SEI_PLATFORM,
        lambda box: seic.Saml2Bearer(saml_assertion=box.saml_assertion),
        id="platform, saml2-bearer assertion",
    ),
    pytest.param(
        seic.SEI_PLATFORM,
        lambda box: seic.Saml2Bearer(saml_response=box.saml_response),
        id="platform, saml2-bearer response",
    ),
    pytest.param(seic.OAUTH2, lambda box: seic.ClientCredentials(), id="plain, client_credentials"),
]


@pytest.mark.parametrize(("provider", "grant"), _GRANTS)
async def test_a_grant_gives_tokens(
    provider: seic.Provider, grant: Callable[[Sandbox], Any], sandbox: Sandbox, manual: MockClock, clock: Clock
) -> None:
    """The API accepts the token, it is renewed after it expires, and nothing is used twice."""
    config = sandbox.config(provider=provider, grant=grant(sandbox))
    async with seic.AsyncClient(config, auth=seic.OAuth2Auth(config, clock=clock)) as client:
        tokens = set()
        for _ in range(3):
            assert (await client.get(ECHO)).status_code == 200
            tokens.add((await client.token()).access_token)
            manual.advance(LATER)
        assert len(tokens) == 3
        assert client.stats.token_requests == 3
        assert client.stats.token_failures == 0


@pytest.mark.parametrize(("provider", "grant"), _GRANTS)
def test_a_token_of_a_grant_is_revoked(
    provider: seic.Provider, grant: Callable[[Sandbox], Any], sandbox: Sandbox
) -> None:
    """The API rejects a revoked token, in each dialect."""
    with seic.Client(sandbox.config(provider=provider, grant=grant(sandbox))) as client:
        token = client.token()
        assert client.get(ECHO).status_code == 200
        client.revoke()
    with api_client(sandbox) as other:
        headers = {"Authorization": f"Bearer {token.access_token}", "AppKey": sandbox.client_id}
        assert other.get(ECHO, headers=headers).status_code == 401


async def test_token_info_of_the_platform(sandbox: Sandbox) -> None:
    """It has its own request, with a typed result."""
    async with seic.AsyncClient(sandbox.config(provider=seic.SEI_PLATFORM, grant=by_code(sandbox))) as client:
        info = await client.token_info()
    assert (info.active, info.username) == (True, sandbox.email)
    assert info.refresh_expires_in is not None


async def test_token_info_of_the_plain_provider(sandbox: Sandbox) -> None:
    """It uses introspection (RFC 7662)."""
    async with seic.AsyncClient(sandbox.config(provider=seic.OAUTH2)) as client:
        info = await client.token_info()
    assert (info.active, info.client_id) == (True, sandbox.client_id)


async def test_a_code_expires_after_twenty_seconds(sandbox: Sandbox, manual: MockClock) -> None:
    """The error names the lifetime of the code."""
    grant = by_code(sandbox)
    manual.advance(21)
    async with seic.AsyncClient(sandbox.config(provider=seic.SEI_PLATFORM, grant=grant)) as client:
        with pytest.raises(seic.TokenRequestRefused):
            await client.token()


async def test_another_session_is_not_ended_by_default(manual: MockClock) -> None:
    """The error names the remedy and its effect; the remedy works."""
    with Sandbox(clock=manual, one_session=True) as sandbox:

        def config(**options: Any) -> seic.Config:
            grant = seic.ClientCredentials(username=sandbox.email, password=sandbox.password, **options)
            return sandbox.config(provider=seic.SEI_PLATFORM, grant=grant)

        async with seic.AsyncClient(config()) as first:
            await first.token()
            async with seic.AsyncClient(config()) as second:
                with pytest.raises(seic.TokenRequestRefused, match="end_other_sessions=True"):
                    await second.token()
            assert (await first.get(ECHO)).status_code == 200
            async with seic.AsyncClient(config(end_other_sessions=True)) as third:
                assert (await third.get(ECHO)).status_code == 200


class _Callback(BaseHTTPRequestHandler):
    """The callback of the web application; it records the address of the request."""

    paths: list[str]

    def do_GET(self) -> None:
        """Answer the browser."""
        self.paths.append(self.path)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<title>back</title>You are back.")

    def log_message(self, *args: object) -> None:
        """Print nothing."""


def test_a_login_in_a_browser(tmp_path: Path) -> None:
    """All steps: authorization, the login page in Chromium, the redirect, the code, a token, a refresh."""
    handler = type("Callback", (_Callback,), {"paths": []})
    with HTTPServer(("127.0.0.1", 0), handler) as application:
        threading.Thread(target=application.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        callback = f"http://127.0.0.1:{application.server_port}/callback"
        with Sandbox(redirect_urls=[callback]) as sandbox, Browser(tmp_path) as browser:
            hosts = seic.Hosts(api=sandbox.api_url)
            login = seic.Login.begin(
                provider=seic.SEI_PLATFORM, client_id=sandbox.client_id, redirect_uri=callback, hosts=hosts
            )
            browser.open(login.url)
            browser.fill("input[name=email]", sandbox.email)
            browser.fill("input[name=password]", sandbox.password)
            browser.click("button[value=log-in]")
            grant = login.finish(browser.url)
            assert "You are back" in browser.text
            with seic.Client(sandbox.config(provider=seic.SEI_PLATFORM, grant=grant)) as client:
                assert client.get(ECHO).status_code == 200
                assert client.token_info().username == sandbox.email
                first = client.token()
                assert client.token(force=True).refresh_token != first.refresh_token
        application.shutdown()
    assert [path.partition("?")[0] for path in vars(handler)["paths"] if "favicon" not in path] == ["/callback"]

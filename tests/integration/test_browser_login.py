"""A person logs in: a real browser at the platform's login page, the SDK at both ends of the flow."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import attrs
import pytest

import seic
from seic.sandbox import ManualClock, Sandbox
from tests._support.browser import Browser, open_browser


@attrs.frozen
class Callback:
    """The application's own address on loopback, which takes one login back."""

    url: str
    _answer: asyncio.Future[str]

    async def answer(self) -> str:
        """Return the whole address that the browser was sent to."""
        return await asyncio.wait_for(self._answer, 60)


@contextlib.asynccontextmanager
async def listening() -> AsyncIterator[Callback]:
    """Wait for a browser to come back."""
    answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def reply(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        target = request.split(b" ", 2)[1].decode()
        # Browsers also ask for an icon.
        if target.startswith("/callback") and not answer.done():
            answer.set_result(f"{origin}{target}")
        page = b"<!doctype html><title>Back</title><p id=back>You are logged in."
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n" + page)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(reply, "127.0.0.1", 0) as server:
        origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield Callback(f"{origin}/callback", answer)


def begin(sandbox: Sandbox, callback: Callback, *, end_other_sessions: bool = False) -> seic.Login:
    """Begin a login as an application does."""
    return seic.Login.begin(
        provider=seic.SEI_PLATFORM,
        hosts=seic.Hosts(api=sandbox.api_url, mtls=sandbox.mtls_url),
        client_id=sandbox.client_id,
        redirect_uri=callback.url,
        end_other_sessions=end_other_sessions,
    )


async def fill_in(browser: Browser, sandbox: Sandbox) -> None:
    """Type what a person types."""
    await browser.type("#email", sandbox.email)
    await browser.type("#password", sandbox.password, enter=True)


@pytest.mark.parametrize("certificate", [False, True], ids=["api host", "mtls host"])
async def test_person_logs_in_and_the_code_becomes_a_token(certificate: bool) -> None:
    """Authorize, login page, callback, exchange within the code's 20 seconds, call, renewal: by the real clock."""
    async with Sandbox() as sandbox, listening() as callback, open_browser(sandbox.api_url, sandbox.ca_pem) as browser:
        login = begin(sandbox, callback)
        await browser.open(login.url)
        assert urlsplit(await browser.address()).path == "/v2/oauth/login"
        assert await browser.text("h1") == "Log in"
        assert [await browser.label(field) for field in ("#email", "#password")] == ["Email address", "Password"]
        await fill_in(browser, sandbox)
        grant = login.finish(await callback.answer())
        config = sandbox.config(provider=seic.SEI_PLATFORM, grant=grant, certificate=certificate)
        async with seic.AsyncClient(config) as client:
            assert (await client.get("/v1/echo")).status_code == 200
            token = await client.token()
            assert token.refresh_token is not None
            renewed = await client.token(force=True)
            assert renewed.access_token != token.access_token
            assert renewed.refresh_token != token.refresh_token
            assert (await client.get("/v1/echo")).status_code == 200
        assert await browser.text("#back") == "You are logged in."
        counts = sandbox.counts
        assert (counts.tokens_issued, counts.token_refusals, counts.api_refusals) == (2, 0, 0)


async def test_person_mistypes_and_tries_again() -> None:
    """The page says so and keeps the email; the login goes on from there, with the mouse this time."""
    async with Sandbox() as sandbox, listening() as callback, open_browser(sandbox.api_url, sandbox.ca_pem) as browser:
        login = begin(sandbox, callback)
        await browser.open(login.url)
        await browser.type("#email", sandbox.email)
        await browser.type("#password", "wrong", enter=True)
        assert await browser.text("[role=alert]") == "The email address or the password is wrong."
        assert [await browser.value(field) for field in ("#email", "#password")] == [sandbox.email, ""]
        await browser.type("#password", sandbox.password)
        await browser.click("button.main")
        config = sandbox.config(provider=seic.SEI_PLATFORM, grant=login.finish(await callback.answer()))
        async with seic.AsyncClient(config) as client:
            assert (await client.get("/v1/echo")).status_code == 200


async def test_person_cancels() -> None:
    """The application learns it as an error with a code of its own, without a field being filled in."""
    async with Sandbox() as sandbox, listening() as callback, open_browser(sandbox.api_url, sandbox.ca_pem) as browser:
        login = begin(sandbox, callback)
        await browser.open(login.url)
        await browser.click("button[value=cancel]")
        answer = await callback.answer()
        with pytest.raises(seic.TokenRequestRefused) as caught:
            login.finish(answer)
        assert caught.value.code == "access_denied"


async def test_code_that_waited_is_refused() -> None:
    """After twenty seconds of the sandbox's clock a person has to log in again, and the error speaks of the code."""
    clock = ManualClock()
    async with (
        Sandbox(clock=clock) as sandbox,
        listening() as callback,
        open_browser(sandbox.api_url, sandbox.ca_pem) as browser,
    ):
        login = begin(sandbox, callback)
        await browser.open(login.url)
        await fill_in(browser, sandbox)
        grant = login.finish(await callback.answer())
        clock.advance(20)
        async with seic.AsyncClient(sandbox.config(provider=seic.SEI_PLATFORM, grant=grant)) as client:
            with pytest.raises(seic.TokenRequestRefused) as caught:
                await client.token()
        assert "20 seconds" in str(caught.value)


async def test_login_ends_the_persons_other_session() -> None:
    """The page says so beforehand; the other client is told what happened to it."""
    async with Sandbox() as sandbox, listening() as callback, open_browser(sandbox.api_url, sandbox.ca_pem) as browser:
        async with seic.AsyncClient(sandbox.config(provider=seic.SEI_PLATFORM)) as other:
            assert (await other.get("/v1/echo")).status_code == 200
            login = begin(sandbox, callback, end_other_sessions=True)
            await browser.open(login.url)
            assert "Your sessions elsewhere will be ended." in await browser.text()
            await fill_in(browser, sandbox)
            config = sandbox.config(provider=seic.SEI_PLATFORM, grant=login.finish(await callback.answer()))
            async with seic.AsyncClient(config) as client:
                assert (await client.get("/v1/echo")).status_code == 200
            ended = await other.get("/v1/echo")
        assert (ended.status_code, ended.json()["error"]["subcode"]) == (403, "018")

"""The example application in production: browser, nginx, uvicorn workers, nginx with mutual TLS, sandbox."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import attrs
import httpx
import pytest
from cryptography.fernet import Fernet

from seic.sandbox import CertificateAuthority, Sandbox
from tests._support.browser import Browser
from tests._support.nginx import Nginx
from tests._support.uvicorn_app import Served, free_port

WORKERS = 2
_OURS = CertificateAuthority()


@attrs.frozen(kw_only=True)
class Stage:
    """All processes: `edge` in front of the application, `gateway` in front of the sandbox."""

    url: str
    context: ssl.SSLContext
    served: Served
    sandbox: Sandbox
    gateway: Nginx

    def client(self) -> httpx.AsyncClient:
        """Return a client of the application."""
        limits = httpx.Limits(max_connections=None)
        return httpx.AsyncClient(base_url=self.url, verify=self.context, timeout=60, limits=limits)


@contextlib.contextmanager
def staged(folder: Path, *, log_level: str = "INFO") -> Iterator[Stage]:
    """Start all processes, the sandbox first."""
    path = folder / "app.sock"
    with contextlib.ExitStack() as stack:
        edge = Nginx(folder / "edge", upstream=f"http://unix:{path}", authority=_OURS)
        sandbox = stack.enter_context(Sandbox(behind_proxy=True, redirect_urls=[f"{edge.api_url}/login/callback"]))
        gateway = stack.enter_context(
            Nginx(folder / "gateway", upstream=sandbox.proxy_url, authority=sandbox.authority)
        )
        certificate = folder / "client.pem"
        certificate.touch(mode=0o600)
        certificate.write_bytes(sandbox.client_certificate_pem + sandbox.client_key_pem)
        environment = {
            "SEIC_CLIENT_ID": sandbox.client_id,
            "SEIC_CLIENT_SECRET": sandbox.client_secret,
            "SEIC_USERNAME": sandbox.username,
            "SEIC_PASSWORD": sandbox.password,
            "SEIC_CERTIFICATE": str(certificate),
            "SEIC_API_HOST": gateway.api_url,
            "SEIC_MTLS_HOST": gateway.mtls_url,
            "SEIC_CA": sandbox.ca_pem.decode(),
            "APP_URL": edge.api_url,
            "APP_KEY": Fernet.generate_key().decode(),
            "APP_TOKENS": str(folder / "tokens"),
            "APP_LOG_LEVEL": log_level,
        }
        served = stack.enter_context(Served(path, workers=WORKERS, environment=environment))
        stack.enter_context(edge)
        context = ssl.create_default_context(cadata=_OURS.cert_pem.decode())
        yield Stage(url=edge.api_url, context=context, served=served, sandbox=sandbox, gateway=gateway)


async def test_concurrent_requests_and_a_revoked_token(tmp_path: Path) -> None:
    """Two workers need one token each, and another after these are revoked; no call fails."""
    with staged(tmp_path) as stage:
        async with stage.client() as client:

            async def call() -> tuple[int, int]:
                reply = await client.get("/accounts")
                return reply.status_code, len(reply.content)

            first = await asyncio.gather(*(call() for _ in range(200)))
            stage.sandbox.revoke_all()
            second = await asyncio.gather(*(call() for _ in range(200)))
            ready = (await client.get("/ready")).json()
        stage.served.terminate()
        code = stage.served.wait()

    assert set(first) == set(second) == {(200, first[0][1])}
    assert first[0][1] > 0
    counts = stage.sandbox.counts
    assert WORKERS <= counts.mtls.token_requests <= 2 * WORKERS
    assert counts.api.token_requests == 0
    assert ready["status"] == "pass"
    assert ready["clients"]["default"]["certificate"]["days_left"] > 700
    assert {seen.verify for seen in stage.gateway.seen} == {"SUCCESS"}
    assert code == 0
    assert stage.served.complaints == []


async def test_a_shutdown_loses_no_request(tmp_path: Path) -> None:
    """Requests that wait for a token during a shutdown are answered; then the application ends without an error."""
    calls = 20
    with staged(tmp_path, log_level="DEBUG") as stage:
        async with stage.client() as client:
            with stage.sandbox.hold_tokens() as hold:
                replies = [asyncio.create_task(client.get("/accounts")) for _ in range(calls)]
                await asyncio.to_thread(hold.wait_for, 1)
                await asyncio.to_thread(stage.served.wait_for, "seic:token wait started", times=calls)
                stage.served.terminate()
                await asyncio.to_thread(stage.served.wait_for, "Waiting for connections to close", times=1)
                assert not any(reply.done() for reply in replies)
            answers = await asyncio.gather(*replies)
        code = await asyncio.to_thread(stage.served.wait)

    assert [answer.status_code for answer in answers] == [200] * calls
    assert code == 0
    assert stage.served.complaints == []
    assert sum("Finished server process" in line for line in stage.served.lines) == WORKERS


def test_a_login_in_a_browser(tmp_path: Path) -> None:
    """From the protected page to the platform's login and back, through both workers, then a logout."""
    with staged(tmp_path) as stage, Browser(tmp_path / "profile") as browser:
        browser.open(f"{stage.url}/")
        assert browser.url.startswith(f"{stage.gateway.api_url}/v2/oauth/")
        browser.fill("#email", stage.sandbox.email)
        browser.fill("#password", "wrong")
        browser.click("button.main")
        assert "wrong" in browser.text
        browser.fill("#password", stage.sandbox.password)
        browser.click("button.main")

        assert browser.url == f"{stage.url}/"
        assert f"Hello {stage.sandbox.email}" in browser.text
        # The platform has the same host, and cookies are independent of ports.
        cookies = browser.cookies()
        assert set(cookies) - {"__Host-seic-sandbox"} == {"__Host-seic-session"}
        cookie = cookies["__Host-seic-session"]
        assert (cookie["httpOnly"], cookie["secure"], cookie["sameSite"]) == (True, True, "Lax")
        assert browser.run("document.cookie") == ""
        # Often enough that both workers are called.
        for _ in range(8):
            browser.open(f"{stage.url}/me")
            assert stage.sandbox.email in browser.text

        browser.open(f"{stage.url}/")
        browser.click("#logout")
        assert browser.url.startswith(f"{stage.gateway.api_url}/v2/oauth/")
        # Before the next login there is only its own cookie, and no session.
        (name,) = set(browser.cookies()) - {"__Host-seic-sandbox"}
        assert name.startswith("__Host-seic-login-")


def test_the_example_runs_on_one_machine(tmp_path: Path) -> None:
    """One command without registration: a call over mutual TLS, a login over plain http, and Ctrl-C."""
    port = free_port()
    with Served.locally(port) as served, Browser(tmp_path / "profile") as browser:
        said = {name: text for name, _, text in (line.partition(": ") for line in served.lines)}
        url = f"http://localhost:{port}"
        assert httpx.get(f"{url}/accounts", trust_env=False).status_code == 200
        browser.open(f"{url}/?q=%2F%25")
        browser.fill("#email", said["email"].strip())
        browser.fill("#password", said["password"], enter=True)
        assert browser.url == f"{url}/?q=%2F%25"
        assert f"Hello {said['email'].strip()}" in browser.text
        browser.open(f"{url}/me")
        assert said["email"].strip() in browser.text
        served.interrupt()
        code = served.wait()

    assert code == 0
    assert served.complaints == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_example_ends_with_its_processes(number: signal.Signals) -> None:
    """A signal to the example ends its server and workers too, and frees the port."""
    port = free_port()
    with Served.locally(port) as served:
        served.terminate(number)
        code = served.wait()

    assert code == 128 + number
    assert served.complaints == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


def test_the_page_shows_the_readiness(tmp_path: Path) -> None:
    """The page uses the same address as a probe; its screenshot is in the documentation."""
    with staged(tmp_path) as stage, Browser(tmp_path / "profile") as browser:
        browser.open(f"{stage.url}/ready")

        assert "Not tried yet" in browser.text
        assert "days left" in browser.text
        # The content security policy of the page allows its own style.
        assert browser.run("getComputedStyle(document.querySelector('section')).borderRadius") == "14.4px"


@pytest.mark.parametrize("header", ["__Host-seic-session=forged", ""], ids=["forged", "none"])
async def test_a_program_without_a_session_gets_a_401(header: str, tmp_path: Path) -> None:
    """Through all proxies."""
    with staged(tmp_path) as stage:
        async with stage.client() as client:
            reply = await client.get("/me", headers={"Cookie": header} if header else {})

    assert reply.status_code == 401

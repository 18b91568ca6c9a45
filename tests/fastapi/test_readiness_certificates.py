"""Readiness of clients whose certificate was rejected, cannot be loaded, or is waited for."""

from __future__ import annotations

import threading
from pathlib import Path

import anyio.to_thread
import httpx
import pytest
from cryptography.fernet import Fernet
from fastapi import FastAPI
from fastapi.testclient import TestClient

import seic
from seic.fastapi import Logins, lifespan, readiness_route
from seic.sandbox import CertificateAuthority
from seic.testing import MockProvider
from tests._support.platform_mock import CALLBACK, PlatformMock
from tests._support.readiness import BROWSER, app_of, certificate


def test_a_rejected_new_certificate_is_the_last_error(gateway: MockProvider, tmp_path: Path) -> None:
    """The old one still works, so readiness does not fail; the path is not shown."""
    pair = CertificateAuthority().issue("svc-user")
    path = tmp_path / "client.pem"
    path.write_bytes(pair.cert_pem + pair.key_pem)
    path.chmod(0o600)
    app = app_of(gateway, gateway.config(certificate=seic.ClientCertificate.load(path)), warm=True)
    with TestClient(app) as browser:
        path.write_bytes(b"truncated")
        assert browser.portal is not None
        with pytest.raises(seic.CertificateError):
            browser.portal.call(app.state.seic["default"].reload_certificate)
        reply = browser.get("/ready")

    assert reply.json()["clients"]["default"]["last_error"]["what"] == "certificate rejected"
    assert reply.json()["clients"]["default"]["status"] != "fail"
    assert "client.pem" not in reply.text


def test_a_certificate_that_cannot_be_loaded_fails(gateway: MockProvider) -> None:
    """A callback that raises leaves the client unable to connect."""

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
        "reason": reply.json()["clients"]["default"]["certificate"]["reason"],
    }
    assert "unusable" in page
    assert "vault" not in reply.text + page


@pytest.mark.parametrize("at_logins", [False, True], ids=["a client", "logins"])
async def test_a_blocked_certificate_callback_delays_no_probe(
    at_logins: bool, gateway: MockProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is called once, however many probes come, and each gets its answer."""
    timeout = "seic.fastapi._readiness._CERTIFICATE_TIMEOUT"
    monkeypatch.setattr(timeout, 0.0)
    vault, called = threading.Event(), threading.Event()
    calls: list[int] = []

    def from_vault() -> seic.ClientCertificate:
        calls.append(1)
        called.set()
        vault.wait()
        return certificate(left=400)

    app = FastAPI(routes=[readiness_route("/ready")])
    if at_logins:
        platform = PlatformMock()
        logins = Logins(platform.config(certificate=from_vault), callback_url=CALLBACK, key=Fernet.generate_key())
        running = lifespan({}, also=logins.lifespan)
    else:
        running = lifespan(gateway.config(certificate=from_vault), transport=gateway)
    transport = httpx.ASGITransport(app)
    async with running(app), httpx.AsyncClient(transport=transport, base_url="http://app") as browser:
        red = [(await browser.get("/ready")).status_code for _ in range(3)]
        assert await anyio.to_thread.run_sync(called.wait, 30)
        assert (red, len(calls)) == ([503] * 3, 1)
        vault.set()
        monkeypatch.setattr(timeout, 60.0)
        assert (await browser.get("/ready")).status_code == 200

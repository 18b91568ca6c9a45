"""Tests of the application against the sandbox.

pytest test_app.py
pytest --seic-chaos test_app.py   # again with each standard fault
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from fastapi import FastAPI
from fastapi.testclient import TestClient


@pytest.fixture
def app(seic_environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    """The application, imported with the settings of the sandbox."""
    monkeypatch.setenv("APP_URL", "http://localhost:8000")
    monkeypatch.setenv("APP_KEY", Fernet.generate_key().decode())
    monkeypatch.setenv("APP_TOKENS", str(tmp_path / "tokens"))
    monkeypatch.syspath_prepend(Path(__file__).parent)
    monkeypatch.delitem(sys.modules, "app", raising=False)
    application: FastAPI = importlib.import_module("app").app
    return application


def test_accounts(app: FastAPI, seic_fault: str | None) -> None:
    """A caller gets the accounts, or problem details that say whether to try again."""
    with TestClient(app) as client:
        reply = client.get("/accounts")

    if seic_fault is None:
        assert reply.status_code == 200
    if reply.status_code != 200:
        assert reply.status_code in {502, 503, 504}
        assert reply.headers["Content-Type"] == "application/problem+json"


def test_readiness(app: FastAPI) -> None:
    """The probe is answered, and follows the calls of the service."""
    with TestClient(app) as client:
        status = client.get("/accounts").status_code
        ready = client.get("/ready")

    assert ready.status_code in ({200} if status == 200 else {200, 503})
    assert ready.json()["status"]


def test_others_are_sent_to_the_login(app: FastAPI) -> None:
    """Without a session."""
    with TestClient(app) as client:
        page = client.get("/", headers={"Accept": "text/html"}, follow_redirects=False)

    assert page.status_code == 303
    assert page.headers["Location"].startswith("/login")

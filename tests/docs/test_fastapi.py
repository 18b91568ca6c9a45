"""docs/fastapi.md: its examples, their handlers, and the public names."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from seic import fastapi
from seic.sandbox import Sandbox
from tests._support.documents import ROOT, run_blocks, set_environment
from tests._support.issuer import NOW, issuer_of
from tests._support.platform_client import log_in_at

_FILE = "docs/fastapi.md"
_TEXT = (ROOT / _FILE).read_text(encoding="utf-8")


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """Return the gateway of the examples."""
    with Sandbox(redirect_urls=["https://app.example/login/callback"]) as sandbox:
        set_environment(sandbox, monkeypatch)
        yield sandbox


def test_the_examples_run_and_their_handlers_answer(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks run in order, in one namespace; each handler of each application is called."""
    apps: list[FastAPI] = []
    issuer = issuer_of()

    class Recorded(FastAPI):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            apps.append(self)

    monkeypatch.setattr("fastapi.FastAPI", Recorded)
    bearer = functools.partial(fastapi.BearerTokens, transport=issuer.transport, now=lambda: NOW)
    monkeypatch.setattr(fastapi, "BearerTokens", bearer)
    run_blocks(_FILE)

    answers = {}
    for app in apps:
        with TestClient(app, base_url="https://app.example") as browser:
            if "/me" in app.openapi()["paths"]:
                callback = log_in_at(sandbox, browser.get("/login", follow_redirects=False).headers["Location"])
                assert browser.get(callback, follow_redirects=False).status_code == 303
            headers = {"Authorization": f"Bearer {issuer.token(scope='accounts:write')}"}
            for path, operations in app.openapi()["paths"].items():
                for method in operations:
                    reply = browser.request(method, path, headers=headers)
                    assert reply.status_code == 200, (path, reply.text)
                    answers[f"{method} {path}"] = reply.json()
    assert answers["get /me"]["username"] == sandbox.email
    assert answers["get /"] == f"Hello {sandbox.email}"
    assert answers["get /mine"] == "user-1"
    assert answers["get /mine/claims"]["scopes"] == ["accounts:write"]
    assert {"get /accounts", "get /positions", "delete /mine"} <= answers.keys()


def test_every_public_name_is_in_the_page() -> None:
    """Except the names that a user does not call."""
    unnamed = {"Clients", "LoginStateStorage", "problem_of", "ForwardedCertificate", "MalformedCertificate"}
    for name in {*fastapi.__all__} - unnamed:
        assert name in _TEXT, name

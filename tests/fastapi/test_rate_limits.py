"""A rate limit in a FastAPI application, over TLS and HTTP/2 to the sandbox."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

import seic
import seic.httpx2
from seic.fastapi import add_exception_handlers
from seic.sandbox import Sandbox


@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
@pytest.mark.parametrize("kind", [seic.Client, seic.httpx2.Client], ids=["httpx", "httpx2"])
def test_callers_get_a_503_with_the_rest_of_the_pause(kind: Any, http2: bool) -> None:
    """As of any API that asks for a pause; nothing is sent meanwhile."""
    app = FastAPI()
    add_exception_handlers(app)
    with Sandbox() as sandbox, kind(sandbox.config(rate_limit_timeout=1), http2=http2) as client:

        @app.get("/accounts")
        def accounts() -> Any:
            return seic.raise_for_status(client.get("/v1/investments/accounts")).json()

        caller = TestClient(app)
        assert caller.get("/accounts").status_code == 200
        sandbox.inject("429", target="api", seconds=40)
        replies = [caller.get("/accounts") for _ in range(3)]

    assert [reply.status_code for reply in replies] == [503] * 3
    assert all(30 <= int(reply.headers["Retry-After"]) <= 40 for reply in replies)
    assert [reply.json()["code"] for reply in replies] == ["upstream_unavailable"] * 3
    assert sandbox.counts.api_calls == 2

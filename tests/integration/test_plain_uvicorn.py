"""A wrong secret under uvicorn, without any configuration of logging: log and readiness page tell why."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from seic.sandbox import Sandbox
from tests._support.documents import set_environment
from tests._support.readiness import BROWSER
from tests._support.uvicorn_app import Served

_APP = """
from fastapi import FastAPI
from seic.fastapi import SeicClient, add_exception_handlers, lifespan, readiness_route

app = FastAPI(lifespan=lifespan())
add_exception_handlers(app)
app.routes.append(readiness_route("/ready"))


@app.get("/accounts")
async def accounts(client: SeicClient):
    return (await client.get("/v1/investments/accounts")).json()
"""


def test_a_wrong_secret_is_no_dead_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server configures its own loggers only; Python prints warnings and errors of the others."""
    (tmp_path / "app.py").write_text(_APP, encoding="utf-8")
    socket = tmp_path / "app.sock"
    with Sandbox() as sandbox:
        environment = set_environment(sandbox, monkeypatch) | {"SEIC_CLIENT_SECRET": "wrong-secret"}
        served = Served(socket, workers=1, environment=environment, folder=tmp_path)
        transport = httpx.HTTPTransport(uds=str(socket))
        with served, httpx.Client(transport=transport, base_url="http://app") as client:
            served.wait_for("Uvicorn running on")
            before = client.get("/ready")
            failed = client.get("/accounts")
            after = client.get("/ready")
            page = client.get("/ready", headers=BROWSER).text

    assert (before.status_code, before.json()["status"]) == (200, "idle")
    assert failed.status_code == 502
    assert (after.status_code, after.json()["status"]) == (503, "fail")
    (problem,) = after.json()["clients"]["default"]["problems"]
    assert "status 401, gateway.authentication.failure" in problem["cause"]
    assert "SEIC_CLIENT_SECRET" in problem["remedy"]
    assert problem["cause"] in page
    log = "\n".join(served.lines)
    assert "token refused: host=" in log
    assert "The AppSecret is wrong." in log
    assert "check SEIC_CLIENT_ID (the AppKey), SEIC_CLIENT_SECRET (the AppSecret)" in log
    assert "wrong-secret" not in log

"""An application with six mistakes, and its tests: they pass, and `--seic-chaos` names them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

import seic
from seic.sandbox import Sandbox
from seic.testing import MockProvider

app = FastAPI()


@app.get("/accounts")
async def accounts() -> object:
    """Open a client for each request, so that each needs a token; neither retry nor look at the status."""
    async with seic.AsyncClient(app.state.config) as client:
        return (await client.get("/v1/accounts")).json()


@app.get("/orders")
async def send_order() -> dict[str, int]:
    """Send a body that cannot be sent again."""

    async def body() -> object:
        yield b"{}"

    async with seic.AsyncClient(app.state.config, retry=seic.Retry()) as client:
        return {"status": (await client.post("/v1/orders", content=body())).status_code}  # type: ignore[arg-type]


@app.get("/transfers")
async def transfer() -> dict[str, int]:
    """Send such a body over mutual TLS, with a token that is bound to the certificate."""

    async def body() -> object:
        yield b"{}"

    async with seic.AsyncClient(app.state.mtls) as client:
        return {"status": (await client.post("/v1/echo", content=body())).status_code}  # type: ignore[arg-type]


@app.get("/cached")
async def cached() -> dict[str, bool]:
    """Catch everything, so that the caller never knows."""
    try:
        async with seic.AsyncClient(app.state.config) as client:
            await client.get("/v1/accounts")
    except Exception:  # noqa: BLE001, S110 - the mistake
        pass
    return {"ok": True}


@pytest.fixture
def mtls_client(seic_sandbox: Sandbox) -> Iterator[TestClient]:
    """A client of the application, which calls the sandbox."""
    app.state.mtls = seic_sandbox.config(provider=seic.OAUTH2, certificate=True)
    with TestClient(app) as client:
        yield client


@pytest.fixture
def client(seic_mock: MockProvider) -> Iterator[TestClient]:
    """A client of the application."""
    seic_mock.add_response(path="/v1/accounts", json=[], times=None)
    seic_mock.add_response(path="/v1/orders", times=None)
    app.state.config = seic_mock.config()
    with TestClient(app) as client:
        yield client


def test_accounts(client: TestClient) -> None:
    """The list is empty."""
    assert client.get("/accounts").json() == []


def test_orders(client: TestClient) -> None:
    """The order is accepted."""
    assert client.get("/orders").json() == {"status": 200}


def test_transfers(mtls_client: TestClient) -> None:
    """The transfer is accepted."""
    assert mtls_client.get("/transfers").json() == {"status": 200}


def test_cached(client: TestClient) -> None:
    """It passes with each fault."""
    assert client.get("/cached").json() == {"ok": True}

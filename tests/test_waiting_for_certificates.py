"""A certificate from a callback that blocks, in an async client: the event loop continues."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
import httpx
import pytest

import seic
from tests._support.identities import certificate

PROVIDER = attrs.evolve(
    seic.OAUTH2, revocation_url="/revoke", introspection_url="/introspect", device_authorization_url="/device"
)
ANSWER = {
    "access_token": "access-1",
    "expires_in": 3600,
    "active": True,
    "device_code": "device-1",
    "user_code": "WDJB-MJHT",
    "verification_uri": "https://idp.example/activate",
}


async def _begin(config: seic.Config, transport: httpx.MockTransport) -> None:
    await seic.DeviceLogin.begin(attrs.evolve(config, grant=seic.DeviceCode()), transport=transport)


def _of_a_client(errand: Callable[[seic.AsyncClient], Awaitable[Any]]) -> Callable[..., Awaitable[None]]:
    async def run(config: seic.Config, transport: httpx.MockTransport) -> None:
        async with seic.AsyncClient(config, transport=transport) as client:
            await errand(client)

    return run


@pytest.mark.parametrize(
    "errand",
    [
        pytest.param(_of_a_client(lambda client: client.get("/")), id="call"),
        pytest.param(_of_a_client(lambda client: client.token()), id="token"),
        pytest.param(_of_a_client(lambda client: client.token_info()), id="token_info"),
        pytest.param(_of_a_client(lambda client: client.revoke()), id="revoke"),
        pytest.param(_begin, id="device login"),
    ],
)
async def test_the_event_loop_goes_on(errand: Callable[..., Awaitable[None]]) -> None:
    """A task of the same loop runs while the callback waits for it."""
    asked, answered = threading.Event(), threading.Event()
    went_on: list[bool] = []

    def fetch() -> seic.ClientCertificate:
        asked.set()
        went_on.append(answered.wait(5.0))
        return certificate()

    async def help_along() -> None:
        await asyncio.to_thread(asked.wait, 5.0)
        answered.set()

    config = seic.Config(
        provider=PROVIDER,
        hosts=seic.Hosts(api="api.example", mtls="mtls.example"),
        client_id="c",
        client_secret="s",
        grant=seic.ClientCredentials(),
        certificate=fetch,
    )
    helper = asyncio.create_task(help_along())
    await errand(config, httpx.MockTransport(lambda _: httpx.Response(200, json=ANSWER)))
    await helper
    assert went_on == [True]

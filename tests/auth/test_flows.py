"""A flow can be closed or cancelled anywhere."""

from __future__ import annotations

import asyncio
import threading

import httpx

from seic import OAuth2Auth
from seic.testing import MockProvider
from tests._support.api import BASE, CHALLENGE, KINDS, Api
from tests._support.mocks import PATIENCE, take_turns


async def test_a_flow_may_be_closed_by_another_task(api: Api, server: MockProvider, auth: OAuth2Auth) -> None:
    """Clients and the garbage collector do that; the flow holds no lock across a yield."""
    flows = [auth.async_auth_flow(httpx.Request("GET", f"{BASE}/v1")) for _ in range(3)]
    for flow in flows:
        await anext(flow)
    rejected = await flows[1].asend(httpx.Response(401, headers=CHALLENGE, request=httpx.Request("GET", f"{BASE}/v1")))
    assert rejected.headers["Authorization"] == "Bearer token-2"

    async def close() -> None:
        for flow in flows:
            await flow.aclose()

    await asyncio.create_task(close())
    assert KINDS[0].library is httpx
    async with KINDS[0].client(api, auth) as client:
        assert (await client.get("/v1")).status_code == 200
    assert server.token_requests == 2


def test_a_flow_may_be_closed_by_another_thread(api: Api, server: MockProvider, auth: OAuth2Auth) -> None:
    """The blocking flow holds no lock either."""
    flow = auth.sync_auth_flow(httpx.Request("GET", f"{BASE}/v1"))
    next(flow)
    thread = threading.Thread(target=flow.close)
    thread.start()
    thread.join(PATIENCE)
    assert KINDS[1].request(api, auth, "GET", "/v1").status_code == 200
    assert server.token_requests == 1


async def test_a_call_cancelled_anywhere_leaves_the_others_alone(
    api: Api, server: MockProvider, auth: OAuth2Auth
) -> None:
    """At each step of a call with a refresh, a rejection and another refresh: concurrent and later calls succeed."""
    api.dead.add("token-1")
    take_turns(server, 3)
    steps = 0
    async with KINDS[0].client(api, auth) as client:
        while True:
            before = server.token_requests
            await auth.token(force=True)
            api.dead = {f"token-{server.token_requests}"}
            beside = asyncio.create_task(client.get("/v1"))
            task = asyncio.create_task(client.get("/v1"))
            for _ in range(steps):
                await asyncio.sleep(0)
            ended = task.done()
            task.cancel()
            await asyncio.wait([task])
            assert (await beside).status_code == 200
            assert (await client.get("/v1")).status_code == 200
            assert server.token_requests == before + 2
            if ended:
                break
            steps += 1
    assert steps > 5

"""An application of gunicorn whose workers share a store; its client is created before a fork with `--preload`."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Any

import seic
from tests.fleet.worker import config_of, store_of

_config = config_of(
    os.environ["FLEET_URL"], store_of(os.environ["FLEET_STORE"]), client_secret="s", grant=seic.ClientCredentials()
)
_client = seic.AsyncClient(_config, headers={"User-Agent": f"pid/{os.getpid()}"})


async def app(
    scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
) -> None:
    """Answer each request with the process and the status of a call."""
    if scope["type"] == "lifespan":
        while (await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        await _client.aclose()
        await send({"type": "lifespan.shutdown.complete"})
        return
    reply = await _client.get("/call")
    body = f"{os.getpid()} {reply.status_code}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
    await send({"type": "http.response.body", "body": body})

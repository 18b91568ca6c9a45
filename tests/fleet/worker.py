"""One process of a fleet: it makes calls as its task says, and sends the result through a pipe."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

import attrs

import seic
from seic.redis import RedisStore

KEY = "the key of the fleet, 32 letters and more"


@attrs.frozen(kw_only=True)
class Task:
    """The work of a process.

    Args:
        url: The provider.
        store: A folder, or the URL of a Redis; None for no store.
        calls: API calls in all.
        concurrency: The calls at one moment.
        pause: Seconds between two calls of a task.
        renewals: Forced renewals, after the calls.
        refreshable: Whether the login has a refresh token.
        token_timeout: As in `Config`.
        secret: The client secret.
        rate_limit_timeout: As in `Config`.
        stops: Whether the first failure ends the work.
    """

    url: str
    store: str | None
    calls: int = 20
    concurrency: int = 20
    pause: float = 0.0
    renewals: int = 0
    refreshable: bool = False
    token_timeout: float = 10.0
    secret: str = "s"
    rate_limit_timeout: float | None = None
    stops: bool = False


def store_of(place: str | None) -> seic.TokenStore | None:
    """Return the store at a place."""
    if place is None:
        return None
    return RedisStore(place, key=KEY) if "://" in place else seic.FileStore(place, key=KEY)


def config_of(url: str, store: seic.TokenStore | None, **settings: Any) -> seic.Config:
    """Return the configuration of all processes."""
    hosts = seic.Hosts(api=url, allow_http_on_loopback=True)
    return seic.Config(provider=seic.OAUTH2, hosts=hosts, client_id="fleet", store=store, **settings)


def settings_of(task: Task) -> dict[str, Any]:
    """Return the arguments of the configuration that a task sets."""
    login = seic.RefreshToken(refresh_token="first", subject="user")
    grant = login if task.refreshable else seic.ClientCredentials()
    timeouts = {"token_timeout": task.token_timeout, "rate_limit_timeout": task.rate_limit_timeout}
    return {"client_secret": task.secret, "grant": grant, **timeouts}


async def work(task: Task) -> dict[str, Any]:
    """Make the calls; return failures, seconds of calls and events."""
    events: list[str] = []
    failures: list[str] = []
    took: list[float] = []
    left = iter(range(task.calls))
    config = config_of(task.url, store_of(task.store), **settings_of(task))
    async with seic.AsyncClient(
        config,
        headers={"User-Agent": f"pid/{os.getpid()}"},
        timeout=60,  # the API, which is not measured, may be slow with hundreds of connections
        on_event=lambda event: events.append(type(event).__name__),
    ) as client:

        async def call_in_turn() -> None:
            for _ in left:
                begun = time.perf_counter()
                try:
                    reply = await client.get("/call")
                except Exception as error:  # noqa: BLE001  it is the result
                    failures.append(repr(error))
                else:
                    failures.extend([] if reply.is_success else [str(reply.status_code)])
                took.append(time.perf_counter() - begun)
                if task.stops and failures:
                    return
                await asyncio.sleep(task.pause)

        await asyncio.gather(*(call_in_turn() for _ in range(task.concurrency)))
        for _ in range(task.renewals):
            try:
                await client.token(force=True)
            except seic.SeicError as error:
                failures.append(repr(error))
        requests = client.stats.token_requests
    counts = {name: events.count(name) for name in sorted(set(events))}
    return {"failures": failures, "took": took, "requests": requests, "events": counts}


def run(task: Task, connection: Any) -> None:
    """Work when told, and send the result."""
    connection.send("ready")
    connection.recv()
    connection.send(asyncio.run(work(task)))

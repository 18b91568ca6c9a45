"""Scenarios of a fleet: each function runs real processes, and returns the requests and calls that it saw."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import attrs
import httpx

from tests._support.redis_server import RedisServer
from tests.fleet.processes import Fleet, Result
from tests.fleet.provider import FleetProvider
from tests.fleet.worker import Task

_PATIENCE = 60.0


def start_together(provider: FleetProvider, place: str, count: int) -> tuple[int, Result]:
    """Start processes without a token, of 20 calls each; return the token requests and the calls."""
    provider.reset()
    with Fleet(*[Task(url=provider.url, store=place)] * count) as fleet:
        fleet.start()
        result = fleet.result()
    return len(provider.requests), result


def kill_holder(provider: FleetProvider, place: str, *, token_timeout: float, count: int = 4) -> tuple[int, Result]:
    """Kill the process that requests the token; return the token requests and the others' calls."""
    provider.reset()
    provider.held = 1
    with Fleet(*[Task(url=provider.url, store=place, token_timeout=token_timeout)] * count) as fleet:
        fleet.start()
        fleet.kill(provider.arrived.get(timeout=_PATIENCE).pid)
        result = fleet.result()
    return len(provider.requests), result


def freeze_holder(
    provider: FleetProvider, place: str, *, token_timeout: float, count: int = 4
) -> tuple[int, Result, Result]:
    """Freeze that process until the others have ended; return the token requests, their calls and its own."""
    provider.reset()
    provider.held = 1
    with Fleet(*[Task(url=provider.url, store=place, token_timeout=token_timeout)] * count) as fleet:
        fleet.start()
        pid = provider.arrived.get(timeout=_PATIENCE).pid
        fleet.signal(pid, signal.SIGSTOP)
        provider.gate.set()
        others = fleet.result(without=pid)
        fleet.signal(pid, signal.SIGCONT)
        own = fleet.result()
    return len(provider.requests), others, own


def renew(provider: FleetProvider, place: str, *, count: int, renewals: int) -> tuple[int, Result]:
    """Renew with rotating refresh tokens in all processes at once; return the token requests and failures."""
    provider.reset()
    provider.refreshable = True
    task = Task(url=provider.url, store=place, refreshable=True, calls=1, concurrency=1, renewals=renewals)
    with Fleet(*[task] * count) as fleet:
        fleet.start()
        result = fleet.result()
    provider.refreshable = False
    return len(provider.requests), result


@attrs.frozen
class Disturbance:
    """A change of Redis in the middle of the calls, and the end of it."""

    begin: Callable[[RedisServer], None]
    end: Callable[[RedisServer], None]


def _fill_with_garbage(server: RedisServer) -> None:
    client = server.client()
    for key in client.scan_iter(match="seic:*}"):
        client.hset(key, "token", "garbage")


def _replace_with_lists(server: RedisServer) -> None:
    client = server.client()
    for key in list(client.scan_iter(match="seic:*")):
        client.delete(key)
        client.rpush(key, "garbage")


def _nothing(_server: RedisServer) -> None:
    pass


DISTURBANCES = {
    "untouched": Disturbance(_nothing, _nothing),
    "stopped and started": Disturbance(RedisServer.stop, RedisServer.start),
    "hung": Disturbance(RedisServer.freeze, RedisServer.thaw),
    "filled with garbage": Disturbance(_fill_with_garbage, _replace_with_lists),
}


def disturb(
    provider: FleetProvider, server: RedisServer, name: str, *, calls: int, count: int, pause: float, lifetime: int
) -> Result:
    """Make calls while Redis is disturbed, from two fifths to four fifths of them."""
    provider.reset()
    provider.lifetime = lifetime
    disturbance = DISTURBANCES[name]
    task = Task(url=provider.url, store=server.url, calls=calls // count, concurrency=10, pause=pause)
    with Fleet(*[task] * count) as fleet:
        fleet.start()
        provider.wait_for_calls(calls * 2 // 5)
        disturbance.begin(server)
        provider.wait_for_calls(calls * 4 // 5)
        disturbance.end(server)
        result = fleet.result()
    provider.lifetime = 3600
    return result


def count_commands(provider: FleetProvider, server: RedisServer, *, calls: int) -> tuple[int, float]:
    """Return the commands that Redis received during calls with a token, and the seconds of the calls."""
    start_together(provider, server.url, 1)
    with Fleet(Task(url=provider.url, store=server.url, calls=calls + 1, concurrency=1)) as fleet:
        provider.reset()
        fleet.start()
        # The first call finds the token in the store.
        provider.wait_for_calls(1)
        before, begun = sum(server.commands().values()), time.monotonic()
        provider.wait_for_calls(calls)
        after, seconds = sum(server.commands().values()), time.monotonic() - begun
        fleet.result()
    return after - before, seconds


@contextlib.contextmanager
def gunicorn(provider: FleetProvider, place: str, *, preload: bool, count: int = 4) -> Iterator[str]:
    """Run gunicorn with uvicorn workers, and yield its URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [sys.executable, "-m", "gunicorn", "-k", "uvicorn.workers.UvicornWorker", "-w", str(count), "-b", address]
    command += ["--log-level", "error", *(["--preload"] if preload else []), "tests.fleet.app:app"]
    environ = {**os.environ, "FLEET_URL": provider.url, "FLEET_STORE": place}
    with subprocess.Popen(command, env=environ) as process:
        try:
            yield f"http://{address}"
        finally:
            process.terminate()
            process.wait(_PATIENCE)


def call_workers(url: str, count: int) -> set[int]:
    """Send calls until so many workers have answered; return the statuses."""
    ends = time.monotonic() + _PATIENCE
    workers: set[str] = set()
    statuses: set[int] = set()
    with httpx.Client(timeout=_PATIENCE, trust_env=False) as client:  # the workers close each connection
        while len(workers) < count:
            assert time.monotonic() < ends, "the workers did not answer"
            try:
                reply = client.get(url)
            except httpx.ConnectError:
                time.sleep(0.05)
                continue
            pid, status = reply.text.split()
            workers.add(pid)
            statuses.add(int(status))
    return statuses

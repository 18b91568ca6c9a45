"""Prints the table of docs/fleet.md: `python -m tests.fleet`, about five minutes; redis-server is needed."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests._support.redis_server import RedisServer
from tests.fleet import scenarios
from tests.fleet.day import live_a_day
from tests.fleet.processes import Result
from tests.fleet.provider import FleetProvider

_CALLS = 10_000


def _requests(requests: int, *results: Result) -> str:
    failed = sum(len(result.failures) for result in results)
    longest = max(result.percentile(1) for result in results)
    return f"{requests} token requests, {failed} failed calls, longest call {longest / 1000:.1f} s"


def _shared(folder: Path) -> Iterator[tuple[str, str]]:
    for kind in ("Redis", "files"):
        with RedisServer(folder / "redis") as server:

            def place(name: str, kind: str = kind, url: str = server.url) -> str:
                return url if kind == "Redis" else str(folder / name)

            for count, text in ((8, "8"), (24, "3 × 8")):
                with FleetProvider() as provider:
                    found = scenarios.start_together(provider, place(f"cold{count}"), count)
                    yield f"{text} cold processes, 20 calls each ({kind})", _requests(*found)
                    server.client().flushall()
            with FleetProvider() as provider:
                found = scenarios.kill_holder(provider, place("killed"), token_timeout=2.0)
                yield f"the requesting process killed, 4 processes, `token_timeout=2` ({kind})", _requests(*found)
                server.client().flushall()
            with FleetProvider() as provider:
                requests, others, own = scenarios.freeze_holder(provider, place("frozen"), token_timeout=2.0)
                yield f"the requesting process frozen, then continued ({kind})", _requests(requests, others, own)
                server.client().flushall()
            with FleetProvider() as provider:
                requests, result = scenarios.renew(provider, place("renewed"), count=16, renewals=63)
                twice, failed = len(provider.spent_twice), len(result.failures)
                text = f"{requests} token requests, {twice} refresh tokens sent twice, {failed} failures"
                yield f"16 processes, 1,008 renewals with rotating refresh tokens ({kind})", text
                server.client().flushall()
            for preload in (False, True):
                with FleetProvider() as provider:
                    counts = []
                    for _ in range(2):
                        with scenarios.gunicorn(provider, place(f"server{preload}"), preload=preload) as url:
                            scenarios.call_workers(url, 4)
                        counts.append(len(provider.requests))
                    name = "gunicorn, 4 uvicorn workers" + (", `--preload`" if preload else "")
                    yield f"{name} ({kind})", f"{counts[0]} token request, {counts[1] - counts[0]} after a restart"
                    server.client().flushall()


def _disturbed(folder: Path) -> Iterator[tuple[str, str]]:
    for name in scenarios.DISTURBANCES:
        with RedisServer(folder / "redis") as server, FleetProvider() as provider:
            result = scenarios.disturb(provider, server, name, calls=_CALLS, count=4, pause=0.05, lifetime=6)
            events = result.events.get("StoreDegraded", 0)
            text = (
                f"{len(result.failures)} failed calls; median {result.percentile(0.5):.1f} ms, 99th percentile "
                f"{result.percentile(0.99):.1f} ms; {events} warnings"
            )
            yield f"{_CALLS:,} calls of 4 processes, tokens of 6 s, Redis {name}", text
    with RedisServer(folder / "redis") as server, FleetProvider() as provider:
        commands, seconds = scenarios.count_commands(provider, server, calls=_CALLS)
        yield f"{_CALLS:,} calls with a fresh token", f"{commands} commands of Redis in {seconds:.0f} s"


def _day() -> Iterator[tuple[str, str]]:
    for count in (1, 30, 300):
        day = asyncio.run(live_a_day(count))
        text = f"{day.requests} token requests, {day.loads / count:.0f} loads by each process"
        yield f"a day of {count} processes in fast-forward, a call every 5 minutes, tokens of an hour", text


def main() -> None:
    """Print each row once it is measured."""
    print("| scenario | result |\n|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for rows in (_shared, _disturbed):
            for name, text in rows(Path(folder)):
                print(f"| {name} | {text} |", flush=True)
    for name, text in _day():
        print(f"| {name} | {text} |", flush=True)


if __name__ == "__main__":
    main()

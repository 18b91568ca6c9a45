"""Certificates are replaced while callers call: nginx sees each new one at once, and nobody loses a request."""

from __future__ import annotations

import asyncio
import itertools
import os
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

import seic
from seic.events import CertificateRotated, Event
from tests._support.edge import Edge, Line
from tests._support.pki import Minted, authority, mint
from tests._support.swapping import PairOnDisk, settings_for

_IN_CI = os.environ.get("CI", "").lower() == "true"
_PATH = "/v1/echo"
#: What the promise says: seconds from the swap on disk to the first call with the new certificate.
_AT_ONCE = 1.0
#: How long a test waits for something that should come at once.
_PATIENCE = 30


def pairs(root: Minted, count: int) -> list[Minted]:
    """Certificates of one account, RSA and EC by turns."""
    return [mint(issuer=root, key="ec" if index % 2 else "rsa", number=index % 4) for index in range(count)]


def serial(pair: Minted) -> str:
    """As nginx writes it."""
    number = f"{pair.certificate.serial_number:X}"
    return number.rjust(len(number) + len(number) % 2, "0")


@attrs.define
class Rotations:
    """Hears of rotations, and tells when there were as many as awaited."""

    seen: list[str] = attrs.field(factory=list)
    heard: threading.Condition = attrs.field(factory=threading.Condition)

    def __call__(self, event: Event) -> None:
        """Take note."""
        if isinstance(event, CertificateRotated):
            with self.heard:
                self.seen.append(event.thumbprint)
                self.heard.notify_all()

    def wait(self, count: int) -> None:
        """Block until there were `count`."""
        with self.heard:
            assert self.heard.wait_for(lambda: len(self.seen) >= count, _PATIENCE)


def assert_each_came_at_once(calls: list[Line], used: list[Minted], swapped_at: list[float]) -> None:
    """Each new certificate made its first call within a second of its swap, and the old ones made no more after it."""
    order = [serial(pair) for pair in used]
    first = {name: min(line.at for line in calls if line.serial == name) for name in order}
    late = {name: first[name] - at for name, at in zip(order[1:], swapped_at, strict=True)}
    assert max(late.values()) <= _AT_ONCE, late
    for old, new in itertools.pairwise(order):
        last = max(line.at for line in calls if line.serial == old)
        assert last <= first[new] + _AT_ONCE


async def crowd(client: seic.AsyncClient, callers: int, rotate: Callable[[], object]) -> Counter[int]:
    """Call without a pause until `rotate`, on a thread, is through; return how often which status was answered."""
    statuses: Counter[int] = Counter()
    through = asyncio.Event()

    async def call() -> None:
        while not through.is_set():
            reply = await client.get(_PATH)
            statuses[reply.status_code] += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(callers):
            group.create_task(call())
        await asyncio.to_thread(rotate)
        through.set()
    return statuses


@pytest.mark.parametrize(
    ("protocols", "seconds", "rotations"),
    [
        pytest.param("TLSv1.2", 0, 4, id="TLS 1.2"),
        pytest.param("TLSv1.3", 0, 4, id="TLS 1.3"),
        pytest.param("TLSv1.2 TLSv1.3", 60, 20, id="a minute", marks=pytest.mark.skipif("not _IN_CI")),
    ],
)
async def test_fifty_callers_notice_nothing(protocols: str, seconds: float, rotations: int, tmp_path: Path) -> None:
    """Every call is answered 200, nginx sees each new certificate within a second, tokens follow theirs."""
    root = authority()
    used = pairs(root, rotations + 1)
    disk = PairOnDisk(tmp_path / "pair", used[0])
    heard = Rotations()
    swapped_at: list[float] = []
    # Never set: the load is what takes the time. Without a time to fill each swap follows the one before.
    pause, between = threading.Event(), seconds / (rotations + 1)

    def rotate() -> None:
        for number, pair in enumerate(used[1:], start=1):
            pause.wait(between)
            disk.put(pair, key_first=bool(number % 2))
            swapped_at.append(time.time())
            heard.wait(number)
        pause.wait(between)

    with Edge(tmp_path / "nginx", root, protocols=protocols) as edge:
        config = settings_for(edge, root, certificate=disk.load())
        async with seic.AsyncClient(config, on_event=heard) as client:
            statuses = await crowd(client, 50, rotate)
            last = await client.get(_PATH)
        log = edge.log()

    calls = [line for line in log if line.path == _PATH]
    assert set(statuses) == {200}
    assert len(calls) == statuses[200] + 1
    assert {line.status for line in log} == {200}
    assert {line.verify for line in log} == {"SUCCESS"}
    assert {line.resumed for line in log} == {"."}
    assert last.json()["serial"] == serial(used[-1])
    assert calls[-1].authorization == f"Bearer token-{serial(used[-1])}"
    assert_each_came_at_once(calls, used, swapped_at)

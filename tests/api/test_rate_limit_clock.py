"""The pause of an API by a fake clock: its end, its length in a row, and the requests that are sent after it."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import httpx
import pytest
import trio

import seic
from seic._api.rate_limit import RateLimit
from seic._api.shared_rate_limit import LOOK, SharedRateLimit
from seic._listeners import Listeners
from seic.events import Event, RateLimitEnded, RateLimitStarted
from tests._support.clocks import FakeClock

KEY = "the key of all processes, 32 letters"


class Limit:
    """A limit with a fake clock, and its events."""

    def __init__(self, clock: FakeClock) -> None:
        self.heard: list[Event] = []
        self._listeners = Listeners(self.heard.append)
        self.limit = RateLimit("api.example", clock.clock)
        self.limit.add_listener(self._listeners)

    def answer(self, status: int, retry_after: str | None = None, *, number: int = 0) -> None:
        """Note a response."""
        headers = {} if retry_after is None else {"Retry-After": retry_after}
        self.limit.leave(number, httpx.Response(status, headers=headers))

    @property
    def ended(self) -> list[RateLimitEnded]:
        """The events at the end of a pause."""
        return [event for event in self.heard if isinstance(event, RateLimitEnded)]


@pytest.fixture
def clock() -> FakeClock:
    """Return the clock."""
    return FakeClock(wall=time.time())


@pytest.fixture
def one(clock: FakeClock) -> Limit:
    """Return a limit."""
    return Limit(clock)


def test_the_pause_lasts_as_long_as_the_api_asks(one: Limit, clock: FakeClock) -> None:
    """Nobody is let through before, and one after it; its success ends the limit."""
    one.answer(429, "30")
    for left in (30.0, 0.5):
        clock.advance(one.limit.remaining - left)
        assert one.limit.remaining == pytest.approx(left)
        with pytest.raises(seic.TooManyRequests) as caught:
            one.limit.enter_sync(0)
        assert caught.value.retry_after == pytest.approx(left)
    clock.advance(0.5)
    number = one.limit.enter_sync(0)
    with pytest.raises(seic.TooManyRequests, match="too many requests wait"):
        one.limit.enter_sync(0)
    one.answer(200, number=number)

    assert not one.limit.is_on
    assert one.limit.enter_sync(0) == 0
    assert one.ended == [RateLimitEnded(host="api.example", took=30.0, waited=1, refused=3)]


def test_pauses_without_a_length_grow(one: Limit, clock: FakeClock) -> None:
    """From a second to a minute; a success makes the next one short again."""
    found = []
    for _ in range(8):
        number = one.limit.enter_sync(0)
        one.answer(429, number=number)
        found.append(one.limit.remaining)
        clock.advance(one.limit.remaining)
    assert found == [1, 2, 4, 8, 16, 32, 60, 60]

    one.answer(200, number=one.limit.enter_sync(0))
    one.answer(429)
    assert one.limit.remaining == 1


def test_a_burst_is_one_pause(one: Limit, clock: FakeClock) -> None:
    """A hundred requests were in progress, and each got a 429."""
    for _ in range(100):
        one.answer(429)
        clock.advance(0.001)

    assert one.limit.remaining == pytest.approx(0.9)
    assert len(one.heard) == 1


def test_the_longest_of_several_counts(one: Limit) -> None:
    """Whatever their order."""
    for seconds in ("5", "20", "10"):
        one.answer(429, seconds)

    assert one.limit.remaining == pytest.approx(20)


async def test_a_renewed_pause_begins_with_one_request_again(one: Limit, clock: FakeClock) -> None:
    """The success of a request from before it does not count."""
    one.answer(429, "0")
    waiting = [asyncio.create_task(one.limit.enter(100)) for _ in range(4)]
    one.answer(200, number=await waiting[0])
    numbers = [await task for task in waiting[1:3]]
    one.answer(429, "10", number=numbers[0])
    clock.advance(5)
    one.answer(200, number=numbers[1])
    clock.advance(5)
    with pytest.raises(seic.TooManyRequests):
        one.limit.enter_sync(0)
    await waiting[3]

    assert len(one.heard) == 1


async def test_a_request_that_is_cancelled_with_its_turn_gives_it_back(one: Limit) -> None:
    """The turn came, and the task that waited did not run between."""
    one.answer(429, "0")
    first, second, third, fourth = (asyncio.create_task(one.limit.enter(100)) for _ in range(4))
    number = await first
    one.answer(200, number=number)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second

    assert await third == await asyncio.wait_for(fourth, 5) == number


def test_tasks_of_trio_wait_as_those_of_asyncio_do() -> None:
    """By the system's clock."""
    limit = RateLimit("api.example")
    limit.leave(0, httpx.Response(429, headers={"Retry-After": "0.05"}))

    assert trio.run(limit.enter, 10) > 0


def test_a_late_response_changes_no_later_pause(one: Limit, clock: FakeClock) -> None:
    """Its request was sent in an earlier one."""
    one.answer(429, "0")
    old = one.limit.enter_sync(0)
    one.answer(200, number=old)
    one.answer(429, "10")
    one.answer(200, number=old)
    clock.advance(10)
    one.limit.enter_sync(0)
    with pytest.raises(seic.TooManyRequests):
        one.limit.enter_sync(0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_keeps_the_pause_and_not_the_turns(one: Limit, clock: FakeClock) -> None:
    """The request in progress is the parent's."""
    one.answer(429, "10")
    clock.advance(10)
    one.limit.enter_sync(0)
    one.answer(429, "10")
    if (pid := os.fork()) == 0:
        good = one.limit.remaining == 10
        clock.advance(10)
        one.answer(200, number=one.limit.enter_sync(0))
        os._exit(0 if good and not one.limit.is_on else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


class InPlace(seic.FileStore):
    """A store of files that counts its calls, with a folder that can fail."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, key=KEY)
        self.calls: list[str] = []
        self.is_down = False

    def load(self, key: str) -> seic.Token | None:
        """Load an entry."""
        self.calls.append("load")
        if self.is_down:
            raise OSError("down")
        return super().load(key)

    def save(self, key: str, token: seic.Token) -> None:
        """Save an entry."""
        self.calls.append("save")
        super().save(key, token)


class Process(Limit):
    """A process with a store of its own."""

    def __init__(self, clock: FakeClock, folder: Path) -> None:
        super().__init__(clock)
        self.store = InPlace(folder)
        self.shared = self.limit.shared = SharedRateLimit(self.limit, self.store, "0" * 64, clock.clock)

    def look(self) -> None:
        """Look, as a request does, and wait for that."""
        self.shared.look()
        for flight in (self.shared.looks, self.shared.saves):
            if (run := flight.pending) is not None:
                run.wait_sync(10)


def test_processes_see_the_pause_of_another_within_five_seconds(clock: FakeClock, tmp_path: Path) -> None:
    """For the rest of it, and up to a tenth longer; each sees an entry once, and writes it once."""
    first, other = Process(clock, tmp_path), Process(clock, tmp_path)
    other.look()
    for _ in range(20):
        first.answer(429, "40")
    first.look()
    other.look()
    assert not other.limit.is_on
    clock.advance(LOOK)
    other.look()
    assert 35 <= other.limit.remaining <= 35 * 1.1
    assert other.heard == [
        RateLimitStarted(host="api.example", status=429, retry_after=pytest.approx(37, abs=2))  # type: ignore[arg-type]
    ]
    before = other.limit.remaining
    clock.advance(LOOK)
    other.look()
    assert other.limit.remaining == pytest.approx(before - LOOK)

    assert first.store.calls.count("save") == 1
    assert other.store.calls == ["load"] * 3


def test_a_pause_that_others_know_is_not_written_again(clock: FakeClock, tmp_path: Path) -> None:
    """A fleet that gets 429 everywhere writes little."""
    first, other = Process(clock, tmp_path), Process(clock, tmp_path)
    first.answer(429, "40")
    first.look()
    other.look()
    other.answer(429, "40")
    other.look()

    assert "save" not in other.store.calls


@pytest.mark.parametrize(("ahead", "least", "most"), [(-20.0, 40, 44), (20.0, 20, 22), (100.0, 0, 0)])
def test_clocks_that_differ_make_no_pause_longer(
    clock: FakeClock, tmp_path: Path, ahead: float, least: float, most: float
) -> None:
    """Of another machine: a clock that is ahead makes it shorter, one that is behind no longer than it was."""
    first = Process(clock, tmp_path)
    other = Process(FakeClock(wall=clock.wall + ahead), tmp_path)
    first.answer(429, "40")
    first.look()
    other.look()

    assert least <= other.limit.remaining <= most


@pytest.mark.parametrize(
    "extra",
    [
        {},
        {"id": 1, "seconds": 40, "status": 429},
        {"id": "x", "seconds": "40", "status": 429},
        {"id": "x", "seconds": 10**400, "status": 429},
        {"id": "x", "seconds": -1, "status": 429},
        {"id": "x", "seconds": 40, "status": None},
    ],
)
def test_a_forged_entry_is_ignored(clock: FakeClock, tmp_path: Path, extra: dict[str, object]) -> None:
    """Anyone may have written it."""
    process = Process(clock, tmp_path)
    seic.FileStore(tmp_path, key=KEY).save(
        "0" * 64, seic.Token(access_token="pause", obtained_at=clock.wall, extra=extra)
    )
    process.look()

    assert not process.limit.is_on


def test_a_forged_pause_is_a_minute_at_most(clock: FakeClock, tmp_path: Path) -> None:
    """As one of the API."""
    process = Process(clock, tmp_path)
    entry = {"id": "x", "seconds": 1e9, "status": 429}
    seic.FileStore(tmp_path, key=KEY).save(
        "0" * 64, seic.Token(access_token="pause", obtained_at=clock.wall, extra=entry)
    )
    process.look()

    assert process.limit.remaining <= 66


def test_a_store_that_is_down_is_looked_into_less_often(clock: FakeClock, tmp_path: Path) -> None:
    """No request waits for it, and none fails."""
    process = Process(clock, tmp_path)
    process.store.is_down = True
    for _ in range(12):
        process.look()
        clock.advance(LOOK)

    assert process.store.calls == ["load"] * 2
    assert process.heard == []

"""A crowd of asyncio tasks that waits for one future: a few continue with each turn of the loop."""

from __future__ import annotations

import asyncio

from seic._concurrency import OneShotEvent

CROWD = 500
#: The number that may continue in one turn of the loop without being felt.
FEW = 20


async def _turns(event: OneShotEvent, waiting: list[asyncio.Task[None]], through: list[int]) -> list[int]:
    """Set the event; return how many continued with each turn of the loop until all had."""
    each: list[int] = []
    event.set()
    while not all(task.done() for task in waiting):
        before = len(through)
        await asyncio.sleep(0)
        each.append(len(through) - before)
    return each


async def test_a_crowd_continues_a_few_at_a_time_and_in_order() -> None:
    """Expect the loop to serve others in between, and the first to be first."""
    event, through = OneShotEvent(), list[int]()

    async def wait(number: int) -> None:
        await event.wait()
        through.append(number)

    waiting = [asyncio.create_task(wait(number)) for number in range(CROWD)]
    await asyncio.sleep(0)
    each = await _turns(event, waiting, through)

    assert through == list(range(CROWD))
    assert max(each) <= FEW


async def test_a_cancelled_waiter_takes_nobodys_turn() -> None:
    """Expect those who gave up before not to delay those who stayed."""
    event, through = OneShotEvent(), list[int]()

    async def wait(number: int) -> None:
        await event.wait()
        through.append(number)

    waiting = [asyncio.create_task(wait(number)) for number in range(CROWD)]
    await asyncio.sleep(0)
    for task in waiting[:-1]:
        task.cancel()
    await asyncio.sleep(0)
    each = await _turns(event, waiting, through)

    assert through == [CROWD - 1]
    assert len(each) <= 3


async def test_a_waiter_cancelled_between_its_turn_and_its_next_step_delays_nobody() -> None:
    """Expect it to end, and the others to continue."""
    event, through = OneShotEvent(), list[int]()

    async def wait(number: int) -> None:
        await event.wait()
        through.append(number)
        if number == 0:
            for task in waiting[1::2]:
                task.cancel()

    waiting = [asyncio.create_task(wait(number)) for number in range(CROWD)]
    await asyncio.sleep(0)
    event.set()
    await asyncio.gather(*waiting, return_exceptions=True)

    assert through == list(range(0, CROWD, 2))


async def test_a_late_caller_does_not_queue() -> None:
    """Expect a caller who comes after the event not to wait, although the crowd has not passed yet."""
    event = OneShotEvent()
    waiting = [asyncio.create_task(event.wait()) for _ in range(CROWD)]
    await asyncio.sleep(0)
    event.set()

    assert await event.wait()
    assert not all(task.done() for task in waiting)
    assert await asyncio.gather(*waiting) == [True] * CROWD

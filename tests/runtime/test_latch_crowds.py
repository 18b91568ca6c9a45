"""What a latch does with a crowd of asyncio tasks: it lets them through a few at a time."""

from __future__ import annotations

import asyncio

from seic._runtime import Latch

CROWD = 500
#: As many as may go on in one turn of the loop without being felt.
FEW = 20


async def _turns(latch: Latch, waiting: list[asyncio.Task[None]], through: list[int]) -> list[int]:
    """Set the latch; return how many got through with each turn of the loop until all were."""
    each: list[int] = []
    latch.set()
    while not all(task.done() for task in waiting):
        before = len(through)
        await asyncio.sleep(0)
        each.append(len(through) - before)
    return each


async def test_a_crowd_goes_through_a_few_at_a_time_and_in_order() -> None:
    """The loop comes to others in between, and whoever came first goes first."""
    latch, through = Latch(), list[int]()

    async def wait(number: int) -> None:
        await latch.wait_async(None)
        through.append(number)

    waiting = [asyncio.create_task(wait(number)) for number in range(CROWD)]
    await asyncio.sleep(0)
    each = await _turns(latch, waiting, through)

    assert through == list(range(CROWD))
    assert max(each) <= FEW


async def test_who_left_the_crowd_takes_nobodys_turn() -> None:
    """Those who gave up before hold up none of those who stayed."""
    latch, through = Latch(), list[int]()

    async def wait(number: int) -> None:
        await latch.wait_async(None)
        through.append(number)

    waiting = [asyncio.create_task(wait(number)) for number in range(CROWD)]
    await asyncio.sleep(0)
    for task in waiting[:-1]:
        task.cancel()
    await asyncio.sleep(0)
    each = await _turns(latch, waiting, through)

    assert through == [CROWD - 1]
    assert len(each) <= 3


async def test_who_leaves_while_the_crowd_goes_through_holds_up_nobody() -> None:
    """A task that is cancelled between its turn and its next step ends, and the others go on."""
    latch, through = Latch(), list[int]()

    async def wait(number: int) -> None:
        await latch.wait_async(None)
        through.append(number)
        if number == 0:
            for task in waiting[1::2]:
                task.cancel()

    waiting = [asyncio.create_task(wait(number)) for number in range(CROWD)]
    await asyncio.sleep(0)
    latch.set()
    await asyncio.gather(*waiting, return_exceptions=True)

    assert through == list(range(0, CROWD, 2))


async def test_who_comes_late_does_not_queue() -> None:
    """Once it is set, nobody waits, although the crowd is still going through."""
    latch = Latch()
    waiting = [asyncio.create_task(latch.wait_async(None)) for _ in range(CROWD)]
    await asyncio.sleep(0)
    latch.set()

    assert await latch.wait_async(None)
    assert not all(task.done() for task in waiting)
    assert await asyncio.gather(*waiting) == [True] * CROWD

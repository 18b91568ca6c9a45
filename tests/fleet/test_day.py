"""A day of many processes: the number of token requests does not grow with them."""

from __future__ import annotations

from tests.fleet.day import live_a_day


async def test_token_requests_do_not_grow_with_the_processes() -> None:
    """One in each lifetime, less the time by which it is renewed in advance."""
    days = [await live_a_day(count, hours=6) for count in (1, 20)]

    assert {day.requests for day in days} == {8}
    # A load for each call, since none came for longer than the time between two looks.
    assert days[1].loads < 20 * days[0].loads * 1.5

"""The scenarios of the benchmarks run, and what is counted in them is exact; no clock is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.benchmarks import scenarios
from tests.benchmarks.hot_path import OURS, compare_times
from tests.benchmarks.libraries import BARE, SEIC
from tests.benchmarks.rows import QUICK, Bench, Figure, Row, count
from tests.benchmarks.scenarios import Scale
from tests.benchmarks.table import lines
from tests.benchmarks.token_server import TokenServer

#: As small as still shows what is counted.
SMALL = Scale(herd=100, callers=20, every=0.1, lifetime=1, endpoint_delay=0.050, expiring=2.0, outage=1.0)


@pytest.fixture(scope="module")
def server() -> Iterator[TokenServer]:
    """Run a token endpoint in a process of its own."""
    with TokenServer() as running:
        yield running


@pytest.mark.parametrize("each_turn", [10, 100], ids=["arriving", "all-in-one-turn"])
def test_a_herd_makes_one_token_request(server: TokenServer, each_turn: int) -> None:
    """However the callers arrive, all are served with one token."""
    outcome = asyncio.run(scenarios.herd(SEIC, server, SMALL, expired=False, each_turn=each_turn))

    assert outcome.requests == 1
    assert (len(outcome.calls.took), outcome.calls.failed) == (SMALL.herd, 0)


@pytest.mark.parametrize("over", [0.0, 0.2], ids=["together", "spread"])
def test_a_revoked_token_costs_one_request_and_no_call(server: TokenServer, over: float) -> None:
    """Each rejected call is replayed with the one new token."""
    outcome = asyncio.run(scenarios.revoked(SEIC, server, SMALL, over=over))

    assert outcome.requests == 1
    assert (len(outcome.calls.took), outcome.calls.failed) == (SMALL.callers, 0)


def test_a_revoked_static_header_fails_every_call(server: TokenServer) -> None:
    """The scenario is one that something has to be done about."""
    outcome = asyncio.run(scenarios.revoked(BARE, server, SMALL, over=0.0))

    assert outcome.requests == 0
    assert (len(outcome.calls.took), outcome.calls.failed) == (0, SMALL.callers)


def test_tokens_that_expire_cost_one_request_each(server: TokenServer) -> None:
    """No two requests renew the same token, and no call fails."""
    outcome = asyncio.run(scenarios.expiring(SEIC, server, SMALL))

    assert outcome.a_lifetime == 1
    assert outcome.requests >= 1
    assert outcome.calls.failed == 0


def test_an_outage_that_a_living_token_bridges_is_not_seen(server: TokenServer) -> None:
    """The endpoint is asked while it is down, a few times at most, and no call hears of it."""
    outcome = asyncio.run(scenarios.outage_bridged(SEIC, server, SMALL))

    assert 1 <= outcome.requests <= 5
    assert outcome.calls.failed == 0


def test_an_outage_with_a_dead_token_is_not_hammered(server: TokenServer) -> None:
    """Calls fail meanwhile, the endpoint gets a few requests, and calls are served again after it."""
    outcome = asyncio.run(scenarios.outage_dead(SEIC, server, SMALL))

    assert 1 <= outcome.requests <= 5
    assert outcome.calls.failed > 0
    assert outcome.recovery is not None


def test_the_hot_path_is_compared_pair_by_pair() -> None:
    """Each pair gets a ratio, whatever it is here."""
    assert set(compare_times(OURS, rounds=2, calls=2)) == set(OURS)


ROWS = [
    pytest.param(Figure("ratio", 1.0), 1.004, True, id="ratio as it is shown"),
    pytest.param(Figure("ratio", 1.0), 1.006, False, id="ratio above"),
    pytest.param(Figure("ratio"), 7.0, None, id="for information"),
    pytest.param(count("requests", 1), 1, True, id="count"),
    pytest.param(count("requests", 1), 2, False, id="count above"),
    pytest.param(Figure("time", 1.0), float("inf"), False, id="never"),
]


@pytest.mark.parametrize(("figure", "value", "reached"), ROWS)
def test_a_row_says_whether_it_is_reached(figure: Figure, value: float, reached: bool | None) -> None:
    """In the digits that are shown; what nothing is asked of has no verdict."""
    row = Row("measure", figure, {"seic": value})

    assert row.is_reached is reached
    assert row.unjudged().is_reached is (reached if figure.exact else None)


def test_the_table_is_plain_without_colour_and_names_a_measure_once() -> None:
    """One line a figure, under a header and a rule; with colour only verdicts differ."""
    rows = [
        Row("herd", count("requests", 1), {"seic": 1, "peer": 1000}),
        Row("herd", Figure("ratio", 0.9), {"seic": 0.95}),
        Row("other", Figure("time", digits=1, unit=" ms"), {"seic": 12.34}),
    ]
    plain = list(lines(rows, ["seic", "peer"], colour=False))

    assert [line.split() for line in plain[2:]] == [
        ["herd", "requests", "≤", "1", "1", "yes", "1000"],
        ["ratio", "≤", "0.90", "0.95", "NO"],
        ["other", "time", "12.3", "ms"],
    ]
    assert "\x1b" not in "".join(plain)
    assert "\x1b[31m" in list(lines(rows, ["seic", "peer"], colour=True))[3]


def test_the_bench_takes_the_largest_count_of_all_rounds(server: TokenServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A round that was disturbed excuses no count."""
    monkeypatch.setattr("tests.benchmarks.rows.PEERS", ())
    bench = Bench(server, QUICK, lambda _text: None)
    rows = bench._revoked("401s together", over=0.0)

    assert [(row.figure.of, row.values["seic"]) for row in rows] == [("token requests", 1), ("calls failed", 0)]

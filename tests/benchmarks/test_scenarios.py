"""The scenarios of the benchmarks run, and their counts are exact; times are not checked."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from tests._support import pki
from tests.benchmarks import cold_start, scenarios, wire
from tests.benchmarks.growth import Holdings, growth, measure
from tests.benchmarks.hot_path import OURS, compare_times
from tests.benchmarks.libraries import BARE, BARE_GATEWAY, SEIC
from tests.benchmarks.rounds import Rounds, run_rounds
from tests.benchmarks.rows import QUICK, Bench, Figure, Row, count
from tests.benchmarks.scenarios import Scale
from tests.benchmarks.table import lines
from tests.benchmarks.token_server import TokenServer

#: The smallest size that shows the counts.
SMALL = Scale(herd=100, callers=20, every=0.1, lifetime=1, endpoint_delay=0.050, expiring=2.0, outage=1.0)


@pytest.fixture(scope="module")
def server() -> Iterator[TokenServer]:
    """Run a token endpoint in a separate process."""
    with TokenServer() as running:
        yield running


@pytest.mark.parametrize("each_turn", [10, 100], ids=["arriving", "all-in-one-turn"])
def test_a_herd_makes_one_token_request(server: TokenServer, each_turn: int) -> None:
    """All callers get one token, however they arrive."""
    outcome = asyncio.run(scenarios.herd(SEIC, server, SMALL, expired=False, each_turn=each_turn))

    assert outcome.requests == 1
    assert (len(outcome.calls.took), outcome.calls.failed) == (SMALL.herd, 0)


@pytest.mark.parametrize("over", [0.0, 0.2], ids=["together", "spread"])
def test_a_revoked_token_costs_one_request_and_no_call(server: TokenServer, over: float) -> None:
    """Each rejected call is retried with the one new token."""
    outcome = asyncio.run(scenarios.revoked(SEIC, server, SMALL, over=over))

    assert outcome.requests == 1
    assert (len(outcome.calls.took), outcome.calls.failed) == (SMALL.callers, 0)


def test_a_revoked_static_header_fails_every_call(server: TokenServer) -> None:
    """Without a renewal all calls fail."""
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
    """The endpoint gets a few requests while it is down, and no call fails."""
    outcome = asyncio.run(scenarios.outage_bridged(SEIC, server, SMALL))

    assert 1 <= outcome.requests <= 5
    assert outcome.calls.failed == 0


def test_an_outage_with_a_dead_token_is_not_hammered(server: TokenServer) -> None:
    """Calls fail during the outage, the endpoint gets a few requests, and calls succeed after it."""
    outcome = asyncio.run(scenarios.outage_dead(SEIC, server, SMALL))

    assert 1 <= outcome.requests <= 5
    assert outcome.calls.failed > 0
    assert outcome.recovery is not None


def test_the_hot_path_is_compared_pair_by_pair(server: TokenServer) -> None:
    """Each pair gets a ratio."""
    pairs = [*OURS.values()]

    assert set(compare_times(pairs, server.url, rounds=2, calls=2)) == set(pairs)


def test_a_call_over_tls_is_compared_with_one_through_httpx() -> None:
    """Both transports reach a server with a private authority."""
    with wire.tls_server() as endpoint:
        assert wire.compare_times(endpoint, rounds=2, calls=2) > 0


ROWS = [
    pytest.param(Figure("ratio", 1.0), 1.0, True, id="ratio at the limit"),
    pytest.param(Figure("ratio", 1.0), 1.0001, False, id="ratio above, by less than is shown"),
    pytest.param(Figure("ratio", 1.0), None, False, id="not measured"),
    pytest.param(Figure("ratio"), 7.0, None, id="for information"),
    pytest.param(count("requests", 1), 1, True, id="count"),
    pytest.param(count("requests", 1), 2, False, id="count above"),
    pytest.param(Figure("time", 1.0), float("inf"), False, id="never"),
]


@pytest.mark.parametrize(("figure", "value", "reached"), ROWS)
def test_a_row_says_whether_it_is_reached(figure: Figure, value: float | None, reached: bool | None) -> None:
    """Without rounding; a row without a limit has no verdict."""
    row = Row("measure", figure, {"seic": value})

    assert row.is_reached is reached
    assert row.unjudged().is_reached is (reached if figure.exact else None)


def test_the_table_is_plain_without_colour_and_names_a_measure_once() -> None:
    """One line per figure, below a header and a rule; colour changes verdicts only."""
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


def test_every_round_counts(server: TokenServer) -> None:
    """A disturbed round still counts, also for the median."""
    outcomes = [asyncio.run(scenarios.revoked(SEIC, server, SMALL, over=0.0)) for _ in range(3)]
    numbered = [attrs.evolve(outcome, requests=number) for outcome, number in zip(outcomes, (1, 5, 2), strict=True)]
    rounds = Rounds([(outcome, outcome) for outcome in numbered])

    assert rounds.worst(lambda _, own: own.requests) == 5
    assert rounds.median(lambda _, own: own.requests) == 2


def test_a_library_takes_part_in_its_rounds_only(server: TokenServer) -> None:
    """The static header is first in each round, and is compared with each library."""
    said: list[str] = []
    found = run_rounds(
        lambda library: scenarios.revoked(library, server, SMALL, over=0.0),
        {SEIC: 2, BARE_GATEWAY: 1},
        said.append,
    )

    assert {name: len(rounds.pairs) for name, rounds in found.items()} == {
        BARE.name: 2,
        SEIC.name: 2,
        BARE_GATEWAY.name: 1,
    }
    assert all(bare.calls.failed == SMALL.callers for bare, _ in found[SEIC.name].pairs)
    assert len(said) == 5


def test_the_bench_makes_rows_of_what_was_counted(server: TokenServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The static header has a row only if it has its own figure."""
    monkeypatch.setattr("tests.benchmarks.rows.PEERS", ())
    bench = Bench(server, QUICK, lambda _text: None, valgrind=False)
    rows = [*bench._revoked("401s together", over=0.0)]

    assert [(row.figure.of, dict(row.values)) for row in rows] == [
        ("token requests", {"seic": 1}),
        ("calls failed", {"seic": 0, "static header": QUICK.scale.callers}),
    ]


def test_the_costs_of_a_start_are_rows() -> None:
    """Each with a limit; the programs run."""
    effort = attrs.evolve(QUICK, starts=1, instructions=2, idle=0.1)
    rows = [*cold_start.rows(effort, lambda _text: None)]

    assert all(row.figure.most is not None and row.values["seic"] is not None for row in rows)
    assert rows[0].is_reached


def test_a_process_that_grows_is_noticed(tmp_path: Path) -> None:
    """A short run has no growth; more of anything but fragments of memory is growth."""
    root = pki.authority()
    (tmp_path / "server.pem").write_bytes(pki.server(root).pair)
    (tmp_path / "ca.pem").write_bytes(root.pem)
    with TokenServer(tmp_path / "server.pem") as server, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = measure(tmp_path, server.url, calls=100, renewals=5, rotations=2)
        before, after = asyncio.run(run)

    assert (before.tasks, before.threads) == (after.tasks, after.threads)
    one = Holdings(memory=50.0, descriptors=9, tasks=1, threads=2)
    assert growth(one, attrs.evolve(one, memory=51.0)) == {}
    assert growth(one, attrs.evolve(one, memory=53.0, descriptors=10)) == {"memory": 3.0, "descriptors": 1}

"""The rows of the table: what is run for each, what its figures are, and what they must reach."""

from __future__ import annotations

import asyncio
import math
import statistics
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

import attrs

from tests.benchmarks import scenarios
from tests.benchmarks.hot_path import OURS, OURS_VARIED, THEIRS, Pair, compare_times, count_instructions
from tests.benchmarks.libraries import BARE, PEERS, SEIC, Library
from tests.benchmarks.measuring import Stall
from tests.benchmarks.rounds import Rounds, repeat
from tests.benchmarks.scenarios import ARRIVING, TRIP, Outcome, Scale
from tests.benchmarks.token_server import TokenServer

#: A call counts as stalled when it took so much longer than nearly all bare ones, in seconds.
STALLED = 0.050
#: Runs a scenario with a library.
Scenario: TypeAlias = Callable[[Library], Coroutine[Any, Any, Outcome]]


@attrs.frozen
class Figure:
    """A number and what it must not be above.

    Args:
        of: What it is.
        most: The most that it may be; None where the row is for information.
        digits: How many digits it is shown with.
        unit: What is written behind it.
        exact: Whether it is a count that no machine excuses: the largest of all rounds is shown.
        worst: Whether the largest of the quiet rounds is shown, in place of the median.
    """

    of: str
    most: float | None = None
    digits: int = 2
    unit: str = ""
    exact: bool = False
    worst: bool = False

    def show(self, value: float | None) -> str:
        """Return a value as the table has it."""
        if value is None or math.isnan(value):
            return "–"
        return f"{value:.{self.digits}f}{self.unit}"

    def is_reached(self, value: float | None) -> bool:
        """Tell whether a value is as it must be, in the digits that it is shown with."""
        return self.most is None or (value is not None and round(value, self.digits) <= self.most)


def count(of: str, most: int | None = None) -> Figure:
    """Return a figure that is a count."""
    return Figure(of, most, digits=0, exact=True)


@attrs.frozen
class Row:
    """One line of the table.

    Args:
        measure: What was done.
        figure: What was looked at.
        values: What each library showed, by its name; what is not there was not measured.
    """

    measure: str
    figure: Figure
    values: Mapping[str, float | None]

    def unjudged(self) -> Row:
        """Return it for information only, unless it is a count."""
        return self if self.figure.exact else attrs.evolve(self, figure=attrs.evolve(self.figure, most=None))

    @property
    def is_reached(self) -> bool | None:
        """Whether seic reached what it must; None where nothing is asked of it, or it was not measured."""
        if self.figure.most is None or SEIC.name not in self.values:
            return None
        return self.figure.is_reached(self.values[SEIC.name])


@attrs.frozen
class Effort:
    """How much is run.

    Args:
        scale: How large the scenarios are.
        herds: Rounds of the scenarios that take less than a second.
        longer: Rounds of the others.
        instructions: Calls that callgrind counts, once and twice.
        batches: Batches of calls whose time is taken.
        is_thorough: Whether to count the instructions of the peers, and of calls with changing headers, too.
        is_judged: Whether ratios and times are held against what they must be; counts always are.
    """

    scale: Scale
    herds: int
    longer: int
    instructions: int
    batches: int
    is_thorough: bool
    is_judged: bool


FULL = Effort(scenarios.FULL, herds=7, longer=2, instructions=200, batches=600, is_thorough=True, is_judged=True)
QUICK = Effort(scenarios.QUICK, herds=1, longer=1, instructions=100, batches=100, is_thorough=False, is_judged=False)


def hot_path(effort: Effort, *, valgrind: bool) -> list[Row]:
    """Measure a call whose token is valid, in instructions if valgrind is here, and in time."""
    theirs = [pair for pair in THEIRS if pair.library.is_here]
    rows = []
    if valgrind:
        more = [*OURS_VARIED, *theirs] if effort.is_thorough else []
        counted = count_instructions([*OURS, *more], effort.instructions)
        rows += _hot_rows("instructions", Figure("ratio", 1.0, digits=3), counted, OURS, theirs)
        if more:
            rows += _hot_rows("the same, new headers each call", Figure("ratio", digits=3), counted, OURS_VARIED, ())
    took = compare_times([*OURS, *theirs], effort.batches, calls=25)
    rows += _hot_rows("time", Figure("ratio", 1.01), took, OURS, theirs)
    return rows


def _hot_rows(
    what: str, figure: Figure, ratios: Mapping[Pair, float], ours: Sequence[Pair], theirs: Sequence[Pair]
) -> list[Row]:
    one, two = ours
    others = {pair.library.name: ratios[pair] for pair in theirs if pair in ratios}
    return [
        Row(f"hot path, {what}; one header", figure, {SEIC.name: ratios[one], **others}),
        Row(f"hot path, {what}; two headers", figure, {SEIC.name: ratios[two]}),
    ]


@attrs.define
class Bench:
    """Runs the scenarios side by side and makes rows of them.

    Args:
        server: The token endpoint.
        effort: How much is run.
        say: Is told what begins.
    """

    server: TokenServer
    effort: Effort
    say: Callable[[str], None]
    _stalls: dict[str, list[list[Stall]]] = attrs.field(factory=dict)

    def rows(self) -> list[Row]:
        """Run all scenarios."""
        self._warm_up()
        return [
            *self._herd("empty cache", expired=False),
            *self._herd("expired cache", expired=True),
            *self._herd_at_once(),
            *self._expiring(),
            *self._bridged(),
            *self._dead(),
            *self._revoked("401s together", over=0.0),
            *self._revoked("401s spread", over=0.3),
            *self._stall_rows(),
        ]

    def _warm_up(self) -> None:
        # What a process does once, as httpx loads its network on the first call, is nobody's stall.
        for library in (SEIC, *PEERS):
            if library.is_here:
                asyncio.run(scenarios.herd(library, self.server, scenarios.QUICK, expired=False, each_turn=ARRIVING))

    def _herd(self, what: str, *, expired: bool) -> list[Row]:
        run = partial(scenarios.herd, server=self.server, scale=self.effort.scale, expired=expired, each_turn=ARRIVING)
        found = self._run(what, run, self.effort.herds, starting_empty=not expired)
        what = f"{self.effort.scale.herd} callers, {what}"
        return [
            _row(what, count("token requests", 1), found, _requests),
            _row(what, Figure("wall / (trip + bare)", 0.9), found, _share_of_wall),
        ]

    def _herd_at_once(self) -> list[Row]:
        run = partial(
            scenarios.herd,
            server=self.server,
            scale=self.effort.scale,
            expired=False,
            each_turn=self.effort.scale.herd,
        )
        # All in one turn of the loop is a stall by itself, whatever the library does.
        found = self._run("all in one turn", run, self.effort.herds, starting_empty=True, watch=False)
        what = f"{self.effort.scale.herd} callers, empty cache, all in one turn"
        return [
            _row(what, count("token requests", 1), found, _requests),
            _row(what, Figure("wall / (trip + bare)"), found, _share_of_wall),
        ]

    def _expiring(self) -> list[Row]:
        scale = self.effort.scale
        found = self._run(
            "tokens expiring", partial(scenarios.expiring, server=self.server, scale=scale), self.effort.longer
        )
        what = f"{scale.callers} callers, {scale.lifetime} s tokens, {scale.endpoint_delay * 1000:.0f} ms endpoint"
        return [
            _row(what, Figure("calls stalled", 0, digits=0, worst=True), found, _stalled),
            _row(what, Figure("p99 / bare", 1.1), found, _share_of_p99),
            _row(what, count("token requests a lifetime", 1), found, lambda _, own: own.a_lifetime),
        ]

    def _bridged(self) -> list[Row]:
        scale = self.effort.scale
        found = self._run(
            "endpoint down, token alive",
            partial(scenarios.outage_bridged, server=self.server, scale=scale),
            self.effort.longer,
        )
        what = f"endpoint down {scale.outage:g} s, token alive"
        return [
            _row(what, count("calls failed", 0), found, _failed),
            _row(what, count("token requests", 5), found, _requests),
            _row(what, Figure("p99 / bare", 1.1), found, _share_of_p99),
        ]

    def _dead(self) -> list[Row]:
        scale = self.effort.scale
        found = self._run(
            "endpoint down, token dead",
            partial(scenarios.outage_dead, server=self.server, scale=scale),
            self.effort.longer,
        )
        what = f"endpoint down {scale.outage:g} s, token dead"
        return [
            _row(what, count("token requests", 5), found, _requests),
            _row(what, Figure("first success after", 1.0, unit=" s", worst=True), found, _recovery),
        ]

    def _revoked(self, what: str, *, over: float) -> list[Row]:
        run = partial(scenarios.revoked, server=self.server, scale=self.effort.scale, over=over)
        found = self._run(what, run, self.effort.herds)
        what = f"token revoked, {self.effort.scale.callers} calls, {what}"
        return [
            _row(what, count("token requests", 1), found, _requests),
            _row(what, count("calls failed", 0), found, _failed),
        ]

    def _stall_rows(self) -> list[Row]:
        what = "event loop's longest stall in all of these"
        return [
            Row(what, Figure("", 10.0, digits=1, unit=" ms"), self._longest(lambda stall: stall.longest)),
            Row(
                what, Figure("with the collector", digits=1, unit=" ms"), self._longest(lambda stall: stall.collecting)
            ),
        ]

    def _longest(self, which: Callable[[Stall], float]) -> dict[str, float]:
        return {
            name: 1000 * max(statistics.median(map(which, stalls)) for stalls in each)
            for name, each in self._stalls.items()
        }

    def _run(
        self,
        what: str,
        scenario: Callable[..., Coroutine[Any, Any, Outcome]],
        rounds: int,
        *,
        starting_empty: bool = False,
        watch: bool = True,
    ) -> dict[str, Rounds]:
        found = {}
        for library in (SEIC, *PEERS):
            if not library.is_here or (starting_empty and not library.starts_empty):
                continue
            self.say(f"{what}: {library.name}")
            # Theirs are for comparison; one round each keeps the whole a matter of minutes.
            fewest, most = (rounds, 2 * rounds) if library is SEIC else (1, 1)
            found[library.name] = repeat(partial(scenario, BARE), partial(scenario, library), fewest, most)
            if watch:
                self._note_stalls(library.name, found[library.name])
        return found

    def _note_stalls(self, name: str, rounds: Rounds) -> None:
        # Scenario by scenario: the row shows the largest of their medians.
        self._stalls.setdefault(name, []).append([own.stall for _, own in rounds.pairs])
        if name == SEIC.name:
            self._stalls.setdefault(BARE.name, []).append([bare.stall for bare, _ in rounds.pairs])


def _row(what: str, figure: Figure, found: Mapping[str, Rounds], value: Callable[[Outcome, Outcome], float]) -> Row:
    def shown(rounds: Rounds) -> float:
        if figure.exact:
            return rounds.worst_of_all(value)
        return rounds.worst(value) if figure.worst else rounds.median(value)

    values = {name: shown(rounds) for name, rounds in found.items()}
    return Row(what, figure, values)


def _requests(_bare: Outcome, own: Outcome) -> float:
    return own.requests


def _failed(_bare: Outcome, own: Outcome) -> float:
    return own.calls.failed


def _stalled(bare: Outcome, own: Outcome) -> float:
    return own.calls.slower_than(bare.calls.p99 + STALLED)


def _share_of_p99(bare: Outcome, own: Outcome) -> float:
    return own.calls.p99 / bare.calls.p99


def _share_of_wall(bare: Outcome, own: Outcome) -> float:
    return own.wall / (TRIP + bare.wall)


def _recovery(_bare: Outcome, own: Outcome) -> float:
    return math.inf if own.recovery is None else own.recovery

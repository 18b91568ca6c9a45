"""The rows of the table: the measurements, their figures and limits."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import attrs

from tests.benchmarks import hot_path, scenarios, wire
from tests.benchmarks.libraries import BARE, PEERS, SEIC, Library
from tests.benchmarks.rounds import Rounds, Scenario, run_rounds
from tests.benchmarks.scenarios import ARRIVING, TRIP, Outcome, Scale
from tests.benchmarks.token_server import TokenServer

#: A call is stalled if it took this many seconds longer than nearly all bare calls.
STALLED = 0.050
#: A figure of one result, or of a result compared with the static header's.
Value = Callable[[Outcome, Outcome], float]


@attrs.frozen
class Figure:
    """A number and its limit.

    Args:
        of: The name of the figure.
        most: The limit; None if the row is for information.
        digits: The number of decimal digits.
        unit: The unit.
        worst: Whether the maximum of all rounds is shown instead of the median, as for counts.
        exact: Whether the limit applies to a quick run too.
        least: The lower limit, in place of `most`.
    """

    of: str
    most: float | None = None
    digits: int = 2
    unit: str = ""
    worst: bool = False
    exact: bool = False
    least: float | None = None

    @property
    def has_limit(self) -> bool:
        """Whether there is a limit."""
        return self.most is not None or self.least is not None

    def show(self, value: float | None) -> str:
        """Format a value for the table."""
        if value is None or math.isnan(value):
            return "–"
        return f"{value:.{self.digits}f}{self.unit}"

    def is_reached(self, value: float | None) -> bool:
        """Return whether a value is within the limit; NaN is not."""
        if value is None:
            return not self.has_limit
        return (self.most is None or value <= self.most) and (self.least is None or value >= self.least)


def count(of: str, most: int | None = None) -> Figure:
    """Return a figure that is a count."""
    return Figure(of, most, digits=0, worst=True, exact=True)


@attrs.frozen
class Row:
    """One line of the table.

    Args:
        measure: The measure.
        figure: The figure.
        values: The results by library; a missing one was not measured.
    """

    measure: str
    figure: Figure
    values: Mapping[str, float | None]

    def unjudged(self) -> Row:
        """Return the row without a limit, unless it is a count."""
        return (
            self if self.figure.exact else attrs.evolve(self, figure=attrs.evolve(self.figure, most=None, least=None))
        )

    @property
    def is_reached(self) -> bool | None:
        """Whether seic is within the limit; None without a limit or without a measurement."""
        if not self.figure.has_limit or SEIC.name not in self.values:
            return None
        return self.figure.is_reached(self.values[SEIC.name])


@attrs.frozen
class Effort:
    """The size of a benchmark run.

    Args:
        scale: The size of the scenarios.
        short: Rounds of scenarios that take less than a second.
        longer: Rounds of the others.
        short_theirs: Short rounds of the other libraries; they have one longer round.
        instructions: Calls that callgrind counts.
        batches: Batches of calls that are timed.
        starts: Rounds of processes that start.
        idle: Seconds for which the idle watcher is measured.
        is_judged: Whether the limits of ratios and times apply; those of counts always do.
    """

    scale: Scale
    short: int
    longer: int
    short_theirs: int
    instructions: int
    batches: int
    starts: int
    idle: float
    is_judged: bool


FULL = Effort(
    scenarios.FULL,
    short=7,
    longer=3,
    short_theirs=2,
    instructions=300,
    batches=600,
    starts=20,
    idle=10.0,
    is_judged=True,
)
QUICK = Effort(
    scenarios.QUICK, short=1, longer=1, short_theirs=1, instructions=50, batches=50, starts=2, idle=1.0, is_judged=False
)


@attrs.define
class Bench:
    """Runs all measurements, one after another, and creates the rows.

    Args:
        server: The token endpoint.
        effort: The size of the run.
        say: Receives the name of each measurement.
        valgrind: Whether valgrind is installed.
    """

    server: TokenServer
    effort: Effort
    say: Callable[[str], None]
    valgrind: bool
    _rounds: list[Mapping[str, Rounds]] = attrs.field(factory=list)

    def rows(self) -> Iterator[Row]:
        """Yield each row after its measurement."""
        yield from self._hot_path()
        yield from self._wire()
        self._warm_up()
        yield from self._herd("empty cache", expired=False)
        yield from self._herd("expired cache", expired=True)
        yield from self._herd_at_once()
        yield from self._expiring()
        yield from self._bridged()
        yield from self._dead()
        yield from self._revoked("401s together", over=0.0)
        yield from self._revoked("401s spread", over=0.3)
        yield from self._stalls()

    def _warm_up(self) -> None:
        """Let each library import the modules of its first token request, which a static header does not need."""
        for library in (SEIC, *PEERS):
            if library.is_here:
                asyncio.run(scenarios.herd(library, self.server, scenarios.QUICK, expired=False, each_turn=ARRIVING))

    def _hot_path(self) -> Iterator[Row]:
        theirs = {pair.library.name: pair for pair in hot_path.THEIRS if pair.library.is_here}
        pairs = [*hot_path.OURS.values(), *theirs.values()]
        counted: Mapping[hot_path.Pair, float] = {}
        if self.valgrind:
            self.say("hot path, instructions")
            every = [*pairs, *hot_path.OURS_VARIED.values()]
            counted = hot_path.count_instructions(every, self.server.url, self.effort.instructions)
        self.say("hot path, time")
        took = hot_path.compare_times(pairs, self.server.url, self.effort.batches, calls=25)
        for measure, figure, ours, found in (
            ("hot path, instructions", partial(Figure, most=1.0, digits=3), hot_path.OURS, counted),
            ("the same, new headers each call", partial(Figure, digits=3), hot_path.OURS_VARIED, counted),
            ("hot path, time", partial(Figure, most=1.01, digits=3), hot_path.OURS, took),
        ):
            for what, pair in ours.items():
                # The other libraries send one header. Only authlib has its own client, which is measured here.
                beside = theirs if pair is hot_path.OURS["OAuth2Auth, one header"] else {}
                values = {name: found.get(one) for name, one in {SEIC.name: pair, **beside}.items()}
                yield Row(measure, figure(what), values)

    def _wire(self) -> Iterator[Row]:
        self.say("a call over TLS")
        with wire.tls_server() as endpoint:
            counted = wire.count_instructions(endpoint, self.effort.instructions) if self.valgrind else None
            took = wire.compare_times(endpoint, self.effort.batches // 4, calls=10)
        what = "call over TLS, AsyncTransport against httpx's"
        yield Row(what, Figure("instructions", digits=3), {SEIC.name: counted})
        yield Row(what, Figure("processor time", digits=3), {SEIC.name: took})

    def _herd(self, what: str, *, expired: bool) -> Iterator[Row]:
        run = partial(scenarios.herd, server=self.server, scale=self.effort.scale, expired=expired, each_turn=ARRIVING)
        found = self._run(what, run, starting_empty=not expired)
        what = f"{self.effort.scale.herd} callers, {what}"
        yield _row(what, count("token requests", 1), found, _requests)
        yield _row(what, Figure("wall / (trip + bare)", 0.9), found, _share_of_wall)

    def _herd_at_once(self) -> Iterator[Row]:
        herd = self.effort.scale.herd
        run = partial(scenarios.herd, server=self.server, scale=self.effort.scale, expired=False, each_turn=herd)
        # All callers in one turn of the loop are a stall for any library.
        found = self._run("all in one turn", run, starting_empty=True, watch=False)
        what = f"{herd} callers, empty cache, all in one turn"
        yield _row(what, count("token requests", 1), found, _requests)
        yield _row(what, Figure("wall / (trip + bare)"), found, _share_of_wall)
        run = partial(scenarios.herd_in_memory, scale=self.effort.scale)
        found = self._run("all in one turn, endpoint in memory", run, watch=False, alone=True)
        what = f"{herd} callers in one turn, endpoint in memory"
        yield _row(what, count("token requests", 1), found, _requests)
        yield _row(what, Figure("wall / (trip + bare)", 0.95), found, _share_of_wall)

    def _expiring(self) -> Iterator[Row]:
        scale = self.effort.scale
        run = partial(scenarios.expiring, server=self.server, scale=scale)
        found = self._run("tokens expiring", run, is_long=True)
        what = f"{scale.callers} callers, {scale.lifetime} s tokens, {scale.endpoint_delay * 1000:.0f} ms endpoint"
        yield _row(what, Figure("calls stalled", 0, digits=0, worst=True), found, _stalled, bare=True)
        yield _row(what, Figure("p99 / bare", 1.1), found, _share_of_p99)
        yield _row(what, count("token requests a lifetime", 1), found, lambda _, own: own.a_lifetime)

    def _bridged(self) -> Iterator[Row]:
        scale = self.effort.scale
        run = partial(scenarios.outage_bridged, server=self.server, scale=scale)
        found = self._run("endpoint down, token alive", run, is_long=True)
        what = f"endpoint down {scale.outage:g} s, token alive"
        yield _row(what, count("calls failed", 0), found, _failed, bare=True)
        yield _row(what, count("token requests", 5), found, _requests)
        yield _row(what, Figure("p99 / bare", 1.1), found, _share_of_p99)

    def _dead(self) -> Iterator[Row]:
        scale = self.effort.scale
        run = partial(scenarios.outage_dead, server=self.server, scale=scale)
        found = self._run("endpoint down, token dead", run, is_long=True)
        what = f"endpoint down {scale.outage:g} s, token dead"
        yield _row(what, count("token requests", 5), found, _requests)
        yield _row(what, Figure("first success after", 1.0, unit=" s", worst=True), found, _recovery)

    def _revoked(self, what: str, *, over: float) -> Iterator[Row]:
        run = partial(scenarios.revoked, server=self.server, scale=self.effort.scale, over=over)
        found = self._run(what, run)
        what = f"token revoked, {self.effort.scale.callers} calls, {what}"
        yield _row(what, count("token requests", 1), found, _requests)
        yield _row(what, count("calls failed", 0), found, _failed, bare=True)

    def _stalls(self) -> Iterator[Row]:
        what = "event loop's longest stall in all of these"
        longest: Value = lambda _, own: 1000 * own.stall.longest  # noqa: E731
        excess: Value = lambda bare, own: 1000 * (own.stall.longest - bare.stall.longest)  # noqa: E731
        for figure, value in (
            (Figure("median of the worst scenario", 10.0, digits=1, unit=" ms"), longest),
            (Figure("the same, excess over bare", digits=1, unit=" ms"), excess),
            (Figure("worst of all rounds", digits=1, unit=" ms", worst=True), longest),
        ):
            # A row shows the maximum of all scenarios.
            each = [_values(figure, found, value) for found in self._rounds]
            names = {name for values in each for name in values}
            yield Row(what, figure, {name: max(values[name] for values in each if name in values) for name in names})

    def _run(
        self,
        what: str,
        scenario: Scenario,
        *,
        is_long: bool = False,
        starting_empty: bool = False,
        watch: bool = True,
        alone: bool = False,
    ) -> Mapping[str, Rounds]:
        effort = self.effort
        # The other libraries are for comparison; with few rounds the whole run takes minutes.
        ours, theirs = (effort.longer, 1) if is_long else (effort.short, effort.short_theirs)
        # Some peers block, and cannot use an endpoint that awaits.
        peers = [] if alone else [peer for peer in PEERS if peer.is_here and (peer.starts_empty or not starting_empty)]
        libraries: dict[Library, int] = {SEIC: ours, **dict.fromkeys(peers, theirs)}
        found = run_rounds(scenario, libraries, lambda text: self.say(f"{what}, {text}"))
        if watch:
            self._rounds.append(found)
        return found


def _row(what: str, figure: Figure, found: Mapping[str, Rounds], value: Value, *, bare: bool = False) -> Row:
    """Create a row from the results of rounds; with `bare`, the static header has its own figure."""
    values = _values(figure, found, value)
    return Row(what, figure, {name: value for name, value in values.items() if bare or name != BARE.name})


def _values(figure: Figure, found: Mapping[str, Rounds], value: Value) -> dict[str, float]:
    return {name: rounds.worst(value) if figure.worst else rounds.median(value) for name, rounds in found.items()}


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

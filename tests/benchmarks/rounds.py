"""Several runs of one scenario, the static header's and a library's in turn, and which of them count.

A machine is seldom one's own. So it is seen how long other programs had the processor that a round needed, disturbed
rounds are repeated, and the quietest count.
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeAlias

import attrs

from tests.benchmarks.scenarios import Outcome

#: The share of a round for which other programs may have the processor that it needs, or it is run again.
DISTURBED = 0.02
#: Runs a scenario once.
Run: TypeAlias = Callable[[], Coroutine[Any, Any, Outcome]]


def _disturbance(pair: tuple[Outcome, Outcome]) -> float:
    return max(outcome.others for outcome in pair)


@attrs.frozen
class Rounds:
    """What several runs of one scenario showed: for each, the static header's and the library's, side by side.

    Args:
        pairs: The rounds that the machine disturbed least.
        all: All of them, for the counts.
    """

    pairs: Sequence[tuple[Outcome, Outcome]]
    all: Sequence[tuple[Outcome, Outcome]]

    @classmethod
    def of(cls, pairs: Sequence[tuple[Outcome, Outcome]], keep: int) -> Rounds:
        """Keep so many rounds, the quietest."""
        return cls(sorted(pairs, key=_disturbance)[:keep], pairs)

    @property
    def are_disturbed(self) -> bool:
        """Whether other programs took more than a little of even these."""
        return _disturbance(self.pairs[-1]) > DISTURBED

    def median(self, figure: Callable[[Outcome, Outcome], float]) -> float:
        """Return the median of a figure of the bare and the library's outcome."""
        return statistics.median(figure(bare, own) for bare, own in self.pairs)

    def worst(self, figure: Callable[[Outcome, Outcome], float]) -> float:
        """Return the largest of a figure that takes time to show, so that a disturbance could have made it."""
        return max(figure(bare, own) for bare, own in self.pairs)

    def worst_of_all(self, figure: Callable[[Outcome, Outcome], float]) -> float:
        """Return the largest of a count, which no disturbance excuses."""
        return max(figure(bare, own) for bare, own in self.all)


def repeat(bare: Run, own: Run, fewest: int, most: int) -> Rounds:
    """Run both in turn, until there are enough rounds that nothing else disturbed, or there were too many.

    Args:
        bare: Runs the scenario with the static header.
        own: Runs it with the library.
        fewest: How many rounds count.
        most: How many are run at most.
    """
    pairs: list[tuple[Outcome, Outcome]] = []
    while len(pairs) < fewest or (len(pairs) < most and Rounds.of(pairs, fewest).are_disturbed):
        pairs.append((asyncio.run(bare()), asyncio.run(own())))
    return Rounds.of(pairs, fewest)

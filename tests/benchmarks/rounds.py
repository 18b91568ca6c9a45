"""Several rounds of one scenario, in each of which the static header and the libraries go through it in turn.

Every round counts, however busy the machine was: nothing is left out and nothing is run again.
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeAlias

import attrs

from tests.benchmarks.libraries import BARE, Library
from tests.benchmarks.scenarios import Outcome

#: Runs a scenario with a library.
Scenario: TypeAlias = Callable[[Library], Coroutine[Any, Any, Outcome]]


@attrs.frozen
class Rounds:
    """What the rounds of one scenario showed for a library: for each, the static header's outcome and its own."""

    pairs: Sequence[tuple[Outcome, Outcome]]

    def median(self, figure: Callable[[Outcome, Outcome], float]) -> float:
        """Return the median of a figure of the bare and the library's outcome."""
        return statistics.median(figure(bare, own) for bare, own in self.pairs)

    def worst(self, figure: Callable[[Outcome, Outcome], float]) -> float:
        """Return the largest of a figure."""
        return max(figure(bare, own) for bare, own in self.pairs)


def run_rounds(scenario: Scenario, libraries: Mapping[Library, int], say: Callable[[str], None]) -> dict[str, Rounds]:
    """Run a scenario with the static header and some libraries in turn.

    Args:
        scenario: What is run.
        libraries: In how many rounds each takes part, from the first on.
        say: Is told what begins.

    Returns:
        What each showed, by its name; the static header's stands beside itself.
    """
    found: dict[str, list[tuple[Outcome, Outcome]]] = {BARE.name: []}
    last = max(libraries.values())
    for number in range(last):
        say(f"round {number + 1} of {last}: {BARE.name}")
        bare = asyncio.run(scenario(BARE))
        found[BARE.name].append((bare, bare))
        for library, rounds in libraries.items():
            if number < rounds:
                say(f"round {number + 1} of {last}: {library.name}")
                found.setdefault(library.name, []).append((bare, asyncio.run(scenario(library))))
    return {name: Rounds(pairs) for name, pairs in found.items()}

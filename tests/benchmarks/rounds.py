"""Several rounds of a scenario, in which the static header and the libraries take turns.

Every round counts: none is dropped or repeated.
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
    """The results of a scenario for a library: for each round, those of the static header and its own."""

    pairs: Sequence[tuple[Outcome, Outcome]]

    def median(self, figure: Callable[[Outcome, Outcome], float]) -> float:
        """Return the median of a figure of the bare and the library's results."""
        return statistics.median(figure(bare, own) for bare, own in self.pairs)

    def worst(self, figure: Callable[[Outcome, Outcome], float]) -> float:
        """Return the maximum of a figure."""
        return max(figure(bare, own) for bare, own in self.pairs)


def run_rounds(scenario: Scenario, libraries: Mapping[Library, int], say: Callable[[str], None]) -> dict[str, Rounds]:
    """Run a scenario with the static header and some libraries in turn.

    Args:
        scenario: The scenario.
        libraries: The number of rounds for each library, from the first on.
        say: Receives the name of each run.

    Returns:
        The results by name; those of the static header are compared with themselves.
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

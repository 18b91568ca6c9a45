"""docs/benchmarks.md: its table has the rows of the benchmark command."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest

from tests._support.documents import ROOT
from tests.benchmarks import hot_path, wire
from tests.benchmarks.libraries import BARE, PEERS, SEIC, Library
from tests.benchmarks.measuring import Calls, Stall
from tests.benchmarks.rounds import Rounds
from tests.benchmarks.rows import FULL, Bench, Row
from tests.benchmarks.scenarios import Outcome
from tests.benchmarks.table import lines
from tests.benchmarks.token_server import TokenServer

_TEXT = (ROOT / "docs/benchmarks.md").read_text(encoding="utf-8")
#: The lines of the table in the page, from its header to the first empty line.
_SHOWN = _TEXT.partition("```text\n")[2].partition("\n\n")[0].splitlines()
_RULE = 1


def _columns(table: list[str]) -> list[list[str]]:
    """Return the cells of each line, split at the gaps of the rule."""
    spans = [match.span() for match in re.finditer("─+", table[_RULE])]
    return [[line[start:end].strip() for start, end in spans] for number, line in enumerate(table) if number != _RULE]


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> list[Row]:
    """Return the rows of the command, with fake measurements."""
    outcome = Outcome(requests=1, calls=Calls(took=[0.01], ended=[0.0]), wall=0.1, stall=Stall())

    def found(_scenario: object, libraries: Mapping[Library, int], _say: object) -> dict[str, Rounds]:
        return {one.name: Rounds([(outcome, outcome)]) for one in (BARE, *libraries)}

    def ratios(pairs: list[hot_path.Pair], *_effort: Any, **_more: Any) -> dict[hot_path.Pair, float]:
        return dict.fromkeys(pairs, 1.0)

    monkeypatch.setattr("tests.benchmarks.rows.run_rounds", found)
    monkeypatch.setattr(Bench, "_warm_up", lambda _bench: None)
    for module, names in {hot_path: ("count_instructions", "compare_times")}.items():
        for name in names:
            monkeypatch.setattr(module, name, ratios)
    for name in ("count_instructions", "compare_times"):
        monkeypatch.setattr(wire, name, lambda *_effort, **_more: 1.0)
    with TokenServer() as server:
        return [*Bench(server, FULL, lambda _text: None, valgrind=True).rows()]


def test_the_page_shows_the_rows_of_the_command(rows: list[Row]) -> None:
    """Each measure, figure and limit, in the order of the command: a new limit needs a new measurement."""
    names = [SEIC.name, BARE.name, *(peer.name for peer in PEERS)]
    made, shown = _columns([*lines(rows, names, colour=False)]), _columns(_SHOWN)

    assert shown[0] == made[0]
    assert [line[:3] for line in shown] == [line[:3] for line in made]


def test_each_row_of_the_page_has_a_figure_and_a_verdict(rows: list[Row]) -> None:
    """Each row was measured, and compared with its limit if it has one."""
    for line in _columns(_SHOWN)[1:]:
        assert re.fullmatch(r"-?\d+(\.\d+)?( m?s)?", line[3]), line
        assert (line[4] in {"yes", "NO"}) == bool(line[2]), line


def test_each_measure_of_the_table_is_explained(rows: list[Row]) -> None:
    """A row of the page's other table starts with its name, or with a part of it."""
    explained = re.findall(r"^\| ([^|]+?) \|", _TEXT, re.MULTILINE)

    for measure in {row.measure for row in rows}:
        assert any(term in measure for term in explained), measure

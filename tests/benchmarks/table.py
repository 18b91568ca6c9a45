"""The table on the terminal: plain text if piped, otherwise with colour."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence

from tests.benchmarks.rows import Row

_GREEN, _RED, _BOLD, _PLAIN = "\x1b[32m", "\x1b[31m", "\x1b[1m", "\x1b[0m"
_VERDICTS = {True: "yes", False: "NO", None: ""}


def is_coloured() -> bool:
    """Return whether to use colour: on a terminal, unless the user disabled it (https://no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def lines(rows: Sequence[Row], libraries: Sequence[str], *, colour: bool) -> Iterable[str]:
    """Return the lines of the table.

    Args:
        rows: The rows.
        libraries: The names of the columns, seic first.
        colour: Whether to colour the verdicts.
    """
    header = ("measure", "figure", "must be", libraries[0], "is it", *libraries[1:])
    cells = [header, *(_cells(row, libraries) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(header))]
    rule = "  ".join("─" * width for width in widths)
    before = None
    for number, line in enumerate(cells):
        # The name of a measure is printed once.
        shown = ("" if line[0] == before else line[0], *line[1:])
        before = line[0]
        text = "  ".join(
            cell.ljust(width) if column < 3 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(shown, widths, strict=True))
        ).rstrip()
        yield _coloured(text, rows[number - 1].is_reached if number else None, head=not number) if colour else text
        if number == 0:
            yield rule


def _cells(row: Row, libraries: Sequence[str]) -> tuple[str, ...]:
    figure = row.figure
    must = "" if figure.most is None else f"{'' if figure.most == 0 else '≤ '}{figure.show(figure.most)}"
    if figure.least is not None:
        must = f"≥ {figure.show(figure.least)}"
    values = [figure.show(row.values[name]) if name in row.values else "" for name in libraries]
    return (row.measure, figure.of, must, values[0], _VERDICTS[row.is_reached], *values[1:])


def _coloured(text: str, reached: bool | None, *, head: bool) -> str:
    if head:
        return f"{_BOLD}{text}{_PLAIN}"
    if reached is None:
        return text
    return f"{_GREEN if reached else _RED}{text}{_PLAIN}"

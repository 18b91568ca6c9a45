"""The command `python -m tests.structure`, which `nox -s structure` runs: the shape of the code in one table."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import attrs

from tests.structure import figures, moves, vocabulary

_IDENTITY = (
    "_identity.py", "_pool.py", "_async_pool.py", "_network/identity_transport.py", "_tls/reload.py", "_tls/context.py",
)  # fmt: skip


@attrs.frozen
class Row:
    """One line of the table; `before` was counted by the same code before the structure was changed."""

    measure: str
    before: str
    now: str
    reach: str
    is_reached: bool = True


def _count(measure: str, before: object, now: int, most: int | None = None) -> Row:
    reach = "" if most is None else f"≤ {most}"
    return Row(measure, str(before), str(now), reach, most is None or now <= most)


def _moves(measure: str, before: str, now: moves.Moves, most: int) -> Row:
    return Row(f"{measure}: calls · files · moves", before, str(now), f"≤ {most} moves", now.moves <= most)


def _verified() -> Row:
    pyright = shutil.which("pyright", path=str(Path(sys.executable).parent)) or "pyright"
    command = [pyright, "--verifytypes", "seic", "--ignoreexternal"]
    report = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    score = next((line.split(":")[1].strip() for line in report.splitlines() if "completeness" in line), "not measured")
    return Row("types of the public face, by pyright", "90 %", score, "100 %", score.startswith("100"))


def rows() -> Iterator[Row]:
    """Yield the lines of the table."""
    calls = moves.of_calls()
    yield _moves("get, token fresh", "10 · 4 · 7", calls["fresh"], 7)
    yield _moves("get, no token", "252 · 33 · 144", calls["no token"], 90)
    yield _moves("401, refresh, replay", "296 · 35 · 162", calls["401"], 110)
    yield _moves(
        "rotation of two files",
        "315 · 27 · 121",
        moves.of_rotation(),
        60,
    )
    tokens, files = figures.lines("_tokens/*.py", "_portal.py", "_concurrency.py")
    yield _count("fetching tokens: lines", 3437, tokens, 2600)
    yield _count("fetching tokens: files", 19, files, 12)
    identity, files = figures.lines(*_IDENTITY)
    yield _count("rotation, contexts and pools: lines", 1570, identity, 1050)
    yield _count("_tls: modules", 21, figures.lines("_tls/*.py")[1], 12)
    yield _count("_x509: modules (before: in _tls)", "", figures.lines("_x509/*.py")[1])
    yield _count("the package: lines", 23753, figures.lines("**/*.py")[0])
    owner = "_tokens/cache.py"
    state = figures.state_of("TokenCache", "PendingRefresh", module=owner)
    yield _count("state of a cache with one refresh: attributes", 56, len(state))
    yield _count("modules that write it, its owner apart", 5, len(figures.writers(state, owner=owner)), 0)
    of_async, of_blocking = figures.threads()
    yield _count("threads of one refresh: async caller", "0 to 6", len(of_async), 0)
    yield _count("threads of one refresh: blocking caller", "2 to 6", len(of_blocking), 1)
    yield _count("circles of imports", 2, len(figures.circles()), 0)
    yield _count("names that two things share", 22, len(figures.double_names()), 0)
    yield _count("words of names that are not of the field", 112, len(vocabulary.unknown()), 9)
    yield _count("module docstrings that open with what, who, where, how", 41, len(figures.badly_opened()), 0)
    yield _count("files over 400 lines", 0, len(figures.long_files(400)), 0)
    yield _count("test files that import a private module", 143, len(figures.private_imports()), 79)
    yield _verified()


def main() -> int:
    """Print the table; return 1 if a row is not reached."""
    table = [*rows()]
    columns = [("measure", "measure"), ("before", "before"), ("now", "now"), ("reach", "reach")]
    widths = [max(len(title), *(len(getattr(row, name)) for row in table)) for name, title in columns]
    print("  ".join(title.ljust(width) for (_, title), width in zip(columns, widths, strict=True)))
    for row in table:
        cells = "  ".join(getattr(row, name).ljust(width) for (name, _), width in zip(columns, widths, strict=True))
        print(cells if row.is_reached else f"{cells}  not reached")
    return 0 if all(row.is_reached for row in table) else 1


if __name__ == "__main__":
    sys.exit(main())

"""Print the tests and seconds of each folder of a JUnit report: `python -m tests._support.seconds REPORT`."""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path
from xml.etree import ElementTree as ET

TOP_LEVEL = "(top level)"


def folder_of(classname: str) -> str:
    """Return the folder of a test's module below `tests`, such as `integration` of `tests.integration.test_nginx`."""
    parts = classname.split(".")
    ends = next((place for place, part in enumerate(parts) if part.startswith("test_")), len(parts))
    return "/".join(parts[1:ends]) or TOP_LEVEL


def table(report: str) -> list[str]:
    """Return the lines of the table: the folders, the slowest first, and a total.

    Args:
        report: The text of a JUnit file, as `pytest --junitxml` writes it. Seconds include set-up and tear-down.
    """
    count: dict[str, int] = defaultdict(int)
    seconds: dict[str, float] = defaultdict(float)
    for case in ET.fromstring(report).iter("testcase"):  # noqa: S314  pytest wrote it a moment ago
        folder = folder_of(case.get("classname", ""))
        count[folder] += 1
        seconds[folder] += float(case.get("time", 0))
    rows = [(folder, count[folder], seconds[folder]) for folder in sorted(count, key=lambda name: -seconds[name])]
    rows.append(("total", sum(count.values()), sum(seconds.values())))
    width = max(len(name) for name, _, _ in rows)
    head = f"{'folder of tests':{width}}  {'tests':>6}  {'seconds':>8}"
    return [head, *(f"{name:{width}}  {tests:6}  {took:8.1f}" for name, tests, took in rows)]


if __name__ == "__main__":
    print("\n".join(table(Path(sys.argv[1]).read_text(encoding="utf-8"))))  # noqa: T201  its purpose

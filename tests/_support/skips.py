"""Hooks that fail skipped tests in CI, where all that the suite needs is installed.

`tests/conftest.py` takes the hooks in; outside CI they do nothing.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import TypeVar

import pytest

_Report = TypeVar("_Report", pytest.TestReport, pytest.CollectReport)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail a skipped test; an expected failure is not a skip."""
    report = yield
    return report if hasattr(report, "wasxfail") else _fail_a_skip(report)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Fail a module that skips itself during collection."""
    return _fail_a_skip((yield))


def _fail_a_skip(report: _Report) -> _Report:
    if report.skipped and os.environ.get("CI", "").lower() == "true":
        report.outcome = "failed"
        report.longrepr = f"skipped, and CI skips nothing: {_reason(report.longrepr)}"
    return report


def _reason(longrepr: object) -> str:
    # pytest keeps a skip as (file, line, reason).
    return str(longrepr[2]) if isinstance(longrepr, tuple) else str(longrepr)

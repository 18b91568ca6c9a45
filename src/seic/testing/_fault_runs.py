"""`FaultRuns`: the plugin of `pytest --seic-chaos`, which runs each test again with each fault."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from _pytest.runner import runtestprotocol  # as the plugins that repeat tests do

from seic.testing._client_faults import FAULTS, ClientFault, FaultInjection

_OUTPUT = "seic_chaos"


class FaultRuns:
    """Runs tests that pass and that use seic again; each run has one fault. Results are a table at the end."""

    def __init__(self) -> None:
        self._injection = FaultInjection()
        self._stack = ExitStack()
        self._passed = False
        #: The number of tests with each fault, and the tests that broke with the reason.
        self._counts = dict.fromkeys((fault.name for fault in FAULTS), 0)
        self._broken: dict[str, list[tuple[str, str]]] = {fault.name: [] for fault in FAULTS}

    @property
    def fault(self) -> str | None:
        """The name of the present fault."""
        fault = self._injection.fault
        return None if fault is None else fault.name

    def pytest_sessionstart(self) -> None:
        """Prepare the clients of the process."""
        self._stack.enter_context(self._injection.installed())

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Restore them; a worker of pytest-xdist returns its results."""
        self._stack.close()
        output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
        if output is not None:
            output[_OUTPUT] = [self._counts, self._broken]

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Add the results of a worker of pytest-xdist, unless it has crashed."""
        counts, broken = getattr(node, "workeroutput", {}).get(_OUTPUT, ({}, {}))
        for name, count in counts.items():
            self._counts[name] += count
            self._broken[name] += broken[name]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[Any]:
        """Run the test as always, and then with each fault that its requests can meet."""
        self._passed = True
        with self._injection.start(None):
            result = yield
            places = set(self._injection.places)
        if not (self._passed and places):
            return result
        for fault in FAULTS:
            if fault.place in places:
                self._run(item, nextitem, fault)
        return result

    def _run(self, item: pytest.Item, nextitem: pytest.Item | None, fault: ClientFault) -> None:
        with self._injection.start(fault):
            reports = runtestprotocol(item, log=False, nextitem=nextitem)
        failed = next((report for report in reports if report.failed), None)
        self._counts[fault.name] += 1
        if failed is not None:
            self._broken[fault.name].append((item.nodeid, _reason(failed)))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note whether the test itself passed."""
        self._passed = self._passed and report.passed

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the table."""
        write = terminalreporter.write_line
        terminalreporter.section("seic chaos")
        if not any(self._counts.values()):
            write("No test that passed made a request of seic.")
            return
        width = max(map(len, self._counts))
        for name, count in self._counts.items():
            broken = self._broken[name]
            result = "not met" if not count else "all pass" if not broken else f"{len(broken)} of {count} break"
            write(f"{name.ljust(width)}  {result}", red=bool(broken), green=bool(count and not broken))
            for nodeid, reason in broken:
                write(f"    {nodeid}: {reason}")


def _reason(report: pytest.TestReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    text = str(report.longrepr) if crash is None else crash.message
    line = text.strip().splitlines()[0] if text.strip() else report.when
    return line if len(line) <= 160 else f"{line[:159]}…"

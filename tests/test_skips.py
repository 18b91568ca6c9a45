"""The hook that fails skipped tests in CI."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests._support import skips

_BY_CALL = """
import pytest

def test_something():
    pytest.skip("no nginx here")
"""
_BY_MARK = """
import pytest

@pytest.mark.skipif(True, reason="no nginx here")
def test_something():
    pytest.fail("it ran")
"""
_IN_A_FIXTURE = """
import pytest

@pytest.fixture
def nginx():
    pytest.skip("no nginx here")

def test_something(nginx):
    pass
"""
_WHOLE_MODULE = """
import pytest

pytest.skip("no nginx here", allow_module_level=True)
"""
_MISSING_IMPORT = """
import pytest

pytest.importorskip("no_such_module", reason="no nginx here")
"""
_EXPECTED_FAILURE = """
import pytest

@pytest.mark.xfail(reason="known")
def test_something():
    pytest.fail("as known")
"""


@pytest.fixture
def suite(pytester: pytest.Pytester) -> pytest.Pytester:
    """Return a test suite with the hooks, every kind of skip, and one test that passes."""
    pytester.makeconftest(Path(skips.__file__).read_text(encoding="utf-8"))
    pytester.makepyfile(
        test_by_call=_BY_CALL,
        test_by_mark=_BY_MARK,
        test_in_a_fixture=_IN_A_FIXTURE,
        test_whole_module=_WHOLE_MODULE,
        test_missing_import=_MISSING_IMPORT,
        test_expected_failure=_EXPECTED_FAILURE,
        test_rest="def test_rest(): pass",
    )
    return pytester


def _run(suite: pytest.Pytester) -> pytest.RunResult:
    # Other plugins are not tested here, and one of them warns about a suite without settings.
    others = [f"-pno:{name}" for name in ("asyncio", "cacheprovider", "randomly")]
    return suite.runpytest_inprocess(*others, "-v", "--continue-on-collection-errors")


def test_ci_fails_on_every_kind_of_skip(suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """With CI=true each skip fails and prints its reason. An expected failure is not a skip."""
    monkeypatch.setenv("CI", "true")

    result = _run(suite)

    # pytest reports a failure before the body of a test as an error.
    result.assert_outcomes(failed=1, errors=4, xfailed=1, passed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    for skip in ("by_call", "by_mark", "in_a_fixture", "whole_module", "missing_import"):
        result.stdout.re_match_lines_random([rf"(FAILED|ERROR) test_{skip}\.py.* CI skips nothing: .*no nginx here"])


@pytest.mark.parametrize("ci", [None, "", "false"], ids=["unset", "empty", "false"])
def test_a_skip_passes_without_ci(suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, ci: str | None) -> None:
    """A machine without a program runs the other tests, and reports the skipped ones."""
    monkeypatch.delenv("CI", raising=False)
    if ci is not None:
        monkeypatch.setenv("CI", ci)

    result = _run(suite)

    result.assert_outcomes(skipped=5, xfailed=1, passed=1)
    assert result.ret == pytest.ExitCode.OK

"""The pytest plugin in a run of its own, as users have it."""

from __future__ import annotations

import tomllib

import pytest

from tests._support.documents import ROOT

_PLUGIN = ("--disable-plugin-autoload", "-p", "pytest_seic", "-p", "no:cacheprovider")


def run(pytester: pytest.Pytester, *options: str) -> pytest.RunResult:
    """Run the tests of the folder in another process."""
    return pytester.runpytest_subprocess(*_PLUGIN, *options)


def test_the_plugin_is_registered() -> None:
    """The entry point has the module's name, so that `-p pytest_seic` loads it once."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert project["entry-points"]["pytest11"] == {"pytest_seic": "pytest_seic"}


def test_nothing_is_imported_for_others(pytester: pytest.Pytester) -> None:
    """Tests that use no fixture do not pay for seic."""
    pytester.makepyfile(
        """
        import sys

        def test_modules():
            assert "pytest_seic" in sys.modules
            assert not [name for name in sys.modules if name.partition(".")[0] in ("seic", "httpx", "cryptography")]
        """
    )
    run(pytester).assert_outcomes(passed=1)


def test_an_unused_response_fails_the_test(pytester: pytest.Pytester) -> None:
    """The report has the sentence."""
    pytester.makepyfile(
        """
        def test_it(seic_mock):
            seic_mock.add_response(method="GET", path="/v1/accounts")
        """
    )
    result = run(pytester)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*seic_mock: GET /v1/accounts: expected 1 times, requested 0 times"])


def test_an_unexpected_request_fails_the_test(pytester: pytest.Pytester) -> None:
    """Also if the application catches all exceptions."""
    pytester.makepyfile(
        """
        import contextlib
        import seic

        def test_it(seic_mock):
            with contextlib.suppress(BaseException), seic.Client(seic_mock.config()) as client:
                client.get("/v1/accounts")
        """
    )
    result = run(pytester)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*no response for GET /v1/accounts; call add_response*"])


def test_an_unexpected_request_without_a_token_fails_the_test(pytester: pytest.Pytester) -> None:
    """It gets 401, which an application may take for an answer."""
    pytester.makepyfile(
        """
        import httpx

        def test_it(seic_mock):
            with httpx.Client(transport=seic_mock) as client:
                assert client.get("https://x.example/v1/accounts").status_code == 401
        """
    )
    result = run(pytester)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*no response for GET /v1/accounts; call add_response*"])


@pytest.mark.parametrize("plan", ["fail_tokens(503)", "lose_tokens()"])
def test_an_unused_failure_of_the_token_endpoint_fails_the_test(pytester: pytest.Pytester, plan: str) -> None:
    """The application requested no token, so that the test proves nothing."""
    pytester.makepyfile(f"def test_it(seic_mock):\n    seic_mock.{plan}")
    result = run(pytester)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*seic_mock: 1 planned responses of the token endpoint were not requested"])


_SHARED = """
    seen = []

    def test_one(seic_sandbox):
        seen.append(seic_sandbox)

    def test_two(seic_sandbox):
        seen.append(seic_sandbox)
        assert (seen[0] is seen[1]) is {shared}
"""


@pytest.mark.parametrize(("scope", "shared"), [("function", False), ("session", True)])
def test_the_scope_of_the_sandbox(pytester: pytest.Pytester, scope: str, shared: bool) -> None:
    """Each test has its own, or all share one."""
    pytester.makeini(f"[pytest]\nseic_sandbox_scope = {scope}")
    pytester.makepyfile(_SHARED.format(shared=shared))

    run(pytester).assert_outcomes(passed=2)

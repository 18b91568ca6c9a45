"""docs/tokens.md: its examples and figures."""

from __future__ import annotations

import re

import pytest

from seic import TokenEndpointUnavailable, TokenRequestRefused
from seic._tokens.backoff import RETRY_AFTER_MAX, failure_backoff, rejected_token_backoff
from seic._tokens.refresh_policy import RefreshPolicy
from seic.sandbox import Sandbox
from tests._support.documents import ROOT, run_blocks, set_environment

_FILE = "docs/tokens.md"
_PAGE = (ROOT / _FILE).read_text(encoding="utf-8")
_TEXT = " ".join(_PAGE.split())
#: The tests of each promise, which is a heading of the page: files below `tests`.
_TESTS = {
    "One refresh for all callers": [
        "tokens/test_one_refresh_for_all",
        "tokens/test_token_source",
        "tokens/test_cancelled_callers",
        "tokens/test_interrupts",
    ],
    "Scope, audience and resource of a request": ["auth/test_tokens_of_requests"],
    "When a token is renewed": [
        "tokens/test_refresh_policy",
        "tokens/test_lifetimes",
        "tokens/test_advisory_refresh",
        "tokens/test_cache",
        "auth/test_use",
    ],
    "Timeouts": [
        "tokens/test_swallowed_requests",
        "tokens/test_exchange_deadlines",
        "test_deadlines",
    ],
    "Failures and pauses": [
        "tokens/test_backoff",
        "tokens/test_failing_endpoints",
        "tokens/test_refusals_in_any_form",
        "tokens/test_remembered_failures",
        "tokens/test_libraries_cancellations",
        "tokens/test_exchange",
        "tokens/test_exchange_failures",
        "tokens/test_replies",
        "tokens/test_confirmation",
    ],
    "401 responses": [
        "auth/test_rejecting_paths",
        "auth/test_rejections",
        "tokens/test_rejected_tokens",
    ],
    "Request bodies": [
        "auth/test_bodies",
        "api/test_replayable_body",
    ],
    "Single use of refresh tokens and codes": [
        "tokens/test_single_use",
        "tokens/test_shared_memory",
        "tokens/test_refresh_tokens",
        "tokens/test_lost_replies",
        "tokens/test_stored_refresh_tokens",
    ],
    "Stores": [
        "tokens/test_slow_stores",
        "tokens/test_stores",
        "tokens/test_token_checks",
        "tokens/test_unsaved_tokens",
        "tokens/test_shared_state",
        "tokens/test_claims",
        "tokens/test_memory_store",
    ],
    "Threads and event loops": [
        "tokens/test_threads",
        "tokens/test_loops_that_end",
        "runtime/test_portal",
        "runtime/test_crowds",
    ],
    "Forced renewal and revocation": [
        "tokens/test_revocation_during_refresh",
        "tokens/test_revocation_and_introspection",
    ],
    "Closing": [
        "tokens/test_closing",
        "auth/test_ready_clients",
    ],
    "API errors and retries": [
        "api/test_replies",
        "api/test_retry",
    ],
}


def test_the_examples_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """They run in order, and their assertions hold."""
    with Sandbox() as sandbox:
        set_environment(sandbox, monkeypatch)
        run_blocks(_FILE)


def test_the_numbers_are_those_of_the_code() -> None:
    """The page has the values of the constants."""
    advisory, mandatory = RefreshPolicy().margins(3600, 0.0)
    refused = TokenRequestRefused("no", status=401)
    memory = [failure_backoff(refused, failures=times, ahead=False, chance=0.0).expired for times in (1, 2, 99)]
    dead = failure_backoff(TokenEndpointUnavailable("down"), failures=9, ahead=False, chance=0.999).expired

    assert f"20 % of the lifetime ({advisory / 60:.0f} min of an hour)" in _TEXT
    assert f"2.5 % of the lifetime ({mandatory:.0f} s of an hour)" in _TEXT
    assert "remembered for {:.0f} seconds, then {:.0f}, up to {:.0f}".format(*memory) in _TEXT
    assert f"about every {dead:.1f} seconds" in _TEXT
    assert RETRY_AFTER_MAX == rejected_token_backoff(99) == 60
    assert "up to a minute" in _TEXT


def test_each_promise_has_its_tests() -> None:
    """Each heading of the page has files of tests, and each file of `tests/tokens` belongs to one heading."""
    named = [name for names in _TESTS.values() for name in names]
    files = {f"tokens/{path.stem}" for path in (ROOT / "tests/tokens").glob("test_*.py")}

    assert re.findall(r"^## (.+)$", _PAGE, re.MULTILINE) == [*_TESTS]
    assert [name for name in named if not (ROOT / f"tests/{name}.py").exists()] == []
    assert sorted(files - {*named}) == []
    assert len(named) == len({*named})

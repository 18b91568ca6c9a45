"""docs/tokens.md: its examples and figures."""

from __future__ import annotations

import pytest

from seic import TokenEndpointUnavailable, TokenRequestRefused
from seic._tokens.backoff import RETRY_AFTER_MAX, failure_backoff, rejected_token_backoff
from seic._tokens.refresh_policy import RefreshPolicy
from seic.sandbox import Sandbox
from tests._support.documents import ROOT, run_blocks, set_environment

_FILE = "docs/tokens.md"
_TEXT = " ".join((ROOT / _FILE).read_text(encoding="utf-8").split())


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

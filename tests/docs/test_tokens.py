"""docs/tokens.md: its examples and figures."""

from __future__ import annotations

import pytest

from seic import TokenEndpointUnavailable, TokenRequestRefused
from seic._tokens.backoff import RETRY_AFTER_MAX, fruitless_pause, pauses
from seic._tokens.held import Windows
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
    advisory, mandatory = Windows().margins(3600, 0.0)
    refused = TokenRequestRefused("no", status=401)
    memory = [pauses(refused, failures=times, ahead=False, chance=0.0).dead for times in (1, 2, 99)]
    dead = pauses(TokenEndpointUnavailable("down"), failures=9, ahead=False, chance=0.999).dead

    assert f"20 % of the lifetime ({advisory / 60:.0f} min of an hour)" in _TEXT
    assert f"2.5 % of the lifetime ({mandatory:.0f} s of an hour)" in _TEXT
    assert "remembered for {:.0f} seconds, then {:.0f}, up to {:.0f}".format(*memory) in _TEXT
    assert f"about every {dead:.1f} seconds" in _TEXT
    assert RETRY_AFTER_MAX == fruitless_pause(99) == 60
    assert "up to a minute" in _TEXT

"""docs/fleet.md: its examples and figures."""

from __future__ import annotations

import pytest

from seic._api.shared_rate_limit import LOOK
from seic._tokens.refresh_policy import CHECK_AFTER
from seic._tokens.shared_state import INTERVAL
from seic.sandbox import Sandbox
from tests._support.documents import ROOT, run_blocks, set_environment

_FILE = "docs/fleet.md"


@pytest.mark.filterwarnings("ignore:cannot collect test class")
def test_the_examples_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """They run in order, and their assertions hold."""
    with Sandbox() as sandbox:
        set_environment(sandbox, monkeypatch)
        run_blocks(_FILE)


def test_the_numbers_are_those_of_the_code() -> None:
    """The age of a copy."""
    text = " ".join((ROOT / _FILE).read_text(encoding="utf-8").split())

    assert f"after {CHECK_AFTER:.0f} seconds in the background" in text
    assert f"for {2 * CHECK_AFTER:.0f} seconds at most" in text
    assert f"every {LOOK:.0f} seconds while they send requests: {60 / LOOK:.0f} loads a minute" in text
    assert f"once in {INTERVAL:.0f} seconds at most" in text
    assert f"the last use | {INTERVAL + 2 * CHECK_AFTER:.0f} s" in text

"""docs/tutorial/: each page, followed by a new reader with every command as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests._support.documents import ROOT
from tests._support.walkthrough import Walkthrough, is_shown

_FOLDER = ROOT / "docs" / "tutorial"


@pytest.mark.parametrize("pages", [["first-call"], ["first-call", "fastapi"], ["first-call", "two-processes"]])
def test_the_tutorial_works(tmp_path: Path, pages: list[str]) -> None:
    """Each output that a page shows is the output of its command."""
    with Walkthrough(tmp_path) as reader:
        for page in pages:
            outputs = list(reader.follow(_FOLDER / f"{page}.md"))
            assert outputs
            for shown, said in outputs:
                assert is_shown(shown, said), f"shown:\n{shown}\nsaid:\n{said}"


def test_each_page_is_followed() -> None:
    """The pages above are all."""
    assert {path.stem for path in _FOLDER.glob("*.md")} == {"first-call", "fastapi", "two-processes"}

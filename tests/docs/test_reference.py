"""docs/reference/ is generated from the code, and complete."""

from __future__ import annotations

import importlib
import re

import pytest

from seic import Reason
from tests._support.documents import ROOT
from tests._support.reason_remedies import REASONS
from tests._support.reference_pages import FOLDER, MODULES, metrics, pages

_PAGES = pages()


def test_each_page_is_current() -> None:
    """`nox -s reference` would change nothing, and no other page is there."""
    assert {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md")} == _PAGES


@pytest.mark.parametrize("module", MODULES)
def test_each_public_name_has_an_entry(module: str) -> None:
    """Except `seic.events`, which is a page, and the version."""
    public = {f"{module}.{name}" for name in importlib.import_module(module).__all__}
    named = set(re.findall(r"^::: (\S+)$", "\n".join(_PAGES.values()), re.MULTILINE))

    assert public - named <= {"seic.events", "seic.__version__"}


def test_each_reason_has_a_meaning_and_a_remedy() -> None:
    """A new code needs a row."""
    assert set(REASONS) == set(Reason)
    assert all(meaning and remedy for meaning, remedy in REASONS.values())


def test_each_metric_of_the_code_is_explained() -> None:
    """The page of events lists what the page about OpenTelemetry explains."""
    text = (ROOT / "docs/observability.md").read_text(encoding="utf-8")
    explained = set(
        re.findall(r"^\| `((?:seic|http)\.[\w.]+)` \| (?:histogram|counter|up-down|gauge)", text, re.MULTILINE)
    )

    assert explained == {name for name, *_ in metrics()}


def test_each_page_is_in_the_navigation() -> None:
    """Mkdocs checks this too; this test runs without mkdocs."""
    listed = set(re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE))
    there = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}

    assert there <= listed

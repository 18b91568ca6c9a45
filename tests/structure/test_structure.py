"""The shape of the code: what a figure once reached, it keeps."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.structure import figures, moves, vocabulary

_ARCHITECTURE = Path(__file__).parents[2] / "docs/architecture.md"
#: One row of the glossary: a word in backquotes, then what it means.
_ENTRY = re.compile(r"^\| `([a-z]+)` \| .{10,} \|$", re.MULTILINE)


def test_no_modules_import_each_other() -> None:
    """Imports go one way, those inside functions too."""
    assert figures.circles() == []


def test_one_name_stands_for_one_thing() -> None:
    """No two modules and no two classes share a name."""
    assert figures.double_names() == {}


def test_no_file_is_long() -> None:
    """A file has one reason, and 400 lines at most."""
    assert figures.long_files(400) == []


def test_a_module_says_what_is_in_it() -> None:
    """A module's docstring does not open with what, who, where or how."""
    assert figures.badly_opened() == []


def test_names_are_of_the_field() -> None:
    """A word that no standard and no library has is explained in the glossary, and there are few of them."""
    unknown = vocabulary.unknown()
    explained = set(_ENTRY.findall(_ARCHITECTURE.read_text().partition("## Glossary")[2]))
    assert {word: where for word, where in unknown.items() if word not in explained} == {}
    assert explained <= set(unknown), "the glossary explains a word that no name has"
    assert len(explained) < 10


def test_tests_go_through_the_public_face() -> None:
    """Fewer than 80 test files import a private module."""
    assert len(figures.private_imports()) < 80


def test_one_owner_writes_the_state_of_a_refresh() -> None:
    """No other module assigns to what the token cache owns."""
    state = figures.state_of("TokenCache", "PendingRefresh", module="_tokens/cache.py")
    assert state
    assert figures.writers(state, owner="_tokens/cache.py") == set()


def test_threads_of_a_refresh() -> None:
    """An async caller needs no thread, a blocking one the portal's at most."""
    of_async, of_blocking = figures.threads()
    assert of_async == []
    assert of_blocking == ["seic"]


@pytest.mark.parametrize(("call", "most"), [("fresh", 7), ("no token", 90), ("401", 110)])
def test_a_call_passes_through_few_files(call: str, most: int) -> None:
    """Control passes from file to file so many times at most."""
    assert moves.of_calls()[call].moves <= most


def test_a_rotation_passes_through_few_files() -> None:
    """The same of a rotation of two files, from the swap on disk to the last listener."""
    assert moves.of_rotation().moves <= 60

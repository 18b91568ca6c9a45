"""docs/fastapi.md: its examples and the public names."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from seic import fastapi
from seic.sandbox import Sandbox
from tests._support.documents import ROOT, run_blocks, set_environment

_FILE = "docs/fastapi.md"
_TEXT = (ROOT / _FILE).read_text(encoding="utf-8")


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """Return the gateway of the examples."""
    with Sandbox() as sandbox:
        set_environment(sandbox, monkeypatch)
        yield sandbox


def test_the_examples_run(sandbox: Sandbox) -> None:
    """They run in order, in one namespace."""
    names = run_blocks(_FILE)

    assert set(names["app"].openapi()["paths"]) >= {"/me", "/mine"}


def test_every_public_name_is_in_the_page() -> None:
    """Except the names that a user does not call."""
    unnamed = {"Clients", "Problem", "LoginStateStorage", "problem_of", "ForwardedCertificate", "MalformedCertificate"}
    for name in {*fastapi.__all__} - unnamed:
        assert name in _TEXT, name

"""A sandbox with the secrets planted that no test of this folder may find again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from seic.sandbox import Sandbox
from tests._support.secret_runs import Run


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Plant the secrets."""
    with Sandbox(challenge=True) as sandbox:
        yield Run(sandbox, tmp_path)

"""A sandbox with known secrets, which no test of this folder may find in its output."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from seic.sandbox import Sandbox
from tests._support.secret_runs import Run


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Use known secrets."""
    with Sandbox(challenge=True) as sandbox:
        yield Run(sandbox, tmp_path)

"""Runs of mypy and pyright, as a user's project would run them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

#: The path of a type checker's cache, kept between runs: reading httpx and cryptography takes seconds.
_CACHE = Path(__file__).parents[2] / ".mypy_cache" / "tests"


def run_mypy(file: Path) -> list[tuple[int, str]]:
    """Return line and message of all that mypy says of a file, in strict mode."""
    command = ["-m", "mypy", "--strict", "--cache-dir", str(_CACHE), "--config-file", "", "--no-error-summary"]
    output = _run(*command, "--hide-error-context", file.name, folder=file.parent)
    found = []
    for line in output.splitlines():
        _, number, message = line.split(":", 2)
        found.append((int(number), message.strip()))
    return found


def run_pyright(file: Path) -> list[tuple[int, str]]:
    """Return line and message of all that pyright says of a file."""
    output = _run("-m", "pyright", "--outputjson", "--pythonpath", sys.executable, file.name, folder=file.parent)
    return [(one["range"]["start"]["line"] + 1, one["message"]) for one in json.loads(output)["generalDiagnostics"]]


def verify_types() -> dict[str, Any]:
    """Return what `pyright --verifytypes seic` says of the package."""
    output = _run("-m", "pyright", "--verifytypes", "seic", "--ignoreexternal", "--outputjson")
    report: dict[str, Any] = json.loads(output)["typeCompleteness"]
    return report


def _run(*command: str, folder: Path | None = None) -> str:
    ended = subprocess.run(
        [sys.executable, *command], cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
    assert ended.returncode in {0, 1}, ended.stdout + ended.stderr
    return ended.stdout

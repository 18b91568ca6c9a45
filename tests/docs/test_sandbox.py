"""docs/sandbox.md: its examples, in Python and in a shell."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests._support.documents import ROOT, run_blocks

_FILE = "docs/sandbox.md"
_TEXT = (ROOT / _FILE).read_text(encoding="utf-8")
_SCRIPTS = re.findall(r"^```sh\n(.*?)^```", _TEXT, re.MULTILINE | re.DOTALL)


def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They run in order, and their assertions hold."""
    monkeypatch.chdir(tmp_path)
    run_blocks(_FILE)


def test_the_shell_examples_run(tmp_path: Path) -> None:
    """In one shell, with the variables of a sandbox."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    start, *scripts = _SCRIPTS
    assert "python -m seic.sandbox" in start
    env_file = tmp_path / "sandbox.env"
    command = [sys.executable, "-m", "seic.sandbox", "--env-file", str(env_file)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while "end with Ctrl-C" not in process.stderr.readline():
            assert process.poll() is None
        try:
            text = "\n".join(["set -ae", f". {env_file}", "set +a", *scripts])
            done = subprocess.run(["bash", "-c", text], capture_output=True, text=True, check=False, cwd=tmp_path)
        finally:
            process.terminate()
    assert (done.returncode, done.stderr) == (0, "")
    assert '"certificate_common_name": "svc-sandbox"' in done.stdout

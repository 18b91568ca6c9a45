"""docs/sandbox.md: its examples, in Python and in a shell."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
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
    text = "\n".join(["set -e", *scripts])
    with _variables(tmp_path) as environ:
        done = subprocess.run(["sh", "-c", text], env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert '"certificate_common_name": "svc-sandbox"' in done.stdout


def test_the_node_example_runs(tmp_path: Path) -> None:
    """It gets a token over mutual TLS, and calls the API."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node is not installed")
    (script,) = re.findall(r"^```js\n(.*?)^```", _TEXT, re.MULTILINE | re.DOTALL)
    with _variables(tmp_path) as environ:
        done = subprocess.run([node, "-e", script], env=environ, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("svc-sandbox\n", "")


@contextlib.contextmanager
def _variables(folder: Path) -> Iterator[dict[str, str]]:
    """Run a sandbox in a block; the value is its variables, as a shell reads them."""
    env_file = folder / "sandbox.env"
    command = [sys.executable, "-m", "seic.sandbox", "--env-file", str(env_file)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while "end with Ctrl-C" not in process.stderr.readline():
            assert process.poll() is None
        try:
            read = ["sh", "-c", f"set -a; . {env_file}; env -0"]
            lines = subprocess.run(read, capture_output=True, text=True, check=True).stdout.split("\0")
            yield dict(line.partition("=")[::2] for line in lines if line)
        finally:
            process.terminate()

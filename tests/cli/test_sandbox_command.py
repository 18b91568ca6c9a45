"""`seic sandbox`: a gateway in the foreground, as a program of its own."""

from __future__ import annotations

import contextlib
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests._support.command import environment, run


@contextlib.contextmanager
def started(*arguments: str, end: signal.Signals = signal.SIGTERM) -> Iterator[list[str]]:
    """Run it in a block; the value is its first lines on stdout, and it must end by itself after the signal."""
    command = [sys.executable, "-m", "seic", "sandbox", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        first: list[str] = []
        if "--env-file" not in arguments:
            while not (first and "SEIC_CERTIFICATE_KEY" in first[-1]):
                first.append(process.stdout.readline())
                assert first[-1], process.stderr.read()
        else:
            assert "variables: " in process.stderr.readline()
        try:
            assert "page: http://localhost:" in process.stderr.readline()
            assert "end with Ctrl-C" in process.stderr.readline()
            yield first
        finally:
            process.send_signal(end)
            code = process.wait(20)
        assert code == 0
        assert process.stderr.read() == ""


def _variables(lines: list[str]) -> dict[str, str]:
    """Let a shell read the lines."""
    done = subprocess.run(
        ["bash", "-c", 'eval "$1"; env', "-", "".join(lines)], capture_output=True, text=True, check=True
    )
    found = dict(line.partition("=")[::2] for line in done.stdout.splitlines())
    return {name: value for name, value in found.items() if name.startswith("SEIC_")}


def test_lines_to_paste(tmp_path: Path) -> None:
    """A token in three commands; the folder of its key is deleted at the end."""
    with started() as lines:
        variables = _variables(lines)
        folder = Path(variables["SEIC_CERTIFICATE_KEY"]).parent
        assert stat.S_IMODE((folder / "client.key").stat().st_mode) == 0o600
        with environment(variables, tmp_path):
            assert run("token").code == 0
    assert not folder.exists()


@pytest.mark.parametrize("provider", ["sei-platform", "oauth2"])
def test_variables_in_a_file_of_the_owner(tmp_path: Path, provider: str) -> None:
    """Ctrl-C ends it too, and what the user named is kept."""
    file = tmp_path / "sandbox.env"
    file.write_text("old")
    folder = tmp_path / "certificates"
    arguments = ("--env-file", str(file), "--directory", str(folder), "--provider", provider)
    with started(*arguments, end=signal.SIGINT):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        lines = [f"export {line}\n" for line in file.read_text().splitlines()]
        with environment(_variables(lines), tmp_path):
            assert run("token").code == 0
    assert sorted(path.name for path in folder.iterdir()) == ["ca.pem", "client.key", "client.pem"]

"""Runs of the command `seic`: in this process, at a simulated terminal, or as a program of its own."""

from __future__ import annotations

import contextlib
import io
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import attrs
import pytest

from seic.cli import main
from seic.sandbox import Sandbox

#: Make the terminal on stdin that of the process, from which passwords are read.
_WITH_TERMINAL = (
    "import fcntl, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); from seic.cli import main; "
    "sys.exit(main(sys.argv[1:]))"
)


@attrs.frozen
class Finished:
    """The result of a run: its exit code and both streams."""

    code: int
    out: str
    err: str


class _Screen(io.StringIO):
    def isatty(self) -> bool:
        """Return True, as for a terminal."""
        return True


def run(*arguments: str, at_terminal: bool = False) -> Finished:
    """Run the command in this process."""
    kind = _Screen if at_terminal else io.StringIO
    out, err = kind(), kind()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(arguments)
    return Finished(int(code), out.getvalue(), err.getvalue())


def run_program(*arguments: str, environ: Mapping[str, str] | None = None) -> Finished:
    """Run the command as a program with its own process."""
    done = subprocess.run(
        [sys.executable, "-m", "seic", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **(environ or {})},
        timeout=60,
    )
    return Finished(done.returncode, done.stdout, done.stderr)


def converse(*arguments: str, answers: Sequence[tuple[str, str]]) -> Finished:
    """Run the command at a real terminal; type each answer when its question is on the screen.

    Args:
        arguments: The arguments.
        answers: The end of each question, and the answer.
    """
    terminal, its_end = pty.openpty()
    # The part after the last answer: a hidden answer leaves its question at the end of the screen.
    screen, since, waiting = "", 0, list(answers)
    with subprocess.Popen(
        [sys.executable, "-c", _WITH_TERMINAL, *arguments],
        stdin=its_end,
        stdout=its_end,
        stderr=its_end,
        start_new_session=True,
    ) as process:
        os.close(its_end)
        limit = threading.Timer(60, process.kill)
        limit.start()
        with os.fdopen(terminal, "r+b", buffering=0) as stream, contextlib.suppress(OSError):  # its end is EIO
            while some := stream.read(65536):
                screen += some.decode()
                if waiting and screen[since:].rstrip().endswith(waiting[0][0]):
                    since = len(screen)
                    stream.write(f"{waiting.pop(0)[1]}\n".encode())
        limit.cancel()
    assert not waiting, screen
    return Finished(process.returncode, screen.replace("\r\n", "\n"), "")


def variables_of(sandbox: Sandbox, folder: Path, *, certificate: bool = True) -> dict[str, str]:
    """Write the certificates of a sandbox into a folder, and return the variables of its client."""
    (folder / "ca.pem").write_bytes(sandbox.ca_pem)
    variables = {
        "SEIC_API_HOST": sandbox.api_url.removeprefix("https://"),
        "SEIC_MTLS_HOST": sandbox.mtls_url.removeprefix("https://"),
        "SEIC_CA": str(folder / "ca.pem"),
        "SEIC_CLIENT_ID": sandbox.client_id,
        "SEIC_CLIENT_SECRET": sandbox.client_secret,
        "SEIC_USERNAME": sandbox.username,
        "SEIC_PASSWORD": sandbox.password,
    }
    if certificate:
        (folder / "client.pem").write_bytes(sandbox.client_certificate_pem)
        (folder / "client.key").touch(mode=0o600)
        (folder / "client.key").write_bytes(sandbox.client_key_pem)
        variables |= {
            "SEIC_CERTIFICATE": str(folder / "client.pem"),
            "SEIC_CERTIFICATE_KEY": str(folder / "client.key"),
        }
    return variables


@contextlib.contextmanager
def environment(variables: Mapping[str, str], folder: Path) -> Iterator[pytest.MonkeyPatch]:
    """Set exactly these `SEIC_*` variables in a block, with a folder for profiles and no proxy."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [*os.environ]:
            if name.startswith("SEIC_") or name.lower().endswith("_proxy") or name in {"NO_COLOR", "TERM", "COLUMNS"}:
                patch.delenv(name)
        patch.setenv("XDG_CONFIG_HOME", str(folder / "xdg"))
        patch.setenv("COLUMNS", "80")
        for name, value in variables.items():
            patch.setenv(name, value)
        yield patch

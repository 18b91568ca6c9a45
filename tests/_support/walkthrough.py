"""Follows a page as a reader does: saves its files, runs its commands in order, and compares their output.

- A block that begins with `# name.py`, or the name of another file, is saved as that file.
- A `sh` block is run by bash in the folder, with the variables that earlier blocks exported. Lines that install
  packages are left out: everything is installed. A server is started, and stopped at the end.
- A `text` block is the output of the block before; `…` is any text, to the end of the line too.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_SERVER = re.compile(r"^(?:python -m seic\.sandbox|seic sandbox|uvicorn|gunicorn) ")
#: A server prints this when it accepts requests.
_READY = re.compile(r"end with Ctrl-C|Uvicorn running|Listening at")
_INSTALLS = re.compile(r"^(?:python -m pip|pip) install |^python -m venv |^\. venv/bin/activate$")
_PATIENCE = 60.0
#: Commands, and the arguments of Python that run them.
_PROGRAMS = {
    "seic": "-m seic",
    "uvicorn": "-m uvicorn",
    "gunicorn": "-m gunicorn",
    "openapi-python-client": "-m openapi_python_client",
    "openapi-generator-cli": "-c 'from openapi_generator_cli import cli; cli()'",
}
#: The variables that earlier blocks exported.
_EARLIER = "if [ -f shell.env ]; then . ./shell.env; fi\n"


class Walkthrough:
    """A reader with a folder, running inside `with`.

    Args:
        folder: The folder of the reader.
        environment: Variables of the reader's shell, in addition to this process's.
    """

    def __init__(self, folder: Path, environment: dict[str, str] | None = None) -> None:
        self._folder = folder
        self._servers: list[subprocess.Popen[str]] = []
        programs = folder / "bin"
        programs.mkdir()
        for name, arguments in _PROGRAMS.items():  # also if only the packages are on the path, without their commands
            program = programs / name
            program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments} "$@"\n', encoding="utf-8")
            program.chmod(0o755)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("SEIC_")}
        path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])
        self._environment = {**inherited, **(environment or {}), "PATH": path, "PYTHONUNBUFFERED": "1"}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        for server in reversed(self._servers):
            if server.poll() is None:
                os.killpg(server.pid, signal.SIGTERM)
            server.wait(_PATIENCE)
            assert server.stdout
            server.stdout.close()

    def follow(self, page: Path) -> Iterator[tuple[str, str]]:
        """Run the blocks of a page; yield each block that shows output, with the output that there was."""
        said = ""
        for kind, text in _BLOCK.findall(page.read_text(encoding="utf-8")):
            if named := re.match(r"# (\w+\.(?:py|yaml))\n", text):
                (self._folder / named[1]).write_text(text, encoding="utf-8")
            elif kind == "sh":
                said = self.run(text)
            elif kind == "text":
                yield text, said

    def run(self, text: str) -> str:
        """Run a block of commands, and return its output."""
        lines = [line for line in text.splitlines() if not _INSTALLS.match(line)]
        servers = [line for line in lines if _SERVER.match(line)]
        for line in servers:
            self._start(line)
        script = "\n".join(one for one in lines if one not in servers)
        done = subprocess.run(
            ["sh", "-ec", f"{_EARLIER}trap 'export -p > shell.env' EXIT\n{script}"],
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def _start(self, line: str) -> None:
        """Start a server, and wait until it says that it is ready; its later output is read and dropped."""
        server = subprocess.Popen(
            ["sh", "-ec", f"{_EARLIER}exec {line}"],
            cwd=self._folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._servers.append(server)
        assert server.stdout
        printed = []
        for said in server.stdout:
            printed.append(said)
            if _READY.search(said.rstrip()):
                break
        else:
            raise AssertionError(f"{line}\n{''.join(printed)}")
        threading.Thread(target=server.stdout.read, daemon=True).start()


def is_shown(shown: str, said: str) -> bool:
    """Whether a page shows an output; `…` is any text within a line."""
    pattern = re.escape(shown.rstrip("\n")).replace("…", "[^\n]*")
    return re.fullmatch(pattern, said.rstrip("\n")) is not None

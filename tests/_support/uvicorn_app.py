"""The example application under uvicorn with several workers, and its output."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Self

from tests._support.documents import ROOT

EXAMPLES = ROOT / "docs" / "examples"
_PATIENCE = 60.0
_COMPLAINT = re.compile(r"\b(WARNING|ERROR|CRITICAL|Traceback|\w*Warning)\b")


class Served:
    """`uvicorn app:app` on a Unix socket, running inside `with`; Python's warnings are errors.

    Args:
        socket: The path of its socket.
        workers: The number of processes.
        environment: The application's settings.
        folder: The folder of `app.py`.
    """

    def __init__(self, socket: Path, *, workers: int, environment: dict[str, str], folder: Path = EXAMPLES) -> None:
        self._socket = socket
        self._folder = folder
        self._workers = workers
        self._command = [
            *(sys.executable, "-W", "error", "-m", "uvicorn", "app:app"),
            *("--uds", str(socket), "--workers", str(workers), "--timeout-graceful-shutdown", "30"),
        ]
        self._environment = environment
        self._process: subprocess.Popen[str] | None = None
        self._said = threading.Condition()
        self._ended = False
        # Read continuously: a full pipe would block the application.
        self._reader = threading.Thread(target=self._read)
        #: The lines of its output.
        self.lines: list[str] = []

    @classmethod
    def locally(cls, port: int) -> Self:
        """Return the application as in its documentation: all on this machine, on a port, with two workers."""
        served = cls(Path(), workers=2, environment={})
        served._command = [sys.executable, "-W", "error", str(EXAMPLES / "local.py"), str(port)]
        return served

    def __enter__(self) -> Self:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("SEIC_")}
        paths = [str(ROOT / "src"), str(self._folder), os.environ.get("PYTHONPATH", "")]
        self._process = subprocess.Popen(
            self._command,
            env={**inherited, **self._environment, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader.start()
        try:
            self.wait_for("Application startup complete", times=self._workers)
        except BaseException:
            os.killpg(self._process.pid, signal.SIGKILL)
            self.wait()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        assert self._process is not None
        if self._process.poll() is None:
            self.interrupt()
        self.wait()

    def terminate(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Signal it to stop, as an orchestrator does; it finishes its requests first."""
        assert self._process is not None
        self._process.send_signal(number)

    def interrupt(self) -> None:
        """Send Ctrl-C to all of its processes."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGINT)

    def wait(self) -> int:
        """Wait for its exit, and return the code."""
        assert self._process is not None
        try:
            code = self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise
        finally:
            # Its processes share the pipe, which ends with the last of them.
            self._reader.join(_PATIENCE)
            if self._reader.is_alive():
                os.killpg(self._process.pid, signal.SIGKILL)
                self._reader.join()
                raise AssertionError("it left a process running")
        return code

    def wait_for(self, words: str, *, times: int = 1) -> None:
        """Wait until its output contains a text a number of times."""

        def is_said() -> bool:
            return self._ended or sum(words in line for line in self.lines) >= times

        with self._said:
            in_time = self._said.wait_for(is_said, _PATIENCE)
            said = sum(words in line for line in self.lines)
        assert in_time, f"{words!r} came {said} times of {times}:\n" + "\n".join(self.lines)
        assert said >= times, "it has ended:\n" + "\n".join(self.lines)

    @property
    def complaints(self) -> list[str]:
        """Return warnings and errors in its output.

        uvicorn's own parent leaves the socket that it listens on to the interpreter's end, which is not the
        application's doing.
        """
        return [line for line in self.lines if _COMPLAINT.search(line) and f"laddr={self._socket}" not in line]

    def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        with self._process.stdout as output:
            for line in output:
                with self._said:
                    self.lines.append(line.rstrip("\n"))
                    self._said.notify_all()
        with self._said:
            self._ended = True
            self._said.notify_all()


def free_port() -> int:
    """Return a port of loopback on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])

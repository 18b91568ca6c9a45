"""An nginx as a child process of the test, in a folder of the test.

It gets its ports as open sockets, so no other process can take them first, and a connection waits for it to start.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Self

import pytest

#: The loopback names of its certificate.
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")

# Debian installs servers in a folder that is on root's PATH only.
_PLACES = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin"))
_PATIENCE = 10.0
# Seconds after each signal to stop. Each one restarts the timer by which nginx kills a worker that missed the first.
_PAUSES = (0.5, 4.5, 5.0)


class NginxProcess:
    """nginx, running inside `with`; its configuration is written by the subclass.

    Args:
        folder: The folder of its files.
        sockets: Bound sockets; nginx inherits them.
    """

    def __init__(self, folder: Path, sockets: Iterable[socket.socket]) -> None:
        self._sockets = list(sockets)
        program = shutil.which("nginx", path=_PLACES)
        if program is None:
            self._close_sockets()
            pytest.skip("nginx is not installed")
        self.folder = folder
        self._command = [program, "-p", str(folder), "-c", "nginx.conf", "-e", "error.log"]
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def user(self) -> str:
        """The directive without which workers of root could not read the folder."""
        return "user root;" if hasattr(os, "geteuid") and os.geteuid() == 0 else ""

    def start(self) -> None:
        """Start it, or fail with its message about its configuration."""
        checked = subprocess.run([*self._command, "-t"], capture_output=True, text=True, timeout=_PATIENCE, check=False)
        if checked.returncode:
            pytest.fail(f"nginx refuses its configuration:\n{checked.stderr}")
        for sock in self._sockets:
            sock.listen(512)
        descriptors = [sock.fileno() for sock in self._sockets]
        self._process = subprocess.Popen(
            self._command,
            # The variable by which nginx inherits sockets: descriptors, each followed by a semicolon.
            env={**os.environ, "NGINX": "".join(f"{descriptor};" for descriptor in descriptors)},
            pass_fds=descriptors,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._close_sockets()

    def stop(self) -> None:
        """Stop it, and wait for its exit; a second call does nothing."""
        self._close_sockets()
        process, self._process = self._process, None
        if process is None:
            return
        try:
            code = _end(process)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        # The signal may arrive before nginx has installed a handler.
        if code not in (0, -signal.SIGTERM):
            pytest.fail(f"nginx ended with {code}:\n{self.error_log}")

    def reload(self) -> None:
        """Have it read its files again; connections from now on are made with their present content."""
        assert self._process is not None
        before = _workers(self._process.pid)
        deadline = time.monotonic() + _PATIENCE
        again = 0.0
        while not _workers(self._process.pid) - before or any(map(_accepts, before)):
            if time.monotonic() >= again:
                # A signal may have no effect until the next one, as in `_end`.
                self._process.send_signal(signal.SIGHUP)
                again = time.monotonic() + _PATIENCE / 4
            assert time.monotonic() < deadline, self.error_log
            time.sleep(0.01)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    @property
    def error_log(self) -> str:
        """Its error log."""
        with contextlib.suppress(FileNotFoundError):
            return (self.folder / "error.log").read_text(encoding="utf-8")
        return ""

    def access_log(self) -> list[str]:
        """Return the lines of its access log; nginx writes them after the response, so it is stopped first."""
        self.stop()
        return (self.folder / "access.log").read_text(encoding="utf-8").splitlines()

    def _close_sockets(self) -> None:
        for sock in self._sockets:
            sock.close()


def bind_loopback() -> list[socket.socket]:
    """Bind a free port on 127.0.0.1 and, if the machine has IPv6, the same port on ::1."""
    for _ in range(20):
        first = socket.socket(socket.AF_INET)
        first.bind(("127.0.0.1", 0))
        second = socket.socket(socket.AF_INET6)
        try:
            second.bind(("::1", first.getsockname()[1]))
        except OSError:
            second.close()
            if not _has_ipv6():
                return [first]
            first.close()
        else:
            return [first, second]
    pytest.fail("no port is free on both 127.0.0.1 and ::1")


def _has_ipv6() -> bool:
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as sock:
        sock.bind(("::1", 0))
        return True
    return False


def _workers(master: int) -> set[int]:
    return set(map(int, Path(f"/proc/{master}/task/{master}/children").read_text("ascii").split()))


def _accepts(worker: int) -> bool:
    try:
        title = Path(f"/proc/{worker}/cmdline").read_bytes()
    except OSError:  # it has ended
        return False
    return title.startswith(b"nginx: worker") and b"shutting down" not in title


def _end(process: subprocess.Popen[bytes]) -> int:
    """Signal an nginx to stop until it exits, and return its exit code.

    A signal during its start may have no effect until the next signal, so one alone may not be enough.

    Raises:
        subprocess.TimeoutExpired: It does not end.
    """
    for pause in _PAUSES[:-1]:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(pause)
    process.send_signal(signal.SIGTERM)
    return process.wait(_PAUSES[-1])

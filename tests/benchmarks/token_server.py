"""A token endpoint on loopback, in a separate process, so that its work and its counts are not measured.

It is started as `python -m tests.benchmarks.token_server`, with the file of a certificate and its key for TLS. It
answers every request with a token, including API calls. Its first line of output is its port. Then it reads one JSON
object per line: settings to change, or `{}` to return the counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import ssl
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import attrs

_END_OF_HEAD = b"\r\n\r\n"


@attrs.frozen
class Counts:
    """Complete token requests, counted by the endpoint.

    Args:
        arrivals: The time of each since the last reset, in seconds.
        while_down: The number of those during an outage.
    """

    arrivals: list[float]
    while_down: int

    @property
    def requests(self) -> int:
        """The number of requests."""
        return len(self.arrivals)

    def most_within(self, seconds: float) -> int:
        """Return the maximum number of requests within so many seconds."""
        return max(
            (sum(first <= other < first + seconds for other in self.arrivals) for first in self.arrivals), default=0
        )


class TokenServer:
    """Starts the process, sends it commands, and ends it.

    Args:
        pair: A file with the certificate for `localhost` and its key, for TLS; None for none.
    """

    def __init__(self, pair: Path | None = None) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.token_server", *([] if pair is None else [str(pair)])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        #: Its origin.
        self.url = f"{'http://127.0.0.1' if pair is None else 'https://localhost'}:{int(self._read_line())}"

    def set(self, *, delay: float | None = None, lifetime: int | None = None, down: bool | None = None) -> None:
        """Change its behaviour.

        Args:
            delay: Seconds before each response.
            lifetime: The lifetime of its tokens in seconds.
            down: Whether it closes connections without a response.
        """
        changes = {"delay": delay, "lifetime": lifetime, "down": down}
        self._write({name: value for name, value in changes.items() if value is not None})
        self._read_line()

    def reset(self) -> None:
        """Reset the counts."""
        self._write({"reset": True})
        self._read_line()

    def counts(self) -> Counts:
        """Return the counts."""
        self._write({})
        return Counts(**json.loads(self._read_line()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        with self._process:
            self._process.terminate()

    def _write(self, command: dict[str, Any]) -> None:
        pipe = self._process.stdin
        if pipe is None:
            raise RuntimeError("the token server has no input")
        pipe.write(json.dumps(command) + "\n")
        pipe.flush()

    def _read_line(self) -> str:
        pipe = self._process.stdout
        line = "" if pipe is None else pipe.readline()
        if not line:
            raise RuntimeError("the token server has ended")
        return line


class _Endpoint:
    def __init__(self) -> None:
        self.delay = 0.0
        self.lifetime = 3600
        self.down = False
        self.arrivals: list[float] = []
        self.while_down = 0
        self._numbers = itertools.count(1)

    def command(self, line: str) -> str:
        changes = json.loads(line)
        if changes.pop("reset", False):
            self.arrivals, self.while_down = [], 0
        for name, value in changes.items():
            setattr(self, name, value)
        return json.dumps({"arrivals": self.arrivals, "while_down": self.while_down})

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError), contextlib.closing(writer):
            while True:
                head = await reader.readuntil(_END_OF_HEAD)
                await reader.readexactly(_length(head))
                self.arrivals.append(time.monotonic())
                if self.down:
                    self.while_down += 1
                    return
                await asyncio.sleep(self.delay)
                writer.write(self._answer())
                await writer.drain()

    def _answer(self) -> bytes:
        token = f"token-{next(self._numbers)}"
        body = json.dumps({"access_token": token, "token_type": "Bearer", "expires_in": self.lifetime}).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        return head.encode() + body


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    return 0


async def _main(pair: Sequence[str]) -> None:
    endpoint = _Endpoint()
    context = None
    if pair:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*pair)
    server = await asyncio.start_server(endpoint.serve, "127.0.0.1", 0, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        while line := await asyncio.to_thread(sys.stdin.readline):
            print(endpoint.command(line), flush=True)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_main(sys.argv[1:]))

"""`seic proxy` as a process of its own, curl as its caller, and an API whose answers a test writes itself."""

from __future__ import annotations

import http.server
import json
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

import attrs

from tests._support import pki
from tests._support.loopback import PATIENCE, server_context

TOKEN = "token-of-the-scripted-api-1f7a"


@attrs.frozen
class CurlResult:
    """The result of a call with curl: its exit code, the last response and its body."""

    code: int
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)

    @property
    def problem(self) -> str:
        """The sentence of a problem document."""
        assert self.headers["content-type"] == "application/problem+json"
        assert self.headers["proxy-status"].startswith("seic; error=")
        assert self.json["status"] == self.status
        detail: str = self.json["detail"]
        return detail


class RunningProxy:
    """The command, from `__enter__` to `__exit__`, with the environment of the test.

    Args:
        arguments: Its arguments.
    """

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments
        self.variables: dict[str, str] = {}

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "seic", "proxy", *self._arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        # Its note follows when requests are accepted.
        self.note = self.process.stderr.readline()
        while not {"PROXY_SECRET", "PROXY_SOCKET"} & set(self.variables):
            line = self.process.stdout.readline()
            assert line.startswith("export "), (line, self.note, self.process.stderr.read())
            name, _, value = shlex.split(line)[1].partition("=")
            self.variables[name] = value
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    @property
    def url(self) -> str:
        """The URL; over a Unix socket, its host has no meaning."""
        return self.variables.get("PROXY_URL", "http://localhost")

    @property
    def port(self) -> int:
        """The port."""
        return int(self.url.rpartition(":")[2])

    @property
    def secret(self) -> str:
        """The secret."""
        return self.variables["PROXY_SECRET"]

    @property
    def authorization(self) -> str:
        """The header with the secret."""
        return f"Authorization: Bearer {self.secret}"

    def end(self, *signals: int) -> tuple[int, str]:
        """Send signals; return the exit code and stderr."""
        for number in signals or (signal.SIGTERM,):
            self.process.send_signal(number)
        _, notes = self.process.communicate(timeout=PATIENCE * 3)
        return self.process.returncode, notes

    def curl_command(self, path: str, *arguments: str) -> list[str]:
        """Return the command that calls a path."""
        socket_of = self.variables.get("PROXY_SOCKET")
        access = ["--unix-socket", socket_of] if socket_of else ["-H", self.authorization]
        return ["curl", "-sS", "-i", "--max-time", "60", *access, *arguments, f"{self.url}{path}"]

    def curl(self, path: str, *arguments: str) -> CurlResult:
        """Call a path with curl."""
        done = subprocess.run(self.curl_command(path, *arguments), capture_output=True, check=False)
        return parse_output(done.stdout, done.returncode)

    def talk(self, raw: bytes) -> bytes:
        """Send bytes on a connection of their own; return all that comes back until it ends."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as connection:
            connection.sendall(raw)
            received = b""
            while part := connection.recv(65536):
                received += part
        return received

    def peak(self) -> int:
        """Return the largest resident size so far, in bytes."""
        return _memory(self.process.pid, "VmHWM")

    def forget_peak(self) -> int:
        """Count the peak from now on; return the resident size."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")
        return _memory(self.process.pid, "VmRSS")


def _memory(pid: int, field: str) -> int:
    found = re.search(rf"{field}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def parse_output(output: bytes, code: int = 0) -> CurlResult:
    """Parse the output of `curl -i`, interim responses included."""
    head, body = b"", output
    while body.startswith(b"HTTP/"):
        head, _, body = body.partition(b"\r\n\r\n")
        if not re.match(rb"HTTP/\S+ 1\d\d", head):
            break
    lines = head.decode().split("\r\n")
    status = int(lines[0].split(" ")[1]) if lines[0] else 0
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
    return CurlResult(code, status, headers, body)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: ClassVar[ScriptedApi]

    def log_message(self, *_arguments: Any) -> None:
        """Log nothing."""

    def handle_one_request(self) -> None:
        """Answer token requests; the test answers all others."""
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline or not self.parse_request():
            self.close_connection = True
            return
        if self.path == "/oauth/v2/token":
            self.rfile.read(int(self.headers["Content-Length"]))
            token = {"access_token": TOKEN, "token_type": "Bearer", "expires_in": 3600}
            self.answer(json.dumps(token).encode(), ("Content-Type", "application/json"))
            return
        # Not `self.path`, which has lost slashes at its start.
        self.owner.requests.append((self.command, self.requestline.split(" ")[1], self.headers.items()))
        try:
            self.owner.handle(self)
        except OSError:
            self.close_connection = True
        finally:
            self.owner.ended.set()

    def answer(self, body: bytes, *headers: tuple[str, str], status: int = 200) -> None:
        """Send a response."""
        self.send_response(status)
        for name, value in (*headers, ("Content-Length", str(len(body)))):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()


class ScriptedApi:
    """An API over TLS.

    Args:
        handle: Answers each API request.
        folder: The folder for its authority.

    Attributes:
        variables: The settings of its client.
        requests: The method, the path and the headers of each.
        ended: Set when an answer has ended, also by the end of its connection.
    """

    def __init__(self, handle: Callable[[Any], object], folder: Path) -> None:
        self.handle = handle
        self.requests: list[tuple[str, str, list[tuple[str, str]]]] = []
        self.ended = threading.Event()
        handler = type("_OwnHandler", (_Handler,), {"owner": self})
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        context = server_context(pki.server(pki.authority()))
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        (folder / "root.pem").write_bytes(pki.authority().pem)
        self.host = f"localhost:{self._server.server_address[1]}"
        self.variables = {
            "SEIC_PROVIDER": "oauth2",
            "SEIC_API_HOST": self.host,
            "SEIC_CA": str(folder / "root.pem"),
            "SEIC_CLIENT_ID": "app",
            "SEIC_CLIENT_SECRET": "secret-of-the-app-77c1",
        }

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def stop(self) -> None:
        """Accept no more connections."""
        self._server.shutdown()
        self._server.server_close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._thread.join(PATIENCE)

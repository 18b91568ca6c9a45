"""An http server on loopback that records requests, for tests below an HTTP client's transport."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import attrs


@attrs.frozen
class Heard:
    """A request: its path, and its headers by their names in lower case."""

    path: str
    headers: Mapping[str, str]


#: Paths whose connection breaks off.
_BROKEN = {
    "/break-off": b"",
    "/no-http": b"this is no HTTP\r\n\r\n",
    "/half": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
}


class Wire(ThreadingHTTPServer):
    """Answer 200, or a redirect of `redirects`, or break the connection off."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.heard: list[Heard] = []
        self.connections = 0
        #: The target of each redirected path.
        self.redirects: dict[str, str] = {}

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def process_request(self, request: object, client_address: object) -> None:
        """Count the connection."""
        self.connections += 1
        super().process_request(request, client_address)  # type: ignore[arg-type]  # passed on


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Wire

    def do_GET(self) -> None:
        self.server.heard.append(Heard(self.path, {name.lower(): value for name, value in self.headers.items()}))
        if (raw := _BROKEN.get(self.path)) is not None:
            self.wfile.write(raw)
            self.close_connection = True
            return
        target = self.server.redirects.get(self.path)
        self.send_response(200 if target is None else 302)
        if target is not None:
            self.send_header("Location", target)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Log nothing."""


@contextmanager
def wire() -> Iterator[Wire]:
    """Serve until the block ends."""
    with Wire() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()

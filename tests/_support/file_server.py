"""A TLS server with a token endpoint and one file that can be read in parts (RFC 9110 §14), cut off, or held back."""

from __future__ import annotations

import http.server
import json
import re
import threading
from types import TracebackType
from typing import Any, ClassVar, Self

from tests._support.loopback import PATIENCE, server_context
from tests._support.pki import authority, server

TOKEN = "token-of-the-file-server-5d1c"


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: ClassVar[FileServer]

    def log_message(self, *_arguments: Any) -> None:
        """Log nothing."""

    def do_POST(self) -> None:
        """Answer with a token."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(
            200,
            json.dumps({"access_token": self.owner.token, "token_type": "BearerToken", "expires_in": "3600"}).encode(),
        )

    def do_GET(self) -> None:
        """Answer with the file, or its rest."""
        owner = self.owner
        owner.requests.append(dict(self.headers))
        if self.path == "/held":
            owner.arrived.set()
            owner.released.wait(PATIENCE)
            self._answer(200, b"{}")
            return
        if self.path in owner.replies:
            status, body, headers = owner.replies[self.path]
            # Held at its end until the reader closes the connection, or the test ends.
            self._answer(status, body, headers, hold=self.path in owner.endless)
            return
        if self.path != "/file":
            self._answer(404, b'{"error": "no such file"}')
            return
        content, headers, status = owner.content, {}, 200
        if owner.etag is not None:
            headers["ETag"] = owner.etag
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if match is not None and (owner.ignores_versions or self.headers.get("If-Range", owner.etag) == owner.etag):
            start = int(match[1])
            if start >= len(content):
                self._answer(416, b"", {"Content-Range": f"bytes */{len(content)}"})
                return
            start += owner.shift
            end = len(content) if owner.part is None else min(start + owner.part, len(content))
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(content)}"
            content, status = content[start:end], 206
        self._answer(status, content, headers, cut=owner.cut, hold=owner.hold)

    def _answer(
        self,
        status: int,
        content: bytes,
        headers: dict[str, str] | None = None,
        *,
        cut: int | None = None,
        hold: bool = False,
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content) + (self.path in self.owner.endless)))
        self.end_headers()
        self.wfile.write(content[:cut])
        if hold:
            self.owner.released.wait(PATIENCE)
        self.close_connection = cut is not None


class FileServer:
    """The server, running inside `with`.

    Attributes:
        content: The file.
        etag: Its version; None for no `ETag`.
        cut: The bytes after which the connection is closed; None for all.
        hold: Whether the connection is kept open before it is closed, until `released` is set.
        part: The most bytes of an answer to a request for the rest; None for all.
        shift: The bytes by which that answer begins too late.
        ignores_versions: Whether parts are sent without regard to `If-Range`.
        replies: Status, body and headers of further paths.
        endless: Those of them whose answer does not end before `released` is set.
        requests: The headers of each GET.
        arrived: Set by a request for `/held`, which is answered when `released` is set.
    """

    def __init__(self, content: bytes = bytes(range(256)) * 400, token: str = TOKEN) -> None:
        self.token = token
        self.content = content
        self.etag: str | None = '"one"'
        self.cut: int | None = None
        self.part: int | None = None
        self.shift = 0
        self.hold = self.ignores_versions = False
        self.replies: dict[str, tuple[int, bytes, dict[str, str]]] = {}
        self.endless: set[str] = set()
        self.requests: list[dict[str, str]] = []
        self.arrived, self.released = threading.Event(), threading.Event()
        handler = type("_OwnHandler", (_Handler,), {"owner": self})
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.socket = server_context(server(authority())).wrap_socket(self._server.socket, server_side=True)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(PATIENCE)

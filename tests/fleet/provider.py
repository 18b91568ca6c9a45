"""A provider and its API on loopback, for processes that share a token store; it keeps count of token requests."""

from __future__ import annotations

import contextlib
import itertools
import json
import queue
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qs

_REJECTED = {"WWW-Authenticate": 'Bearer error="invalid_token"'}


class TokenRequest(NamedTuple):
    """A token request: the process that sent it, and its refresh token."""

    pid: int
    refresh_token: str | None


class FleetProvider:
    """Issues tokens and answers API calls, in threads of this process; refresh tokens rotate.

    Attributes:
        requests: The token requests.
        arrived: The same, for the test to wait for.
        calls: The number of API calls.
        spent_twice: Refresh tokens that came a second time.
        lifetime: That of tokens, in seconds.
        refreshable: Whether tokens come with refresh tokens.
        status: The status of token responses.
        retry_after: The `Retry-After` of the 429 that answers the next API call; None for none.
        held: The number of token requests to come that wait for `gate`.
    """

    def __init__(self) -> None:
        self.requests: list[TokenRequest] = []
        self.arrived: queue.Queue[TokenRequest] = queue.Queue()
        self.calls = 0
        self.spent_twice: list[str] = []
        self.lifetime = 3600
        self.refreshable = False
        self.status = 200
        self.retry_after: str | None = None
        self.held = 0
        self.gate = threading.Event()
        self._live: set[str] = set()
        self._spent: set[str] = set()
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._called = threading.Condition(self._lock)
        self._server = _Server(self)

    @property
    def url(self) -> str:
        """The origin."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def wait_for_calls(self, number: int, seconds: float = 60.0) -> None:
        """Wait until so many API calls have come."""
        with self._called:
            assert self._called.wait_for(lambda: self.calls >= number, seconds)

    def reset(self) -> None:
        """Forget the requests and calls, and everything else but the tokens."""
        with self._lock:
            self.requests.clear()
            self.calls = 0
        while not self.arrived.empty():
            self.arrived.get()

    def token(self, pid: int, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        """Return the response to a token request."""
        request = TokenRequest(pid, form.get("refresh_token"))
        with self._lock:
            self.requests.append(request)
            number, is_held = next(self._numbers), self.held > 0
            self.held -= is_held
        self.arrived.put(request)
        if is_held:
            self.gate.wait(60)
        if self.status != 200:
            return self.status, {"error": "invalid_client"}
        with self._lock:
            if request.refresh_token in self._spent:
                self.spent_twice.append(request.refresh_token or "")
                return 400, {"error": "invalid_grant"}
            if request.refresh_token is not None:
                self._spent.add(request.refresh_token)
            self._live.add(f"a{number}")
        issued = {"access_token": f"a{number}", "token_type": "Bearer", "expires_in": self.lifetime}
        return 200, {**issued, "refresh_token": f"r{number}"} if self.refreshable else issued

    def call(self, authorization: str) -> tuple[int, dict[str, str]]:
        """Return the status and headers of an API call."""
        with self._called:
            self.calls += 1
            self._called.notify_all()
            if (seconds := self.retry_after) is not None:
                self.retry_after = None
                return 429, {"Retry-After": seconds}
            return (200, {}) if authorization.removeprefix("Bearer ") in self._live else (401, _REJECTED)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    """Reports no lost connections, which are part of the scenarios."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 512

    def __init__(self, provider: FleetProvider) -> None:
        self.provider = provider
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print other errors."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server  # pyright: ignore[reportIncompatibleVariableOverride]  # the library's own class is more general

    def do_POST(self) -> None:
        """Answer a token request."""
        text = self.rfile.read(int(self.headers["Content-Length"])).decode()
        form = {name: values[0] for name, values in parse_qs(text).items()}
        # The worker names its process there.
        pid = self.headers["User-Agent"].removeprefix("pid/").partition(" ")[0]
        self._answer(*self.server.provider.token(int(pid), form), {})

    def do_GET(self) -> None:
        """Answer an API call."""
        status, headers = self.server.provider.call(self.headers.get("Authorization", ""))
        self._answer(status, {}, headers)

    def _answer(self, status: int, body: dict[str, Any], headers: dict[str, str]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name, value)
        # The process may have been killed.
        with contextlib.suppress(ConnectionError):
            self.end_headers()
            self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the name of the library
        """Print nothing."""

"""The redirect of a login to this machine: a server on loopback for one request (RFC 8252 §7.3)."""

from __future__ import annotations

import hmac
import http.server
import queue
import sys
import threading
import webbrowser
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from seic._errors import ConfigurationError, TokenRequestRefused
from seic.cli._terminal import Terminal

_PATH = "/callback"
#: Longer request lines are refused by the server.
_MAX_PENDING = 16
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>seic</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<body style="font: 1rem/1.5 system-ui, sans-serif; margin: 3rem; max-width: 40rem">
<h1>{title}</h1><p>{text}</p></body></html>
"""


class LoopbackRedirect:
    """A server on loopback that receives the callback, running inside `with`.

    Args:
        port: Its port; 0 for any free one.

    Raises:
        ConfigurationError: The port is in use.
    """

    def __init__(self, port: int) -> None:
        self._received: queue.Queue[str] = queue.Queue(_MAX_PENDING)
        self._state = ""
        received, is_expected = self._received, self._is_expected

        class Handler(http.server.BaseHTTPRequestHandler):
            # A connection that a browser opens in advance must not keep the server busy.
            timeout = 5

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # its name in http.server
                """Log nothing: the address has the code."""

            def do_GET(self) -> None:
                """Take the callback of this login; any other request is refused."""
                if urlsplit(self.path).path != _PATH or not is_expected(self.path):
                    self._answer(404, "Not the expected login", "Go back to the terminal, and start again.")
                    return
                failed = "error" in parse_qs(urlsplit(self.path).query)
                title = "The login failed" if failed else "Logged in"
                self._answer(200, title, "Close this window, and go back to the terminal.")
                received.put_nowait(self.path)

            def _answer(self, status: int, title: str, text: str) -> None:
                body = _PAGE.format(title=title, text=text).encode()
                self.send_response(status)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Cache-Control", "no-store")
                # The address with the code must not reach another site.
                self.send_header("Referrer-Policy", "no-referrer")
                self.send_header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
                self.end_headers()
                self.wfile.write(body)

        try:
            self._server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", None) or "it must be from 0 to 65535"
            raise ConfigurationError(f"--port: {port} cannot be used: {why}", field="port") from None
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def uri(self) -> str:
        """The redirect URI."""
        return f"http://127.0.0.1:{self._server.server_address[1]}{_PATH}"

    def expect(self, state: str) -> None:
        """Accept the callback with this state, and no other."""
        self._state = state

    def wait(self, seconds: float) -> str:
        """Return the callback.

        Raises:
            TokenRequestRefused: None came in time.
        """
        try:
            return f"{self.uri}?{urlsplit(self._received.get(timeout=seconds)).query}"
        except queue.Empty:
            raise TokenRequestRefused(
                f"the login was not finished within {seconds:g} s; start again", status=None, code="expired_token"
            ) from None

    def _is_expected(self, path: str) -> bool:
        # Any page in the browser can send requests here; only the provider knows the state.
        given = parse_qs(urlsplit(path).query).get("state", [""])
        return bool(self._state) and len(given) == 1 and hmac.compare_digest(given[0].encode(), self._state.encode())

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def open_browser(url: str) -> None:
    """Open the user's browser, if there is one; the address is printed too."""
    # The address has no secret: the code comes with the callback.
    webbrowser.open(url)


def ask_for_callback(terminal: Terminal) -> str:
    """Ask for the address that the browser was sent to.

    Raises:
        ConfigurationError: There was none.
    """
    terminal.note("Then paste the address that the browser was sent to (it may show an error there):")
    callback = sys.stdin.readline().strip()
    if not callback:
        raise ConfigurationError("the address is missing; start again, and paste the whole address", field="callback")
    return callback

"""Chromium as a program that uses `seic proxy`, and as one that shows an attacker's page."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from seic.sandbox import Sandbox
from tests._support.browser import Browser
from tests._support.running_proxy import RunningProxy
from tests._support.sandbox_client import ECHO_PATH

#: Fetches a URL with the passwords that the browser has; the value is the body, or the name of the error.
_FETCH = (
    "fetch({url!r}, {{credentials: 'include', mode: {mode!r}, method: {method!r}}}).then(r => r.text(), e => e.name)"
)


class _Page(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_arguments: Any) -> None:
        """Log nothing."""

    def do_GET(self) -> None:
        """Answer with a page."""
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<title>page</title><p>a page of an attacker</p>")


@pytest.fixture
def attacker() -> Iterator[int]:
    """Serve a page of another origin; the value is its port."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Page) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def test_a_browser(env: pytest.MonkeyPatch, sandbox: Sandbox, tmp_path: Path, attacker: int) -> None:
    """A user reads the API with the secret as password; then no other page of the browser can call it."""
    with RunningProxy() as proxy, Browser(tmp_path / "profile") as browser:
        with_password = proxy.url.replace("://", f"://user:{proxy.secret}@")
        browser.open(f"{with_password}{ECHO_PATH}")
        assert '"certificate_common_name": "svc-sandbox"' in browser.text
        # The browser has the password now, and adds it itself.
        browser.open(f"{proxy.url}{ECHO_PATH}?n=2")
        assert '"n", "2"' in browser.text
        assert '"n", "3"' in browser.run(_FETCH.format(url=f"{ECHO_PATH}?n=3", mode="cors", method="POST"))

        before = len(sandbox.received(path=ECHO_PATH))
        for host in ("127.0.0.1", "localhost"):
            browser.open(f"http://{host}:{attacker}/")
            assert "attacker" in browser.text
            for mode, method in (("cors", "GET"), ("no-cors", "GET"), ("no-cors", "POST"), ("cors", "PUT")):
                read = browser.run(_FETCH.format(url=f"{proxy.url}{ECHO_PATH}", mode=mode, method=method))
                assert read in {"", "TypeError"}, (host, mode, method)
            browser.run(f"document.body.innerHTML = `<a href={proxy.url}{ECHO_PATH}>leave</a>`")
            browser.click("a")
            assert "a page of another web site sent this request" in browser.text
        # Not all: the browser may ask for an icon of the page with the refusal.
        assert len(sandbox.received(path=ECHO_PATH)) == before
        # The user's own requests still work.
        browser.open("about:blank")
        browser.open(f"{proxy.url}{ECHO_PATH}?n=4")
        assert '"n", "4"' in browser.text

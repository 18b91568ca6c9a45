"""A headless Chromium, controlled with the DevTools protocol over a pipe, without a driver or a port."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

import pytest

_PATIENCE = 30.0
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--headless=new",
    "--remote-debugging-pipe",
    # No authority has issued the tests' certificates.
    "--ignore-certificate-errors",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--no-default-browser-check",
    # It would contact hosts of its vendor.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--disable-features=OptimizationHints,MediaRouter,Translate",
    "--password-store=basic",
)
# The pipe must have descriptors 3 and 4. A small program sets them: this process has threads and cannot fork safely.
_LAUNCH = (
    "import os, sys; r, w = int(sys.argv[1]), int(sys.argv[2]); "
    "r, w = os.dup(r), os.dup(w); os.dup2(r, 3); os.dup2(w, 4); "
    # dup2 onto itself changes nothing, and the descriptor would not be inherited.
    "os.set_inheritable(3, True); os.set_inheritable(4, True); os.execvp(sys.argv[3], sys.argv[3:])"
)


class Browser:
    """Chromium with one page, running inside `with`.

    Args:
        folder: Its profile; an empty folder is a new user.
    """

    def __init__(self, folder: Path) -> None:
        program = next(filter(None, map(shutil.which, _NAMES)), None)
        if program is None:
            pytest.skip("Chromium is not installed")
        self._command = [program, *_FLAGS, f"--user-data-dir={folder}", "about:blank"]
        self._process: subprocess.Popen[bytes] | None = None
        self._buffer = b""
        self._events: list[dict[str, Any]] = []
        self._number = 0
        self._session: str | None = None

    def __enter__(self) -> Self:
        its_input, self._to = os.pipe()
        self._from, its_output = os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _LAUNCH, str(its_input), str(its_output), *self._command],
            pass_fds=[its_input, its_output],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(its_input)
        os.close(its_output)
        try:
            target = self._ask("Target.createTarget", url="about:blank")["targetId"]
            self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            self._ask("Page.enable")
        except BaseException:
            self._kill()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        assert self._process is not None
        try:
            self._session = None
            self._ask("Browser.close")
            self._process.wait(_PATIENCE)
        finally:
            self._kill()

    def _kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        os.close(self._to)
        os.close(self._from)

    def open(self, url: str) -> None:
        """Open a URL, and wait until the page is loaded."""
        self._events.clear()
        answer = self._ask("Page.navigate", url=url)
        assert "errorText" not in answer, f"{url}: {answer['errorText']}"
        self._wait_for("Page.loadEventFired")

    def fill(self, selector: str, text: str, *, enter: bool = False) -> None:
        """Type a text into a field; with Enter at the end, wait until the next page is loaded."""
        self._run(f"{_find(selector)}.focus()")
        self._ask("Input.insertText", text=text)
        if enter:
            self._events.clear()
            for kind in ("keyDown", "keyUp"):
                self._ask("Input.dispatchKeyEvent", type=kind, key="Enter", windowsVirtualKeyCode=13, text="\r")
            self._wait_for("Page.loadEventFired")

    def click(self, selector: str) -> None:
        """Click on an element that opens another page, and wait until it is loaded."""
        self._events.clear()
        self._run(f"{_find(selector)}.click()")
        self._wait_for("Page.loadEventFired")

    @property
    def url(self) -> str:
        """The URL of the page."""
        return str(self._run("location.href"))

    @property
    def text(self) -> str:
        """The visible text of the page."""
        return str(self._run("document.body.innerText"))

    def text_of(self, selector: str) -> str:
        """Return the visible text of an element."""
        return str(self._run(f"{_find(selector)}.innerText"))

    def value_of(self, selector: str) -> str:
        """Return the value of a field."""
        return str(self._run(f"{_find(selector)}.value"))

    def label_of(self, selector: str) -> str:
        """Return the accessible name of an element."""
        element = self._ask("Runtime.evaluate", expression=_find(selector))["result"]["objectId"]
        (node,) = self._ask("Accessibility.getPartialAXTree", objectId=element, fetchRelatives=False)["nodes"]
        return str(node["name"]["value"])

    def look(self, *, width: int, height: int, dark: bool = False) -> None:
        """Set the size of the screen in CSS pixels, and the colour scheme."""
        self._ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=2, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._ask("Emulation.setEmulatedMedia", features=[scheme])

    def run(self, script: str) -> Any:
        """Run a script in the page, and return its value."""
        return self._run(script)

    def cookies(self) -> dict[str, dict[str, Any]]:
        """Return all cookies with their attributes."""
        return {cookie["name"]: cookie for cookie in self._ask("Network.getCookies")["cookies"]}

    def screenshot(self, path: Path) -> None:
        """Return a screenshot of the page."""
        path.write_bytes(base64.b64decode(self._ask("Page.captureScreenshot")["data"]))

    def _run(self, script: str) -> Any:
        answer = self._ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def _ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        ends = time.monotonic() + _PATIENCE
        while True:
            answer = self._read(ends)
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                result: dict[str, Any] = answer["result"]
                return result
            self._events.append(answer)

    def _wait_for(self, method: str) -> None:
        ends = time.monotonic() + _PATIENCE
        while not any(event.get("method") == method for event in self._events):
            self._events.append(self._read(ends))

    def _read(self, ends: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._from], [], [], max(0.0, ends - time.monotonic()))
            assert ready, f"Chromium said nothing within {_PATIENCE:g} s"
            chunk = os.read(self._from, 65536)
            assert chunk, "Chromium has ended"
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        return message


def _find(selector: str) -> str:
    return f"document.querySelector({json.dumps(selector)})"

"""A real browser without a screen: Debian's Chromium, driven over WebDriver (w3.org/TR/webdriver2), JSON over HTTP."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import urlsplit

import attrs
import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

#: A browser on a busy machine may take its time; nothing is judged by it.
_PATIENCE = 60.0
_STARTED = re.compile(rb"started successfully on port (\d+)")
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
_ENTER = "\ue007"


@attrs.frozen
class Browser:
    """One window, with nothing in it from any other."""

    _session: httpx.AsyncClient

    async def open(self, url: str) -> None:
        """Go to an address and wait until its page is there."""
        await self._post("url", url=url)

    async def type(self, selector: str, text: str, *, enter: bool = False) -> None:
        """Type into a field as a person does, and press Enter at the end."""
        element = await self._find(selector)
        await self._post(f"element/{element}/value", text=text + (_ENTER if enter else ""))

    async def click(self, selector: str) -> None:
        """Click on what a CSS selector finds."""
        await self._post(f"element/{await self._find(selector)}/click")

    async def text(self, selector: str = "body") -> str:
        """Return the text that a person sees there."""
        return str(await self._get(f"element/{await self._find(selector)}/text"))

    async def label(self, selector: str) -> str:
        """Return what assistive technology calls the element."""
        return str(await self._get(f"element/{await self._find(selector)}/computedlabel"))

    async def value(self, selector: str) -> str:
        """Return what stands in a field."""
        return str(await self._get(f"element/{await self._find(selector)}/property/value"))

    async def address(self) -> str:
        """Return the address of the page."""
        return str(await self._get("url"))

    async def screenshot(self) -> bytes:
        """Return a PNG of what a person sees."""
        return base64.b64decode(await self._get("screenshot"))

    async def _find(self, selector: str) -> str:
        found = await self._post("element", using="css selector", value=selector)
        return str(found[_ELEMENT])

    async def _get(self, path: str) -> Any:
        return _value(await self._session.get(path))

    async def _post(self, path: str, **body: Any) -> Any:
        return _value(await self._session.post(path, json=body))


@contextlib.asynccontextmanager
async def open_browser(url: str, ca_pem: bytes) -> AsyncIterator[Browser]:
    """Start a browser that trusts the server at one address; a test without Chromium skips itself.

    Args:
        url: The server. What it presents is verified here, and then pinned in the browser, which has no other way to
            trust an authority for one run.
        ca_pem: The server's authority.
    """
    driver, chromium = shutil.which("chromedriver"), shutil.which("chromium")
    if driver is None or chromium is None:
        pytest.skip("needs Debian's chromium and chromium-driver")
    pin = await asyncio.to_thread(_public_key_hash, url, ca_pem)
    # The browser's last processes may still write as the folder goes.
    with tempfile.TemporaryDirectory(prefix="seic-browser-", ignore_cleanup_errors=True) as folder:
        options = {
            "binary": chromium,
            "args": [
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--window-size=900,900",
                f"--user-data-dir={folder}",
                f"--ignore-certificate-errors-spki-list={pin}",
            ],
        }
        # What a page after this one holds is looked for until it is there.
        waits = {"implicit": int(_PATIENCE * 1000)}
        capabilities = {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": options, "timeouts": waits}}
        with _running(driver) as port:
            address = f"http://127.0.0.1:{port}"
            async with httpx.AsyncClient(timeout=_PATIENCE, trust_env=False) as client:
                created = _value(await client.post(f"{address}/session", json={"capabilities": capabilities}))
                session = f"{address}/session/{created['sessionId']}"
                client.base_url = httpx.URL(f"{session}/")
                try:
                    yield Browser(client)
                finally:
                    # The whole address: httpx ends a base URL with a slash, which the driver takes for another command,
                    # and a browser whose session is not ended outlives its driver.
                    _value(await client.delete(session))


@contextlib.contextmanager
def _running(driver: str) -> Iterator[int]:
    # Not asyncio's own: it waits for the pipe to close, which the browser's helpers inherit.
    with subprocess.Popen([driver, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            assert process.stdout is not None
            started = next(filter(None, map(_STARTED.search, process.stdout)), None)
            assert started is not None, "chromedriver did not start"
            yield int(started[1])
        finally:
            process.terminate()


def _value(reply: httpx.Response) -> Any:
    value = reply.json()["value"]
    assert reply.status_code == httpx.codes.OK, value.get("message")
    return value


def _public_key_hash(url: str, ca_pem: bytes) -> str:
    parts = urlsplit(url)
    context = ssl.create_default_context(cadata=ca_pem.decode())
    with (
        socket.create_connection((parts.hostname, parts.port), timeout=_PATIENCE) as raw,
        context.wrap_socket(raw, server_hostname=parts.hostname) as secure,
    ):
        der = secure.getpeercert(binary_form=True)
    assert der is not None
    key = x509.load_der_x509_certificate(der).public_key()
    return base64.b64encode(
        hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
    ).decode()

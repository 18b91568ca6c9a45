"""`Recording`: responses of a real API in a file without secrets, for tests without a network."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest

from seic._config import Config
from seic._httpx import httpx_of
from seic._network.identity_transport import AsyncIdentityTransport, IdentityTransport
from seic._oauth.redact import credentials_in, secrets_in
from seic.testing._mock_expectations import ExpectedRequest
from seic.testing._mock_provider import MockProvider
from seic.testing._patches import without_network
from seic.testing._redact_recording import RecordingRedactor
from seic.testing._secret_finder import SHORTEST_SECRET, SecretFinder

#: The headers of a response that are kept. All others may contain cookies, addresses or names.
_KEPT_HEADERS = ("content-type", "etag", "link", "location", "retry-after", "www-authenticate")


@attrs.define
class Recording:
    """API requests and their responses in a file: recorded from a real environment, or replayed.

    The file has no token requests: on replay, a `MockProvider` issues tokens. It has no headers of requests, and the
    digests of their bodies.

    Args:
        path: The JSON file.
        is_recording: Whether requests are sent, and the file is written.
    """

    path: Path
    is_recording: bool
    _entries: list[dict[str, Any]] = attrs.field(factory=list, init=False)
    _credentials: dict[str, None] = attrs.field(factory=dict, init=False, repr=False)
    _others: dict[str, None] = attrs.field(factory=dict, init=False, repr=False)
    _mock: MockProvider = attrs.field(factory=MockProvider, init=False, repr=False)
    _is_discarded: bool = attrs.field(default=False, init=False, repr=False)

    def config(self, **changes: Any) -> Config:
        """Return the configuration of the variables `SEIC_*` while recording, and one for the mock on replay.

        Args:
            changes: Arguments of `Config`.
        """
        return Config.from_env(**changes) if self.is_recording else self._mock.config(**changes)

    def discard(self) -> None:
        """Write and check nothing at the end; for a test that failed."""
        self._is_discarded = True

    @contextmanager
    def running(self) -> Iterator[None]:
        """Record or replay until the block ends.

        Raises:
            FileNotFoundError: There is nothing to replay.
            AssertionError: A request was not recorded, a recorded one was not sent, or a response has a secret in an
                encoding that cannot be replaced; then nothing is written.
        """
        if self.is_recording:
            with self._recorded():
                yield
            if not self._is_discarded:
                self._write()
            return
        if not self.path.exists():
            raise FileNotFoundError(f"{self.path}: nothing is recorded; run pytest --seic-record with this test once")
        for entry in json.loads(self.path.read_text(encoding="utf-8"))["requests"]:
            self._mock._expect(_expected(entry))  # noqa: SLF001 - of this package
        with without_network(self._mock):
            yield
        if not self._is_discarded:
            self._mock.check()

    @contextmanager
    def _recorded(self) -> Iterator[None]:
        send, send_sync = AsyncIdentityTransport.handle_async_request, IdentityTransport.handle_request

        async def record(transport: Any, request: Any) -> Any:
            await request.aread()
            response = await send(transport, request)
            await response.aread()
            await response.aclose()
            return self._keep(request, response)

        def record_sync(transport: Any, request: Any) -> Any:
            request.read()
            response = send_sync(transport, request)
            response.read()
            response.close()
            return self._keep(request, response)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(AsyncIdentityTransport, "handle_async_request", record)
            patch.setattr(IdentityTransport, "handle_request", record_sync)
            yield

    def _keep(self, request: Any, response: Any) -> Any:
        if b"grant_type=" in request.content:
            self._credentials.update(dict.fromkeys(secrets_in(request)))
            self._others.update(dict.fromkeys(_tokens_of(response)))
        else:
            self._credentials.update(dict.fromkeys(credentials_in(request)))
            self._others.update(dict.fromkeys(_cookies_of(request, response)))
            self._entries.append(_entry(request, response))
        decoded = [
            (name, value)
            for name, value in response.headers.multi_items()
            if name not in {"content-encoding", "content-length", "transfer-encoding"}
        ]
        module = httpx_of(type(request))
        return module.Response(
            response.status_code, headers=decoded, content=response.content, extensions=response.extensions
        )

    def _write(self) -> None:
        redactor = RecordingRedactor(self._credentials, self._others)
        entries = [redactor.redact_entry(entry) for entry in self._entries]
        text = json.dumps({"requests": entries}, indent=2, ensure_ascii=False)
        finder = SecretFinder()
        for secret in (*self._credentials, *self._others):
            if len(secret) >= SHORTEST_SECRET:
                finder.add("a secret", secret)
        # Base64 of a body that is not text hides a secret from the search.
        parts: list[str | bytes] = [text]
        parts += [base64.b64decode(entry["base64"]) for entry in self._entries if "base64" in entry]
        if found := [name for part in parts for name in finder.find(part)]:
            raise AssertionError(f"{self.path}: not written, a response contains {', '.join(dict.fromkeys(found))}")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(f"{text}\n", encoding="utf-8")


def _entry(request: Any, response: Any) -> dict[str, Any]:
    try:
        body = {"text": response.content.decode()}
    except UnicodeDecodeError:
        body = {"base64": base64.b64encode(response.content).decode()}
    return {
        "method": request.method,
        "path": request.url.path,
        "query": request.url.query.decode(),
        "sha256": hashlib.sha256(request.content).hexdigest() if request.content else None,
        "status": response.status_code,
        "headers": {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers},
        **body,
    }


def _expected(entry: dict[str, Any]) -> ExpectedRequest:
    content = entry["text"].encode() if "text" in entry else base64.b64decode(entry["base64"])
    return ExpectedRequest(
        method=entry["method"],
        path=entry["path"],
        query=entry["query"],
        digest=entry["sha256"],
        answer={"status_code": entry["status"], "headers": entry["headers"], "content": content},
    )


def _tokens_of(response: Any) -> Iterator[str]:
    """Yield the texts of a token response that may be secrets."""
    try:
        members = json.loads(response.content)
    except ValueError:
        return
    for name, value in members.items() if isinstance(members, dict) else ():
        if isinstance(value, str) and name not in {"token_type", "scope", "expires_in"}:
            yield value


def _cookies_of(request: Any, response: Any) -> Iterator[str]:
    """Yield the values of the cookies of both."""
    sent = request.headers.get("Cookie", "").split(";")
    received = [line.partition(";")[0] for line in response.headers.get_list("Set-Cookie")]
    for pair in (*sent, *received):
        if value := pair.partition("=")[2].strip():
            yield value

"""An API for the four kinds of client; it reads bodies as streams and rejects given tokens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import attrs
import httpx
import httpx2

from seic import SEI_GATEWAY, ClientCredentials, Config, Hosts, OAuth2Auth
from seic.testing import MockProvider
from tests._support.clocks import FakeClock

CHALLENGE = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
BASE = "https://api.example"
#: The extension of a 401 that tells why its request was not retried.
NOT_REPLAYED = "seic.not_replayed"
PAYLOAD = b"the whole body"


@attrs.define
class Call:
    """A request as the API received it."""

    method: str
    path: str
    token: str
    app_key: str
    body: bytes


class Api:
    """Record requests and answer them.

    `MockProvider` reads a body before it looks at the request, so that each body could be sent again.

    Attributes:
        calls: The requests.
        dead: Tokens that it rejects.
        answer: Returns the response to a request with a valid token; None is 200.
        refusal: The response to a request with a rejected token: status, headers, body.
        closed: The number of closed responses.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.dead: set[str] = set()
        self.answer: Callable[[Call], tuple[int, dict[str, str], bytes] | None] = lambda _: None
        self.closed = 0
        self.refusal: tuple[int, dict[str, str], bytes] = (401, CHALLENGE, b"")

    @property
    def tokens(self) -> list[str]:
        """The tokens of the requests."""
        return [call.token for call in self.calls]

    @property
    def bodies(self) -> list[bytes]:
        """The bodies of the requests."""
        return [call.body for call in self.calls]

    def take(self, request: Any, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """Answer one request."""
        call = Call(
            request.method,
            str(request.url),
            request.headers.get("Authorization", "").removeprefix("Bearer "),
            request.headers.get("AppKey", ""),
            body,
        )
        self.calls.append(call)
        if call.token in self.dead:
            return self.refusal
        return self.answer(call) or (200, {"requesttrackingid": f"track-{len(self.calls)}"}, b"")


class Blocking(httpx.BaseTransport):
    """A blocking transport; it reads the body as a connection does, so that it remains a stream."""

    def __init__(self, api: Api, library: Any) -> None:
        self._api, self._library = api, library

    def handle_request(self, request: Any) -> Any:
        """Send one request."""
        status, headers, content = self._api.take(request, b"".join(request.stream))
        return self._library.Response(status, headers=headers, stream=_stream(self._library, content, self._api))


class Async(httpx.AsyncBaseTransport):
    """An async transport."""

    def __init__(self, api: Api, library: Any) -> None:
        self._api, self._library = api, library

    async def handle_async_request(self, request: Any) -> Any:
        """Send one request."""
        body = b"".join([part async for part in request.stream])
        await asyncio.sleep(0)  # yields to other tasks, as on a network
        status, headers, content = self._api.take(request, body)
        return self._library.Response(status, headers=headers, stream=_stream(self._library, content, self._api))


@attrs.frozen
class Kind:
    """A kind of client."""

    name: str
    library: Any
    is_async: bool

    def request(self, api: Api, auth: OAuth2Auth, method: str, url: str, **options: Any) -> Any:
        """Send one request with a new client."""
        follow = options.pop("follow_redirects", False)
        if not self.is_async:
            with self.client(api, auth, follow_redirects=follow) as client:
                return client.request(method, url, **options)

        async def call() -> Any:
            async with self.client(api, auth, follow_redirects=follow) as client:
                return await client.request(method, url, **options)

        return asyncio.run(call())

    def client(self, api: Api, auth: OAuth2Auth, **options: Any) -> Any:
        """Return a client."""
        if self.is_async:
            return self.library.AsyncClient(auth=auth, base_url=BASE, transport=Async(api, self.library), **options)
        return self.library.Client(auth=auth, base_url=BASE, transport=Blocking(api, self.library), **options)


KINDS = [
    Kind(f"{library.__name__}.{'AsyncClient' if is_async else 'Client'}", library, is_async)
    for library in (httpx, httpx2)
    for is_async in (True, False)
]


def config(**changes: Any) -> Config:
    """Return a configuration of the API."""
    settings: dict[str, Any] = {
        "provider": SEI_GATEWAY,
        "hosts": Hosts(api=BASE),
        "client_id": "AppKey-1",
        "client_secret": "AppSecret-1",
        "grant": ClientCredentials(username="svc-user", password="password-1"),
    }
    return Config(**{**settings, **changes})


def auth_for(server: MockProvider, clock: FakeClock | None = None, **changes: Any) -> OAuth2Auth:
    """Return an auth that obtains its tokens from the endpoint."""
    return OAuth2Auth(config(**changes), transport=server, clock=(clock or FakeClock()).clock)


def _stream(library: Any, content: bytes, api: Api) -> Any:
    class Stream(library.SyncByteStream, library.AsyncByteStream):  # type: ignore[misc]
        """A body that is read from a network."""

        def __iter__(self) -> Iterator[bytes]:
            yield content

        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield content

        def close(self) -> None:
            api.closed += 1

        async def aclose(self) -> None:
            api.closed += 1

    return Stream()

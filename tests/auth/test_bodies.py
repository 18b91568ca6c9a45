"""A retried request sends its body completely, or is not retried."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from seic import OAuth2Auth
from seic.testing import MockProvider
from tests._support.api import KINDS, NOT_REPLAYED, PAYLOAD, Api, Kind


class Again:
    """A body that starts again with each iteration."""

    def __iter__(self) -> Iterator[bytes]:
        yield PAYLOAD[:5]
        yield PAYLOAD[5:]


class AgainAsync:
    """A body for async clients that starts again with each iteration."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield PAYLOAD[:5]
        yield PAYLOAD[5:]


class Pipe(io.BytesIO):
    """A file that is not seekable."""

    def seekable(self) -> bool:
        """Return False."""
        return False

    def seek(self, *_: Any) -> int:
        """Raise, as a pipe does."""
        raise io.UnsupportedOperation

    def tell(self) -> int:
        """Raise, as a pipe does."""
        raise io.UnsupportedOperation


class Tape(io.BytesIO):
    """A file that says it is not seekable, although its `seek` does not raise."""

    def seekable(self) -> bool:
        """Return False."""
        return False


class Torn(io.BytesIO):
    """A file that says it is seekable, but raises once it was read."""

    torn = False

    def read(self, size: int | None = -1, /) -> bytes:
        """Read normally."""
        self.torn = True
        return super().read(size)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Raise if it was read."""
        if self.torn:
            raise OSError("cannot seek")
        return super().seek(offset, whence)


def _generator() -> Iterator[bytes]:
    yield PAYLOAD


async def _async_generator() -> AsyncIterator[bytes]:
    yield PAYLOAD


def _at_five(file: io.IOBase) -> io.IOBase:
    file.seek(5)
    return file


def _on_disk(folder: Path) -> Path:
    path = folder / "body"
    path.write_bytes(PAYLOAD)
    return path


Make = Callable[[Path], Any]
LENGTH = {"Content-Length": str(len(PAYLOAD) - 5)}

ANY = [
    pytest.param(lambda _: {"content": PAYLOAD}, PAYLOAD, id="bytes"),
    pytest.param(lambda _: {"content": PAYLOAD.decode()}, PAYLOAD, id="text"),
    pytest.param(lambda _: {"json": [1]}, b"[1]", id="JSON"),
    pytest.param(lambda _: {"data": {"a": "1"}}, b"a=1", id="form"),
    pytest.param(lambda _: {}, b"", id="none"),
]
BLOCKING = [
    pytest.param(lambda folder: {"content": _on_disk(folder).open("rb")}, PAYLOAD, id="file"),
    pytest.param(lambda _: {"content": io.BytesIO(PAYLOAD)}, PAYLOAD, id="file in memory"),
    pytest.param(
        lambda folder: {"content": _at_five(_on_disk(folder).open("rb")), "headers": LENGTH},
        PAYLOAD[5:],
        id="file from its middle",
    ),
    pytest.param(
        lambda _: {"content": _at_five(io.BytesIO(PAYLOAD)), "headers": LENGTH},
        PAYLOAD[5:],
        id="file in memory, middle",
    ),
    pytest.param(lambda _: {"content": [PAYLOAD[:5], PAYLOAD[5:]]}, PAYLOAD, id="list"),
    pytest.param(lambda _: {"content": Again()}, PAYLOAD, id="an iterable that starts again"),
]
ASYNC = [
    pytest.param(lambda _: {"content": AgainAsync()}, PAYLOAD, id="an async iterable that starts again"),
]


def _clients(*, is_async: bool) -> list[Any]:
    return [pytest.param(kind, id=kind.name) for kind in KINDS if kind.is_async is is_async]


def _replayed_whole(kind: Kind, api: Api, auth: OAuth2Auth, options: dict[str, Any], expected: bytes) -> None:
    api.dead.add("token-1")
    reply = kind.request(api, auth, "POST", "/v1/orders", **options)
    close(options)
    assert reply.status_code == 200
    assert api.bodies == [expected, expected]


def close(options: dict[str, Any]) -> None:
    """Close the file of a test."""
    if hasattr(options.get("content"), "close"):
        options["content"].close()


@pytest.mark.parametrize(("make", "expected"), ANY)
def test_a_body_in_memory_is_replayed_whole(
    kind: Kind, api: Api, auth: OAuth2Auth, tmp_path: Path, make: Make, expected: bytes
) -> None:
    """Bytes, text, JSON, a form, and no body."""
    _replayed_whole(kind, api, auth, make(tmp_path), expected)


@pytest.mark.parametrize("kind", _clients(is_async=False))
@pytest.mark.parametrize(("make", "expected"), BLOCKING)
def test_a_body_that_can_be_rewound_or_rebuilt_is_replayed_whole(
    kind: Kind, api: Api, auth: OAuth2Auth, tmp_path: Path, make: Make, expected: bytes
) -> None:
    """A file is sent from its original position, not from its start."""
    _replayed_whole(kind, api, auth, make(tmp_path), expected)


@pytest.mark.parametrize("kind", _clients(is_async=True))
@pytest.mark.parametrize(("make", "expected"), ASYNC)
def test_an_async_body_that_can_be_rebuilt_is_replayed_whole(
    kind: Kind, api: Api, auth: OAuth2Auth, tmp_path: Path, make: Make, expected: bytes
) -> None:
    """As in a blocking client."""
    _replayed_whole(kind, api, auth, make(tmp_path), expected)


@pytest.mark.parametrize("kind", _clients(is_async=True))
def test_an_async_file_is_rewound(kind: Kind, api: Api, auth: OAuth2Auth, tmp_path: Path) -> None:
    """Its `tell` and `seek` are awaited."""
    api.dead.add("token-1")

    async def call() -> Any:
        async with (
            await anyio.open_file(_on_disk(tmp_path), "rb") as file,
            kind.client(api, auth) as client,
        ):
            await file.seek(5)
            return await client.post("/v1/orders", content=file)

    assert asyncio.run(call()).status_code == 200
    assert api.bodies == [PAYLOAD[5:]] * 2


def test_a_multipart_form_is_as_good_as_its_files(kind: Kind, api: Api, auth: OAuth2Auth) -> None:
    """It is rendered again, from the start of each file."""
    api.dead.add("token-1")
    files = {"one": io.BytesIO(PAYLOAD), "two": ("two.txt", b"bytes")}
    reply = kind.request(api, auth, "POST", "/v1/orders", files=files, data={"field": "value"})
    assert reply.status_code == 200
    assert PAYLOAD in api.bodies[0]
    assert api.bodies[0] == api.bodies[1]


def _handed_on(kind: Kind, api: Api, auth: OAuth2Auth, options: dict[str, Any], why: str) -> None:
    api.dead.add("token-1")
    reply = kind.request(api, auth, "POST", "/v1/orders", **options)
    assert reply.status_code == 401
    assert why in reply.extensions[NOT_REPLAYED]
    assert len(api.calls) == 1
    assert kind.request(api, auth, "GET", "/v1/accounts").status_code == 200
    assert api.tokens == ["token-1", "token-2"]


@pytest.mark.parametrize("kind", _clients(is_async=False))
@pytest.mark.parametrize(
    ("make", "why"),
    [
        pytest.param(lambda: {"content": _generator()}, "sent only once", id="generator"),
        pytest.param(lambda: {"content": iter([PAYLOAD])}, "sent only once", id="iterator"),
        pytest.param(lambda: {"content": map(bytes, [PAYLOAD])}, "sent only once", id="map"),
        pytest.param(lambda: {"content": Pipe(PAYLOAD)}, "cannot be rewound", id="pipe"),
        pytest.param(lambda: {"content": Tape(PAYLOAD)}, "cannot be rewound", id="a file that says so"),
        pytest.param(lambda: {"content": Torn(PAYLOAD)}, "cannot be rewound", id="a file that fails"),
        pytest.param(lambda: {"files": {"a": Pipe(PAYLOAD)}}, "cannot be rewound", id="a form with a pipe"),
    ],
)
def test_a_body_that_is_gone_is_not_replayed(
    kind: Kind, api: Api, auth: OAuth2Auth, make: Callable[[], dict[str, Any]], why: str
) -> None:
    """The 401 is returned with the reason; the token is renewed for the next call."""
    _handed_on(kind, api, auth, make(), why)


@pytest.mark.parametrize("kind", _clients(is_async=True))
@pytest.mark.parametrize(
    ("make", "why"),
    [
        pytest.param(lambda: {"content": _async_generator()}, "sent only once", id="async generator"),
        pytest.param(lambda: {"content": aiter(AgainAsync())}, "sent only once", id="async iterator"),
        pytest.param(lambda: {"files": {"a": Pipe(PAYLOAD)}}, "cannot be rewound", id="a form with a pipe"),
    ],
)
def test_an_async_body_that_is_gone_is_not_replayed(
    kind: Kind, api: Api, auth: OAuth2Auth, make: Callable[[], dict[str, Any]], why: str
) -> None:
    """As in a blocking client."""
    _handed_on(kind, api, auth, make(), why)


def test_a_real_pipe_is_not_replayed(api: Api, auth: OAuth2Auth) -> None:
    """The operating system reports that it is not seekable."""
    read, write = os.pipe()
    os.write(write, PAYLOAD)
    os.close(write)
    with open(read, "rb") as pipe:  # noqa: PTH123  # it has no path
        _handed_on(KINDS[1], api, auth, {"content": pipe, "headers": {"Transfer-Encoding": "chunked"}}, "rewound")


def test_a_file_that_is_closed_in_between_is_not_replayed(api: Api, auth: OAuth2Auth, tmp_path: Path) -> None:
    """The first response is returned, not an error about the file."""
    api.dead.add("token-1")
    file = _on_disk(tmp_path).open("rb")
    take = api.take

    def close_it(request: Any, body: bytes) -> Any:
        file.close()
        return take(request, body)

    api.take = close_it  # type: ignore[method-assign]
    reply = KINDS[1].request(api, auth, "POST", "/v1/orders", content=file)
    assert reply.status_code == 401
    assert "cannot be rewound" in reply.extensions[NOT_REPLAYED]


def test_an_async_file_that_is_closed_in_between_is_not_replayed(api: Api, auth: OAuth2Auth, tmp_path: Path) -> None:
    """As in a blocking client."""
    api.dead.add("token-1")
    take = api.take

    async def call() -> Any:
        async with await anyio.open_file(_on_disk(tmp_path), "rb") as file, KINDS[0].client(api, auth) as client:

            def close_it(request: Any, body: bytes) -> Any:
                file.wrapped.close()
                return take(request, body)

            api.take = close_it  # type: ignore[method-assign]
            return await client.post("/v1/orders", content=file)

    reply = asyncio.run(call())
    assert reply.status_code == 401
    assert "cannot be rewound" in reply.extensions[NOT_REPLAYED]


def test_a_redirect_that_drops_the_body_may_be_replayed(api: Api, server: MockProvider, auth: OAuth2Auth) -> None:
    """The last request is sent again, and it has no body."""

    def answer(call: Any) -> tuple[int, dict[str, str], bytes] | None:
        if call.method == "POST":
            api.dead.add("token-1")
            return 303, {"Location": "/v1/orders/7"}, b""
        return None

    api.answer = answer
    reply = KINDS[1].request(api, auth, "POST", "/v1/orders", content=_generator(), follow_redirects=True)
    assert reply.status_code == 200
    assert len(api.calls) == 3

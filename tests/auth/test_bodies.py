"""A replayed call sends its body whole, or is not replayed."""

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
from seic._api.replay import NOT_REPLAYED
from tests._support.api import KINDS, PAYLOAD, Api, Kind
from tests._support.token_desk import TokenDesk


class Again:
    """A body that begins anew with each iteration."""

    def __iter__(self) -> Iterator[bytes]:
        yield PAYLOAD[:5]
        yield PAYLOAD[5:]


class AgainAsync:
    """The same for async clients."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield PAYLOAD[:5]
        yield PAYLOAD[5:]


class Pipe(io.BytesIO):
    """A file that cannot go back."""

    def seekable(self) -> bool:
        """Say so."""
        return False

    def seek(self, *_: Any) -> int:
        """Refuse, as a pipe does."""
        raise io.UnsupportedOperation

    def tell(self) -> int:
        """Refuse, as a pipe does."""
        raise io.UnsupportedOperation


class Tape(io.BytesIO):
    """A file that says that it cannot go back, and is right although it does as if."""

    def seekable(self) -> bool:
        """Say so."""
        return False


class Torn(io.BytesIO):
    """A file that says that it can go back, and once it was read it cannot."""

    torn = False

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as ever."""
        self.torn = True
        return super().read(size)

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Fail once it was read."""
        if self.torn:
            raise OSError("the tape is torn")
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
    pytest.param(lambda _: {"content": Again()}, PAYLOAD, id="an iterable that begins anew"),
]
ASYNC = [
    pytest.param(lambda _: {"content": AgainAsync()}, PAYLOAD, id="an async iterable that begins anew"),
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
    """Close a file that a test opened."""
    if hasattr(options.get("content"), "close"):
        options["content"].close()


@pytest.mark.parametrize(("make", "expected"), ANY)
def test_a_body_in_memory_is_replayed_whole(
    kind: Kind, api: Api, auth: OAuth2Auth, tmp_path: Path, make: Make, expected: bytes
) -> None:
    """Bytes, text, JSON, a form, and none."""
    _replayed_whole(kind, api, auth, make(tmp_path), expected)


@pytest.mark.parametrize("kind", _clients(is_async=False))
@pytest.mark.parametrize(("make", "expected"), BLOCKING)
def test_a_body_that_can_be_rewound_or_rebuilt_is_replayed_whole(
    kind: Kind, api: Api, auth: OAuth2Auth, tmp_path: Path, make: Make, expected: bytes
) -> None:
    """A file goes back to where it stood, not to its start."""
    _replayed_whole(kind, api, auth, make(tmp_path), expected)


@pytest.mark.parametrize("kind", _clients(is_async=True))
@pytest.mark.parametrize(("make", "expected"), ASYNC)
def test_an_async_body_that_can_be_rebuilt_is_replayed_whole(
    kind: Kind, api: Api, auth: OAuth2Auth, tmp_path: Path, make: Make, expected: bytes
) -> None:
    """As a blocking one."""
    _replayed_whole(kind, api, auth, make(tmp_path), expected)


@pytest.mark.parametrize("kind", _clients(is_async=True))
def test_an_async_file_is_rewound(kind: Kind, api: Api, auth: OAuth2Auth, tmp_path: Path) -> None:
    """Where it stands is asked, and set, by awaiting."""
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
    """It is rendered anew, from the start of each file."""
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
    """The 401 is handed on and says why; the token is renewed for the next call all the same."""
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
    """As a blocking one."""
    _handed_on(kind, api, auth, make(), why)


def test_a_real_pipe_is_not_replayed(api: Api, auth: OAuth2Auth) -> None:
    """The system's own word on what cannot go back."""
    read, write = os.pipe()
    os.write(write, PAYLOAD)
    os.close(write)
    with open(read, "rb") as pipe:  # noqa: PTH123  # it has no path
        _handed_on(KINDS[1], api, auth, {"content": pipe, "headers": {"Transfer-Encoding": "chunked"}}, "rewound")


def test_a_file_that_is_closed_in_between_is_not_replayed(api: Api, auth: OAuth2Auth, tmp_path: Path) -> None:
    """The answer to the first call is better than an error about a file."""
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
    """As a blocking one."""
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


def test_a_redirect_that_drops_the_body_may_be_replayed(api: Api, desk: TokenDesk, auth: OAuth2Auth) -> None:
    """What is sent again is the last hop, and that has none."""

    def answer(call: Any) -> tuple[int, dict[str, str], bytes] | None:
        if call.method == "POST":
            api.dead.add("token-1")
            return 303, {"Location": "/v1/orders/7"}, b""
        return None

    api.answer = answer
    reply = KINDS[1].request(api, auth, "POST", "/v1/orders", content=_generator(), follow_redirects=True)
    assert reply.status_code == 200
    assert len(api.calls) == 3

"""One auth in every kind of client: it attaches the token, and replays a call once when a new token can help."""

from __future__ import annotations

import asyncio
import io
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import httpx2
import pytest
import trio

import seic
from seic import HostNotAllowed, OAuth2Auth, TokenEndpointUnavailable, TokenRequestRefused
from seic._api.replay import NOT_REPLAYED
from tests._support.api import BASE, CHALLENGE, KINDS, Api, Kind, auth_for, config
from tests._support.clocks import FakeClock
from tests._support.token_desk import PATIENCE, TokenDesk, landed

PAYLOAD = b"the whole body"


@pytest.fixture
def api() -> Api:
    """An API."""
    return Api()


@pytest.fixture
def desk() -> TokenDesk:
    """A token endpoint in memory."""
    return TokenDesk()


@pytest.fixture
def clock() -> FakeClock:
    """Both clocks."""
    return FakeClock()


@pytest.fixture
def auth(desk: TokenDesk, clock: FakeClock) -> OAuth2Auth:
    """An auth whose tokens come from the desk."""
    return auth_for(desk, clock)


@pytest.fixture(params=KINDS, ids=lambda kind: kind.name)
def kind(request: pytest.FixtureRequest) -> Kind:
    """Each kind of client."""
    way: Kind = request.param
    return way


# Reach


def test_every_kind_of_client_takes_it(api: Api, desk: TokenDesk, auth: OAuth2Auth, kind: Kind) -> None:
    """Token and AppKey go with each call; one token serves them all."""
    for _ in range(2):
        assert kind.request(api, auth, "GET", "/v1/accounts").status_code == 200
    assert api.tokens == ["token-1"] * 2
    assert [call.app_key for call in api.calls] == ["AppKey-1"] * 2
    assert desk.calls == 1


def test_all_kinds_of_client_share_one_token(api: Api, desk: TokenDesk, auth: OAuth2Auth) -> None:
    """Of httpx and of httpx2, async and blocking, in loops of their own."""
    for kind in KINDS:
        kind.request(api, auth, "GET", "/v1/accounts")
    assert api.tokens == ["token-1"] * 4
    assert desk.calls == 1


def test_trio_takes_it(api: Api, desk: TokenDesk, auth: OAuth2Auth) -> None:
    """Calls, and the replay of one."""
    api.dead.add("token-1")

    async def main() -> Any:
        # The transport's turn for others is asyncio's, so here it is left out.
        async with httpx.AsyncClient(auth=auth, base_url=BASE, transport=httpx.MockTransport(answer)) as client:
            return await client.get("/v1/accounts")

    def answer(request: httpx.Request) -> httpx.Response:
        status, headers, content = api.take(request, request.content)
        return httpx.Response(status, headers=headers, content=content)

    assert trio.run(main).status_code == 200
    assert api.tokens == ["token-1", "token-2"]


def test_a_foreign_url_gets_nothing(api: Api, desk: TokenDesk, auth: OAuth2Auth, kind: Kind) -> None:
    """No token is fetched for it either."""
    with pytest.raises(HostNotAllowed):
        kind.request(api, auth, "GET", "https://elsewhere.example/v1")
    assert api.calls == []
    assert desk.calls == 0


def test_a_token_that_cannot_be_had_is_the_calls_error(api: Api, desk: TokenDesk, auth: OAuth2Auth, kind: Kind) -> None:
    """The call does not go out."""
    desk.plan.extend([httpx.Response(503)] * 2)
    with pytest.raises(TokenEndpointUnavailable):
        kind.request(api, auth, "GET", "/v1/accounts")
    assert api.calls == []


# A 401


def test_a_rejected_token_is_renewed_and_the_call_replayed(
    api: Api, desk: TokenDesk, auth: OAuth2Auth, kind: Kind
) -> None:
    """The caller sees the second answer only."""
    api.dead.add("token-1")
    reply = kind.request(api, auth, "POST", "/v1/orders", content=PAYLOAD)

    assert reply.status_code == 200
    assert NOT_REPLAYED not in reply.extensions
    assert api.tokens == ["token-1", "token-2"]
    assert api.bodies == [PAYLOAD] * 2
    assert auth.stats.replays == 1
    assert desk.calls == 2


def test_a_second_401_reaches_the_caller(api: Api, desk: TokenDesk, auth: OAuth2Auth, kind: Kind) -> None:
    """One renewal and one replay for each call at most."""
    api.dead |= {"token-1", "token-2"}
    reply = kind.request(api, auth, "GET", "/v1/accounts")

    assert reply.status_code == 401
    assert "rejected too" in reply.extensions[NOT_REPLAYED]
    assert api.tokens == ["token-1", "token-2"]
    assert desk.calls == 2


@pytest.mark.parametrize(
    ("refusal", "replayed"),
    [
        pytest.param((401, CHALLENGE, b""), True, id="invalid_token"),
        pytest.param((401, {"WWW-Authenticate": "Bearer"}, b""), True, id="a challenge without an error"),
        pytest.param((401, {"WWW-Authenticate": 'Bearer error="insufficient_scope"'}, b""), False, id="scope"),
        pytest.param((401, {"WWW-Authenticate": "Basic"}, b""), False, id="another scheme"),
        pytest.param((401, {}, b""), False, id="nothing"),
        pytest.param((401, {}, b'{"code": "gateway.authentication.failure", "message": "no"}'), True, id="the code"),
        pytest.param((401, {}, b'{"code": "gateway.authorization.failure", "message": "no"}'), False, id="other code"),
        pytest.param((403, CHALLENGE, b""), False, id="403 with a challenge"),
        pytest.param((403, {}, b'{"code": "gateway.authentication.failure", "message": "no"}'), False, id="403"),
        pytest.param(
            (403, {}, b'{"error": {"code": 403, "message": "logged in elsewhere", "subcode": "018"}}'),
            False,
            id="403, logged in elsewhere",
        ),
        pytest.param((500, CHALLENGE, b""), False, id="500 with a challenge"),
    ],
)
def test_only_a_401_that_speaks_of_the_token_is_replayed(
    api: Api, desk: TokenDesk, auth: OAuth2Auth, kind: Kind, refusal: Any, replayed: bool
) -> None:
    """Anything else is handed on as it is, body included, and costs no token."""
    api.dead.add("token-1")
    api.refusal = refusal
    reply = kind.request(api, auth, "GET", "/v1/accounts")

    assert len(api.calls) == desk.calls == (2 if replayed else 1)
    if not replayed:
        assert (reply.status_code, reply.content) == (refusal[0], refusal[2])
    assert (NOT_REPLAYED in reply.extensions) is (not replayed and refusal[0] == 401)


def test_a_plain_provider_says_it_by_the_bare_status(api: Api, desk: TokenDesk, kind: Kind) -> None:
    """Its documents know a 401 of the API by its status alone."""
    api.dead.add("token-1")
    api.refusal = (401, {}, b"")
    auth = auth_for(desk, provider=seic.OAUTH2, grant=seic.ClientCredentials())
    assert kind.request(api, auth, "GET", "/v1/accounts").status_code == 200
    assert desk.calls == 2


@pytest.mark.parametrize("spread", [False, True], ids=["together", "spread"])
async def test_two_hundred_401s_make_one_token_request(
    api: Api, desk: TokenDesk, auth: OAuth2Auth, spread: bool
) -> None:
    """Each names the token that was rejected; whoever comes late finds the new one in hand, and nobody fails."""
    kind = KINDS[0]
    async with kind.client(api, auth) as client:
        await client.get("/v1/accounts")
        api.dead.add("token-1")

        async def call(number: int) -> int:
            for _ in range(number if spread else 0):
                await asyncio.sleep(0)
            reply = await client.get("/v1/accounts")
            status: int = reply.status_code
            return status

        statuses = await asyncio.gather(*(call(number) for number in range(200)))

    assert statuses == [200] * 200
    assert desk.calls == 2
    assert auth.stats.replays >= 1


def test_a_path_that_takes_no_token_does_not_cost_one_for_each_call(
    api: Api, desk: TokenDesk, auth: OAuth2Auth, clock: FakeClock, kind: Kind
) -> None:
    """Although all the others take what it rejects: renewals pause, and the 401 says so; the others notice nothing."""
    api.answer = lambda call: (401, CHALLENGE, b"") if call.path.endswith("/broken") else None
    notes = []
    for _ in range(60):
        assert kind.request(api, auth, "GET", "/v1/accounts").status_code == 200
        reply = kind.request(api, auth, "GET", "/v1/broken")
        assert reply.status_code == 401
        notes.append(reply.extensions[NOT_REPLAYED])
        clock.advance(1)
    assert desk.calls <= 8
    assert len({"rejected too" in note for note in notes}) == 2
    assert any("rejects new tokens as well as old ones" in note for note in notes)


@pytest.mark.parametrize(
    ("headers", "replayed"), [(CHALLENGE, True), ({}, False)], ids=["with a challenge", "with its body alone"]
)
def test_of_a_401_no_more_is_read_than_an_error_takes(
    api: Api, desk: TokenDesk, auth: OAuth2Auth, kind: Kind, headers: dict[str, str], replayed: bool
) -> None:
    """Beyond, the challenge alone counts; who replays leaves the rest unread, and who does not hands all of it on."""
    api.dead.add("token-1")
    error = b'{"code": "gateway.authentication.failure", "message": "' + b"x" * 10_000_000 + b'"}'
    api.refusal = (401, headers, error)
    reply = kind.request(api, auth, "GET", "/v1/accounts")

    assert len(api.calls) == desk.calls == (2 if replayed else 1)
    assert reply.content == (b"" if replayed else error)
    if replayed:
        assert reply.history[0].content == b""
    assert api.closed == len(api.calls) + replayed


@pytest.mark.parametrize("library", [httpx, httpx2])
async def test_the_error_of_a_streamed_401_is_left_to_the_caller(api: Api, auth: OAuth2Auth, library: Any) -> None:
    """It was looked at, and can be read as if it had not been."""
    api.dead.add("token-1")
    api.refusal = (401, {}, PAYLOAD)
    kind = next(kind for kind in KINDS if kind.library is library and kind.is_async)
    async with kind.client(api, auth) as client, client.stream("GET", "/v1/accounts") as reply:
        assert not reply.is_stream_consumed
        assert b"".join([part async for part in reply.aiter_raw()]) == PAYLOAD


async def test_a_401_that_comes_late_does_not_renew_the_new_token(api: Api, desk: TokenDesk, auth: OAuth2Auth) -> None:
    """The call was carried by the old one; it is replayed with the one in hand."""
    request = httpx.Request("GET", f"{BASE}/v1/accounts")
    flow = auth.async_auth_flow(request)
    await anext(flow)
    await auth.source.token(force=True)
    response = httpx.Response(401, headers=CHALLENGE, request=request)
    replay = await flow.asend(response)

    assert replay.headers["Authorization"] == "Bearer token-2"
    assert desk.calls == 2
    await flow.aclose()


def test_where_new_tokens_are_rejected_as_well_renewals_pause(
    api: Api, desk: TokenDesk, auth: OAuth2Auth, clock: FakeClock, kind: Kind
) -> None:
    """An API that rejects everything must not cost a token for each call."""
    api.dead |= {f"token-{number}" for number in range(100)}
    for _ in range(20):
        reply = kind.request(api, auth, "GET", "/v1/accounts")
        assert reply.status_code == 401
        assert NOT_REPLAYED in reply.extensions
    assert desk.calls == 2

    clock.advance(1)
    kind.request(api, auth, "GET", "/v1/accounts")
    assert desk.calls == 3


def test_a_renewal_that_fails_is_the_calls_error(api: Api, desk: TokenDesk, auth: OAuth2Auth, kind: Kind) -> None:
    """There is no token to go on with, and the error says why."""
    kind.request(api, auth, "GET", "/v1/accounts")
    api.dead.add("token-1")
    desk.plan.append(httpx.Response(401, json={"error": "invalid_client"}))
    with pytest.raises(TokenRequestRefused):
        kind.request(api, auth, "GET", "/v1/accounts")
    assert len(api.calls) == 2


# Redirects


def test_after_a_redirect_only_the_last_hop_is_replayed(
    api: Api, desk: TokenDesk, auth: OAuth2Auth, kind: Kind
) -> None:
    """The order that was taken before the redirect must not be taken twice."""

    def answer(call: Any) -> tuple[int, dict[str, str], bytes] | None:
        if call.method == "POST":
            api.dead.add("token-1")  # it is revoked in between
            return 303, {"Location": "/v1/orders/7"}, b""
        return None

    api.answer = answer
    reply = kind.request(api, auth, "POST", "/v1/orders", content=PAYLOAD, follow_redirects=True)

    assert reply.status_code == 200
    assert [(call.method, call.token) for call in api.calls] == [
        ("POST", "token-1"),
        ("GET", "token-1"),
        ("GET", "token-2"),
    ]


def test_a_401_of_a_foreign_host_says_nothing_of_the_token(api: Api, desk: TokenDesk, kind: Kind) -> None:
    """Whoever a redirect leads to must not be able to have tokens renewed, nor to be sent one."""
    api.answer = lambda call: (
        (302, {"Location": "https://elsewhere.example/"}, b"") if call.token else (401, CHALLENGE, b"")
    )
    auth = auth_for(desk, provider=seic.OAUTH2, grant=seic.ClientCredentials())
    reply = kind.request(api, auth, "GET", "/v1/accounts", follow_redirects=True)

    assert reply.status_code == 401
    assert "another origin" in reply.extensions[NOT_REPLAYED]
    assert api.tokens == ["token-1", ""]
    assert desk.calls == 1


# Bodies


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
        pytest.param(lambda: {"content": _generator()}, "used up", id="generator"),
        pytest.param(lambda: {"content": iter([PAYLOAD])}, "used up", id="iterator"),
        pytest.param(lambda: {"content": map(bytes, [PAYLOAD])}, "used up", id="map"),
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
        pytest.param(lambda: {"content": _async_generator()}, "used up", id="async generator"),
        pytest.param(lambda: {"content": aiter(AgainAsync())}, "used up", id="async iterator"),
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


# Streamed answers


@pytest.mark.parametrize("library", [httpx, httpx2])
async def test_a_streamed_answer_is_left_to_the_caller(api: Api, auth: OAuth2Auth, library: Any) -> None:
    """Only that of a 401 is read, for it may have to speak of the token."""
    api.answer = lambda _: (200, {}, PAYLOAD)
    kind = next(kind for kind in KINDS if kind.library is library and kind.is_async)
    async with kind.client(api, auth) as client, client.stream("GET", "/v1/accounts") as reply:
        assert not reply.is_stream_consumed
        assert b"".join([part async for part in reply.aiter_raw()]) == PAYLOAD


def test_a_streamed_answer_is_left_to_a_blocking_caller(api: Api, auth: OAuth2Auth) -> None:
    """As to an async one."""
    api.answer = lambda _: (200, {}, PAYLOAD)
    with KINDS[1].client(api, auth) as client, client.stream("GET", "/v1/accounts") as reply:
        assert not reply.is_stream_consumed
        assert b"".join(reply.iter_raw()) == PAYLOAD


# Use


@pytest.mark.parametrize(
    ("status", "counts"),
    [(200, True), (204, True), (302, True), (403, True), (404, True), (499, True), (500, False), (503, False)],
)
def test_use_is_what_the_api_took(
    api: Api, desk: TokenDesk, auth: OAuth2Auth, clock: FakeClock, kind: Kind, status: int, counts: bool
) -> None:
    """The idle lifetime counts from the last call that really carried the token; a 5xx may come from in front of it."""
    kind.request(api, auth, "GET", "/v1/accounts")
    clock.advance(1700)
    api.answer = lambda _: (status, {}, b"")
    kind.request(api, auth, "GET", "/v1/accounts")
    clock.advance(1700)
    if not counts:
        assert auth.source.current is None
    kind.request(api, auth, "GET", "/v1/accounts")
    # At 3400 of 3600 s the advisory window is open: the call goes on, while one renews.
    assert api.tokens[-1] == ("token-1" if counts else "token-2")


def test_a_call_that_never_got_an_answer_is_no_use(api: Api, auth: OAuth2Auth, clock: FakeClock, kind: Kind) -> None:
    """Nobody knows whether it arrived."""
    kind.request(api, auth, "GET", "/v1/accounts")
    clock.advance(1700)

    def lose(_: Any) -> Any:
        raise kind.library.ReadError("lost")

    api.answer = lose
    with pytest.raises(kind.library.ReadError):
        kind.request(api, auth, "GET", "/v1/accounts")
    clock.advance(100)
    assert auth.source.current is None


@pytest.mark.parametrize(("status", "counts"), [(200, True), (401, False), (503, False)])
def test_a_replay_is_a_use_like_any_other(auth: OAuth2Auth, clock: FakeClock, status: int, counts: bool) -> None:
    """The idleness of the new token counts from the replay, if the API took it."""
    request = httpx.Request("GET", f"{BASE}/v1/accounts")
    flow = auth.sync_auth_flow(request)
    next(flow)
    auth.source.token_sync(force=True)
    clock.advance(1000)
    flow.send(httpx.Response(401, headers=CHALLENGE, request=request))
    with pytest.raises(StopIteration):
        flow.send(httpx.Response(status, request=request))

    clock.advance(754)
    assert auth.source.current is not None
    clock.advance(1)
    assert (auth.source.current is not None) is counts
    clock.advance(1000)
    assert auth.source.current is None


# Generators in odd hands


async def test_a_flow_may_be_closed_by_another_task(api: Api, desk: TokenDesk, auth: OAuth2Auth) -> None:
    """Clients and the garbage collector do that; nothing that others need is held across a yield."""
    flows = [auth.async_auth_flow(httpx.Request("GET", f"{BASE}/v1")) for _ in range(3)]
    for flow in flows:
        await anext(flow)
    rejected = await flows[1].asend(httpx.Response(401, headers=CHALLENGE, request=httpx.Request("GET", f"{BASE}/v1")))
    assert rejected.headers["Authorization"] == "Bearer token-2"

    async def close() -> None:
        for flow in flows:
            await flow.aclose()

    await asyncio.create_task(close())
    assert KINDS[0].library is httpx
    async with KINDS[0].client(api, auth) as client:
        assert (await client.get("/v1")).status_code == 200
    assert desk.calls == 2


def test_a_flow_may_be_closed_by_another_thread(api: Api, desk: TokenDesk, auth: OAuth2Auth) -> None:
    """The blocking twin holds nothing either."""
    flow = auth.sync_auth_flow(httpx.Request("GET", f"{BASE}/v1"))
    next(flow)
    thread = threading.Thread(target=flow.close)
    thread.start()
    thread.join(PATIENCE)
    assert KINDS[1].request(api, auth, "GET", "/v1").status_code == 200
    assert desk.calls == 1


async def test_a_call_cancelled_anywhere_leaves_the_others_alone(api: Api, desk: TokenDesk, auth: OAuth2Auth) -> None:
    """At each step of a call that fetches, is rejected, and fetches again: calls beside it and after it succeed."""
    api.dead.add("token-1")
    steps = 0
    async with KINDS[0].client(api, auth) as client:
        while True:
            before = desk.calls
            await auth.source.token(force=True)
            api.dead = {f"token-{desk.calls}"}
            beside = asyncio.create_task(client.get("/v1"))
            task = asyncio.create_task(client.get("/v1"))
            for _ in range(steps):
                await asyncio.sleep(0)
            ended = task.done()
            task.cancel()
            await asyncio.wait([task])
            assert (await beside).status_code == 200
            assert (await client.get("/v1")).status_code == 200
            assert desk.calls == before + 2
            if ended:
                break
            steps += 1
    assert steps > 5


# Ready clients


@pytest.mark.parametrize("shared", [False, True])
async def test_a_client_ends_its_own_background_work_only(desk: TokenDesk, clock: FakeClock, shared: bool) -> None:
    """Closing one of several clients of an auth leaves the others their fetch."""
    auth = auth_for(desk, clock)
    client = seic.AsyncClient(config(), auth=auth) if shared else seic.AsyncClient(config(), transport=desk)
    source = client._oauth.source
    desk.hold()
    caller = asyncio.create_task(client.token())
    assert await desk.arrived.wait_async(PATIENCE)
    caller.cancel()
    await client.aclose()
    assert (source.state.flight is not None) is shared
    desk.release()
    await landed(source)
    assert (source.current is not None) is shared
    await asyncio.wait([caller])


def test_a_blocking_client_ends_its_thread(desk: TokenDesk) -> None:
    """In memory the thread cannot be cut off, so closing waits a moment for it, and then goes."""
    with seic.Client(config(), transport=desk) as client:
        assert client.token().access_token == "token-1"
        assert client.token(force=True).access_token == "token-2"
        assert client.stats.token_requests == 2
    assert client._oauth.source.state.flight is None


async def test_a_client_revokes(desk: TokenDesk) -> None:
    """The provider is told, and the next token is a new one."""
    async with seic.AsyncClient(config(), transport=desk) as client:
        await client.token()
        desk.plan.append(httpx.Response(200))
        await client.revoke()
        assert b"invalidate_token" in desk.requests[-1].content
        assert (await client.token()).access_token == "token-2"


def test_a_blocking_client_revokes(desk: TokenDesk) -> None:
    """As the async one."""
    with seic.Client(config(), transport=desk) as client:
        client.token()
        desk.plan.append(httpx.Response(200))
        client.revoke()
        assert b"invalidate_token" in desk.requests[-1].content
        assert client.token().access_token == "token-2"


def test_what_is_no_configuration_is_refused_as_by_a_client() -> None:
    """The flow and the client say the same."""
    for make in (seic.OAuth2Auth, seic.AsyncClient, seic.Client):
        with pytest.raises(seic.ConfigurationError, match=r"^config: must be a seic\.Config, .*, not NoneType$"):
            make(None)  # type: ignore[arg-type]

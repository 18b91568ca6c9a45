"""`seic_recording`: recorded over real TLS, without secrets, and replayed strictly."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

import seic
from seic.sandbox import Sandbox
from seic.testing import MockProvider, Recording
from seic.testing._patches import without_network

_TEST = """
    import seic

    async def test_accounts(seic_environ, seic_sandbox, seic_recording, pytestconfig):
        async with seic.AsyncClient(seic_recording.config()) as client:
            page = await client.get("/v1/investments/accounts", params={"limit": 2})
            assert len(page.json()["accounts"]) == 2
            echo = await client.post("/v1/echo", json={"amount": 1})
            assert echo.status_code == 200
            assert (await client.get("/v1/missing")).status_code == 404
        is_recording = pytestconfig.getoption("--seic-record")
        assert bool(seic_sandbox.token_requests) is is_recording
"""
_COOKIE = "cookie-of-the-user"
_OPTIONS = (
    "--disable-plugin-autoload",
    "-p",
    "pytest_seic",
    "-p",
    "no:cacheprovider",
    "-p",
    "pytest_asyncio.plugin",
    "-o",
    "asyncio_mode=auto",
    "-o",
    "asyncio_default_fixture_loop_scope=function",
)


def test_a_test_is_recorded_and_replayed(pytester: pytest.Pytester) -> None:
    """The second run sends nothing."""
    pytester.makepyfile(_TEST)
    pytester.runpytest_subprocess(*_OPTIONS).assert_outcomes(errors=1)
    pytester.runpytest_subprocess(*_OPTIONS, "--seic-record").assert_outcomes(passed=1)
    pytester.runpytest_subprocess(*_OPTIONS).assert_outcomes(passed=1)

    (file,) = (pytester.path / "recordings").rglob("*.json")
    assert file.name == "test_accounts.json"
    entries = json.loads(file.read_text(encoding="utf-8"))["requests"]
    assert [(entry["method"], entry["path"], entry["query"]) for entry in entries] == [
        ("GET", "/v1/investments/accounts", "limit=2"),
        ("POST", "/v1/echo", ""),
        ("GET", "/v1/missing", ""),
    ]


def test_a_test_that_fails_records_nothing(pytester: pytest.Pytester) -> None:
    """A part of its requests would be replayed as the whole."""
    pytester.makepyfile(_TEST.replace("== 404", "== 500"))
    pytester.runpytest_subprocess(*_OPTIONS, "--seic-record").assert_outcomes(failed=1)

    assert not (pytester.path / "recordings").exists()


def _record(path: Path, sandbox: Sandbox, *, body: object) -> None:
    recording = Recording(path, is_recording=True)
    with recording.running(), seic.Client(sandbox.config()) as client:
        client.post("/v1/echo", json=body)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({"amount": 2}, "no response for POST /v1/echo"),
        (None, "POST /v1/echo: expected 1 times, requested 0 times"),
    ],
    ids=["another body", "no request"],
)
def test_the_replay_is_strict(tmp_path: Path, seic_sandbox: Sandbox, body: object, problem: str) -> None:
    """The body is compared, and each response must be requested."""
    path = tmp_path / "echo.json"
    _record(path, seic_sandbox, body={"amount": 1})
    replay = Recording(path, is_recording=False)
    requests = [] if body is None else [body]
    with pytest.raises(AssertionError, match=problem), replay.running(), seic.Client(replay.config()) as client:
        _ = [client.post("/v1/echo", json=body) for body in requests]


class _Leaking(MockProvider):
    """An API that returns the token of the request, and a cookie."""

    def __init__(self, encode: Callable[[str], str | bytes]) -> None:
        super().__init__()
        self._encode = encode
        self.add_response(204, times=None)

    def handle_request(self, request: Any) -> Any:
        """Answer API requests."""
        super().handle_request(request)
        token = request.headers["Authorization"].partition(" ")[2]
        return httpx.Response(200, content=self._encode(token), headers={"Set-Cookie": f"session={_COOKIE}; Path=/x"})


def test_a_secret_in_a_response_is_replaced(tmp_path: Path) -> None:
    """The token, the client secret and cookies."""
    mock = _Leaking(lambda token: f'{{"token": "{token}", "cookie": "{_COOKIE}"}}')
    recording = Recording(tmp_path / "leak.json", is_recording=True)
    with without_network(mock), recording.running(), seic.Client(mock.config()) as client:
        client.get("/x")
    text = (tmp_path / "leak.json").read_text(encoding="utf-8")

    assert not [secret for secret in (*mock.secrets, _COOKIE) if secret in text]
    assert r"\"cookie\": \"***\"" in text


@pytest.mark.parametrize(
    "encode",
    [
        lambda token: base64.b64encode(token.encode()),
        lambda token: b"\xff" + token.encode(),
        lambda token: token.encode().hex(),
    ],
    ids=["Base64", "binary", "hex"],
)
def test_a_secret_in_another_encoding_is_refused(tmp_path: Path, encode: Callable[[str], str | bytes]) -> None:
    """Nothing is written, and the message has no secret."""
    mock = _Leaking(encode)
    recording = Recording(tmp_path / "leak.json", is_recording=True)
    refusal = pytest.raises(AssertionError, match="not written, a response contains a secret")
    with refusal as caught, without_network(mock), recording.running(), seic.Client(mock.config()) as client:
        client.get("/x")

    assert not (tmp_path / "leak.json").exists()
    assert not [secret for secret in mock.secrets if secret in str(caught.value)]


def test_credentials_that_no_request_had_are_replaced(tmp_path: Path) -> None:
    """A JWT, and members of JSON with the usual names."""
    mock = MockProvider()
    token = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"
    mock.add_response(path="/x", json={"jwt": token, "password": "hunter2", "apiKey": "sk_live_0123", "name": "Ada"})
    recording = Recording(tmp_path / "x.json", is_recording=True)
    with without_network(mock), recording.running(), seic.Client(mock.config()) as client:
        client.get("/x")
    (entry,) = json.loads((tmp_path / "x.json").read_text())["requests"]

    assert json.loads(entry["text"]) == {"jwt": "***", "password": "***", "apiKey": "***", "name": "Ada"}


def _recorded_text(path: Path, mock: MockProvider, *, url: str = "/x", **settings: Any) -> str:
    recording = Recording(path, is_recording=True)
    with without_network(mock), recording.running(), seic.Client(mock.config(**settings)) as client:
        client.get(url)
    return path.read_text(encoding="utf-8")


def test_a_short_client_secret_is_replaced(tmp_path: Path) -> None:
    """A secret that is known is masked whatever its length, also within a word and as a number."""
    mock = MockProvider()
    mock.add_response(
        json={"echo": "hunter2", "line": "xhunter2x", "language": "english"}, headers={"Set-Cookie": "a=en"}
    )
    text = _recorded_text(tmp_path / "x.json", mock, client_secret="hunter2")

    assert "hunter2" not in text
    assert "english" in text


@pytest.mark.parametrize("name", ["api_key", "apikey", "access_token", "X-Api-Key", "client_secret", "api%5Fkey"])
def test_credentials_in_a_query_are_replaced(tmp_path: Path, name: str) -> None:
    """In the URL of the request and in those of the response; the replay may have another value."""
    mock = MockProvider()
    link = f"https://api.example/x?page=2&{name}=sk-live-1"
    mock.add_response(json={"next": link}, headers={"Link": f'<{link}>; rel="next"'})
    text = _recorded_text(tmp_path / "x.json", mock, url=f"/x?page=1&{name}=sk-live-1&z=1")
    assert "sk-live" not in text

    replay = Recording(tmp_path / "x.json", is_recording=False)
    with replay.running(), seic.Client(replay.config()) as client:
        assert client.get(f"/x?page=1&{name}=another&z=1").status_code == 200


def test_a_masked_value_matches_no_other_member(tmp_path: Path) -> None:
    """The replay stays strict about all other members."""
    mock = MockProvider()
    mock.add_response()
    _recorded_text(tmp_path / "x.json", mock, url="/x?api_key=sk-live-1&page=1")

    replay = Recording(tmp_path / "x.json", is_recording=False)
    with (
        pytest.raises(AssertionError, match="no response for"),
        replay.running(),
        seic.Client(replay.config()) as client,
    ):
        client.get("/x?api_key=sk-live-1&extra=1&page=1")


@pytest.mark.parametrize(
    "secret", ['ab"cdefgh', "ab\\cdefgh", 'ab\\"cdefgh', "ab\ncdefgh", ["abcdefgh"], {"v": 123456}]
)
@pytest.mark.parametrize("wrap", [json.dumps, lambda text: f"data: {json.dumps(text)}\n\n"], ids=["JSON", "events"])
def test_a_value_with_escapes_is_replaced_whole(tmp_path: Path, secret: Any, wrap: Callable[[Any], str]) -> None:
    """Quotes, backslashes and line ends do not end a value; JSON in a JSON string is redacted too."""
    document = {"password": secret, "inner": json.dumps({"password": secret}), "name": "Ada"}
    mock = MockProvider()
    mock.add_response(text=wrap(document))
    text = _recorded_text(tmp_path / "x.json", mock)

    assert "cdefgh" not in text
    assert "123456" not in text
    assert "Ada" in text

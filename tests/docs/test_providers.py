"""docs/providers.md: its examples run, and the tests that it names exist."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest

import seic
from tests._support.documents import ROOT, run_blocks

_FILE = "docs/providers.md"
_TEXT = (ROOT / _FILE).read_text(encoding="utf-8")
_FILES = dict(re.findall(r"`(\w+)`\s+is\s+`(tests/[\w/]+\.py)`", _TEXT))
_NAMED = sorted(set(re.findall(r"`(\w+)::(\w+)(?:\[([^\]`]+)\])?`", _TEXT)))


def test_the_examples_run(capsys: pytest.CaptureFixture[str]) -> None:
    """They run in order, with the results in the page."""
    names = run_blocks(_FILE)
    assert capsys.readouterr().out.startswith("https://test.api.seic.com/v2/oauth/authorize?")
    assert names["platform"].revocation_url == "/v2/oauth/revoke"
    assert names["dpop_config"].dpop is not None
    login = names["login"]
    config = names["finish"](login, f"https://app.example/callback?code=c&state={login.state}")
    assert config.grant.subject == "ann@example.com"


def test_tests_are_named() -> None:
    """Otherwise the next test would check nothing."""
    assert len(_NAMED) >= 25
    assert {file for file, _, _ in _NAMED} == set(_FILES)


@pytest.fixture(scope="module")
def collected() -> set[str]:
    """Return the tests, with their parameters, in the files that the page names."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *_FILES.values()]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stdout + told.stderr
    return {line for line in told.stdout.splitlines() if "::" in line}


def _exists(collected: set[str], file: str, function: str, row: str) -> bool:
    name = f"{_FILES[file]}::{function}"
    if row:
        return f"{name}[{row}]" in collected
    return any(each == name or each.startswith(f"{name}[") for each in collected)


@pytest.mark.parametrize(("file", "function", "row"), _NAMED)
def test_a_named_test_exists(collected: set[str], file: str, function: str, row: str) -> None:
    """The file has it, with the parameters if they are named."""
    assert _exists(collected, file, function, row)


@pytest.mark.parametrize(
    ("function", "row"),
    [
        pytest.param("test_a_grants", "gateway, password", id="another function"),
        pytest.param("test_a_gran", "", id="the beginning of a name"),
        pytest.param("test_a_grant_gives_tokens", "gateway, passwords", id="another row"),
        pytest.param("test_a_grant_gives_tokens", "gateway", id="half a row"),
        pytest.param("test_a_token_of_a_grant_is_revoked", "gateway, pass", id="the beginning of a row"),
    ],
)
def test_a_renamed_test_is_not_found(collected: set[str], function: str, row: str) -> None:
    """A similar name is not found."""
    assert not _exists(collected, "dialects", function, row)


@pytest.mark.parametrize(
    "grant",
    [kind for _, kind in inspect.getmembers(seic, inspect.isclass) if hasattr(kind, "grant_type")],
    ids=lambda kind: kind.__name__,
)
def test_each_grant_is_in_the_page(grant: type[seic.Grant]) -> None:
    """The table has every public grant, except the one that a device login returns."""
    assert f"| `{grant.__name__}`" in _TEXT or grant is seic.ExistingToken


_DASHES: list[tuple[seic.Provider, Any]] = [
    (seic.SEI_GATEWAY, seic.AuthorizationCode(code="c")),
    (seic.SEI_GATEWAY, seic.Saml2Bearer(saml_assertion=b"<a/>")),
    (seic.SEI_GATEWAY, seic.JwtBearer(assertion="a")),
    (seic.SEI_GATEWAY, seic.TokenExchange(subject_token="t")),
    (seic.SEI_GATEWAY, seic.SamlBearer(assertion=b"<a/>")),
    (seic.SEI_GATEWAY, seic.DeviceCode()),
    (seic.SEI_PLATFORM, seic.Password(username="u", password="p")),
    (seic.SEI_PLATFORM, seic.SessionToken(session_token="s")),
    (seic.SEI_PLATFORM, seic.JwtBearer(assertion="a")),
    (seic.SEI_PLATFORM, seic.TokenExchange(subject_token="t")),
    (seic.SEI_PLATFORM, seic.SamlBearer(assertion=b"<a/>")),
    (seic.SEI_PLATFORM, seic.DeviceCode()),
    (seic.OAUTH2, seic.SessionToken(session_token="s")),
]
_COLUMNS = {"SEI_GATEWAY": seic.SEI_GATEWAY, "SEI_PLATFORM": seic.SEI_PLATFORM, "OAUTH2": seic.OAUTH2}


def _cells() -> Iterator[tuple[str, str, str]]:
    """Yield each cell of the table of grants: its grant, its provider, and its content."""
    lines = [line.strip("|").split(" | ") for line in _TEXT.splitlines() if line.startswith("| `")]
    for first, *cells in lines:
        if len(cells) == len(_COLUMNS):
            row = re.findall(r"`(\w+)", first)[0]
            yield from ((row, column, cell.strip()) for column, cell in zip(_COLUMNS, cells, strict=True))


def test_each_cell_has_a_test() -> None:
    """Each cell names a test, or is a dash that the next test checks."""
    cells = list(_cells())
    assert len({row for row, _, _ in cells}) >= 12
    # This cell names another grant.
    open_cells = [(row, column) for row, column, cell in cells if cell != "—" and "::" not in cell]
    assert open_cells == [("Saml2Bearer", "OAUTH2")]
    dashes = {(row, column) for row, column, cell in cells if cell == "—"}
    names = {id(provider): name for name, provider in _COLUMNS.items()}
    tried = {(type(grant).__name__, names[id(provider)]) for provider, grant in _DASHES}
    # The gateway has no introspection.
    assert dashes - {("token_info", "SEI_GATEWAY")} == tried


@pytest.mark.parametrize(("provider", "grant"), _DASHES)
def test_a_dash_is_an_error(provider: seic.Provider, grant: seic.Grant) -> None:
    """A grant that the provider does not offer is refused when the configuration is created."""
    with pytest.raises(seic.ConfigurationError):
        seic.Config(
            provider=provider,
            hosts=seic.Hosts(api="idp.example"),
            client_id="c",
            client_secret="s",
            grant=grant,
        )


def test_a_custom_provider_is_one_value() -> None:
    """The value of the example is sufficient for tokens, requests, introspection and revocation."""
    config = run_blocks(_FILE)["config"]
    asked: list[tuple[str, dict[str, str]]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        url, form = str(request.url), dict(parse_qsl(request.content.decode()))
        asked.append((url, form))
        if url.endswith("/connect/token"):
            return httpx.Response(200, json={"access_token": "acme-token", "token_type": "Bearer", "expires_in": 60})
        if url.endswith("/connect/introspect"):
            return httpx.Response(200, json={"active": True, "scope": "orders.read"})
        if url.endswith("/connect/revoke"):
            return httpx.Response(200)
        assert request.headers["Authorization"] == "Bearer acme-token"
        return httpx.Response(404, headers={"x-request-id": "call-1"}, json={"error": "not_found"})

    with seic.Client(config, transport=httpx.MockTransport(answer)) as client:
        reply = client.get("/orders")
        assert client.token_info().scope == "orders.read"
        client.revoke()
    with pytest.raises(seic.ApiError) as caught:
        seic.raise_for_status(reply, provider=config.provider)
    assert caught.value.tracking_id == "call-1"
    host, proof = "https://api.acme.example", {"client_id": "my-app", "client_secret": "my-secret"}
    assert asked == [
        (f"{host}/connect/token", {"grant_type": "client_credentials", "scope": "orders.read", **proof}),
        (f"{host}/orders", {}),
        (f"{host}/connect/introspect", {"token": "acme-token", **proof}),
        (f"{host}/connect/revoke", {"token": "acme-token", **proof}),
    ]

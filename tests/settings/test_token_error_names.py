"""Errors of token requests and pages name the variable, the file's variable or the key that a value came from."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import httpx
import pytest

import seic
from tests._support.settings import write

_ISSUER = "https://idp.example"
_BASE = {"client_id": "my app", "api_host": "api.example"}
_BY_ISSUER = {**_BASE, "issuer": _ISSUER}
_BY_URL = {**_BASE, "token_url": f"{_ISSUER}/token", "client_secret": "a-secret"}

Read: TypeAlias = Callable[[dict[str, str], Path], seic.Config]


def _by_variables(settings: dict[str, str], _folder: Path) -> seic.Config:
    return seic.Config.from_env({f"SEIC_{name.upper()}": text for name, text in settings.items()})


def _by_profile(settings: dict[str, str], folder: Path) -> seic.Config:
    lines = [f"{name} = {json.dumps(text)}" for name, text in settings.items()]
    return seic.Config.from_file(write(folder / "p.toml", "\n".join(["[svc]", *lines])), profile="svc")


@pytest.fixture(params=["variables", "profile"])
def read(request: pytest.FixtureRequest) -> Read:
    """Return the function that reads settings from variables or from a profile."""
    return _by_variables if request.param == "variables" else _by_profile


def _name(read: Read, setting: str) -> str:
    return f"SEIC_{setting.upper()}" if read is _by_variables else f"svc.{setting}"


def _answer(metadata: dict[str, Any], token: tuple[int, Any] = (200, {"access_token": "t", "expires_in": 60})) -> Any:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/token":
            return httpx.Response(token[0], json=token[1])
        if request.url.host == "api.example":
            return httpx.Response(200, json={"items": [], "nextCursor": "c2"})
        return httpx.Response(200, json={"issuer": _ISSUER, "token_endpoint": f"{_ISSUER}/token", **metadata})

    return httpx.MockTransport(answer)


def _refusal(config: seic.Config, transport: Any) -> seic.SeicError:
    """Return the error of a token request, which is the same in a blocking client."""
    with seic.Client(config, transport=transport) as client, pytest.raises(seic.SeicError) as caught:
        client.token()
    assert not re.search(r"(?<!svc\.)\b(client_id|client_secret|(grant|provider)\.\w+)\b", str(caught.value))
    return caught.value


@pytest.mark.parametrize(
    ("metadata", "setting", "words"),
    [
        ({"token_endpoint_auth_methods_supported": ["client_secret_post"]}, "client_secret", "is missing"),
        ({"token_endpoint_auth_methods_supported": ["client_secret_jwt"]}, "client_secret", "is missing"),
        ({"token_endpoint_auth_methods_supported": ["private_key_jwt"]}, "client_auth", "needs a key"),
        ({"token_endpoint_auth_methods_supported": ["tls_client_auth"]}, "certificate", "is missing"),
        ({"token_endpoint_auth_methods_supported": ["magic"]}, "client_auth", "the provider offers magic"),
        ({"grant_types_supported": ["password"]}, "grant", "does not offer client_credentials"),
    ],
    ids=["secret", "signing secret", "signing key", "certificate", "unknown method", "grant"],
)
def test_after_discovery(read: Read, tmp_path: Path, metadata: dict[str, Any], setting: str, words: str) -> None:
    """The metadata decides what is missing, long after the settings were read."""
    error: Any = _refusal(read(_BY_ISSUER, tmp_path), _answer(metadata))

    assert error.field == _name(read, setting)
    assert str(error).startswith(f"{_name(read, setting)}: ")
    assert words in str(error)
    assert "=..." not in str(error)


def test_an_issuer_without_metadata(read: Read, tmp_path: Path) -> None:
    """Its spelling is that of the setting, and the remedy is a setting."""
    nothing = httpx.MockTransport(lambda _: httpx.Response(404))
    error: Any = _refusal(read(_BY_ISSUER, tmp_path), nothing)

    assert error.field == _name(read, "issuer")
    assert f"set the endpoints with {_name(read, 'token_url')}" in str(error)


@pytest.mark.parametrize(
    ("status", "code", "settings"),
    [
        (401, "invalid_client", ["client_id", "client_secret"]),
        (400, "invalid_scope", ["scope"]),
        (400, "invalid_target", ["audience", "resource"]),
        (401, "gateway.authentication.failure", ["client_id", "client_secret", "username", "password"]),
        (404, "not_here", ["token_url"]),
    ],
)
def test_a_refusal(read: Read, tmp_path: Path, status: int, code: str, settings: list[str]) -> None:
    """The advice names the settings; the provider's words stay as they are."""
    told = {"error": code, "error_description": "wrong Client_secret"}
    error = _refusal(read(_BY_URL, tmp_path), _answer({}, (status, told)))

    assert isinstance(error, seic.TokenRequestRefused)
    for setting in settings:
        assert _name(read, setting) in str(error)
    assert f"{code}: wrong Client_secret" in str(error)


@pytest.mark.parametrize(
    ("grant", "settings"),
    [
        ({"grant": "password", "username": "u", "password": "p"}, ["username", "password"]),
        ({"grant": "refresh_token", "refresh_token": "r"}, ["refresh_token"]),
        ({"grant": "token-exchange", "subject_token": "s", "actor_token": "a"}, ["subject_token", "actor_token"]),
    ],
)
@pytest.mark.parametrize("code", ["invalid_grant", "unknown_code"])
def test_a_refused_grant(read: Read, tmp_path: Path, code: str, grant: dict[str, str], settings: list[str]) -> None:
    """The advice names what the grant sends."""
    error = _refusal(read({**_BY_URL, **grant}, tmp_path), _answer({}, (401, {"error": code})))

    assert " and ".join(_name(read, setting) for setting in settings) in str(error)
    assert "credentials" not in str(error)


def test_a_secret_in_a_file(read: Read, tmp_path: Path) -> None:
    """The name of the file's setting; a secret that is shorter than the signature needs is named by it, too."""
    file = str(write(tmp_path / "secret", "a-secret"))
    settings = {**_BY_ISSUER, "client_secret_file": file}
    refused = _refusal(read(settings, tmp_path), _answer({}, (401, {"error": "invalid_client"})))
    signing = _answer({"token_endpoint_auth_methods_supported": ["client_secret_jwt"]})
    short: Any = _refusal(read(settings, tmp_path), signing)

    assert f"and {_name(read, 'client_secret_file')}" in str(refused)
    assert short.field == _name(read, "client_secret_file")
    assert "is shorter than" in str(short)


def test_an_argument_keeps_its_name() -> None:
    """It is changed in the code."""
    environ = {f"SEIC_{name.upper()}": text for name, text in _BY_URL.items()}
    config = seic.Config.from_env(environ, client_secret="another")
    with (
        seic.Client(config, transport=_answer({}, (401, {"error": "invalid_client"}))) as client,
        pytest.raises(seic.TokenRequestRefused, match="check SEIC_CLIENT_ID and client_secret,"),
    ):
        client.token()


def test_pages(read: Read, tmp_path: Path) -> None:
    """A cursor without a name, and a wrong one."""
    for further in ({}, {"page_cursor_field": "next"}):
        with seic.Client(read({**_BY_URL, **further}, tmp_path), transport=_answer({})) as client:
            with pytest.raises(seic.ConfigurationError) as caught:
                list(client.pages("/items"))
            assert caught.value.field == _name(read, "page_cursor_field")
            assert "nextCursor" in str(caught.value)
            assert "provider." not in str(caught.value)


def test_another_issuer_in_the_metadata(read: Read, tmp_path: Path) -> None:
    """The setting to change is named."""
    refusal = _refusal(read(_BY_ISSUER | {"client_secret": "a-secret"}, tmp_path), _answer({"issuer": "https://other"}))
    assert isinstance(refusal, seic.InvalidTokenResponse)
    assert str(refusal).endswith(f"and set {_name(read, 'issuer')} to it")


def test_metadata_that_is_too_large(read: Read, tmp_path: Path) -> None:
    """It is not called the reply of the token endpoint."""
    config = read(_BY_ISSUER | {"client_secret": "a-secret"}, tmp_path)
    refusal = _refusal(config, _answer({"padding": "x" * 2**21}))
    assert str(refusal).startswith("idp.example: its document is unusable: it is larger than ")

"""The page about providers: its examples run, and the tests that it names exist."""

from __future__ import annotations

import ast
import inspect
import re

import attrs
import pytest

import seic
from seic._model.grants import Asking
from tests._support.documents import ROOT, run_blocks

_FILE = "docs/providers.md"
_TEXT = (ROOT / _FILE).read_text(encoding="utf-8")
_FILES = dict(re.findall(r"`(\w+)`\s+is\s+`(tests/[\w/]+\.py)`", _TEXT))
_NAMED = sorted(set(re.findall(r"`(\w+)::(\w+)(?:\[([^\]`]+)\])?`", _TEXT)))


def test_the_examples_run(capsys: pytest.CaptureFixture[str]) -> None:
    """From top to bottom; what they leave is what the page says."""
    names = run_blocks(_FILE)
    assert capsys.readouterr().out.startswith("https://test.api.seic.com/v2/oauth/authorize?")
    assert names["platform"].revocation_url == "/v2/oauth/revoke"
    assert names["dpop_config"].dpop is not None
    login = names["login"]
    config = names["finish"](f"https://app.example/callback?code=c&state={login.state}")
    assert config.grant.subject == "ann@example.com"


def test_tests_are_named() -> None:
    """Not none: the next test would pass by having nothing to look at."""
    assert len(_NAMED) >= 25
    assert {file for file, _, _ in _NAMED} == set(_FILES)


@pytest.mark.parametrize(("file", "function", "row"), _NAMED)
def test_a_named_test_exists(file: str, function: str, row: str) -> None:
    """Expect the function in its file, and the row where one is named."""
    source = (ROOT / _FILES[file]).read_text(encoding="utf-8")
    functions = {
        node.name for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert function in functions
    # Rows of Authlib's are made of a method and a host.
    for part in row.split(", ") if file == "authlib" else [row]:
        assert part in source


@pytest.mark.parametrize(
    "grant",
    [kind for _, kind in inspect.getmembers(seic, inspect.isclass) if issubclass(kind, Asking)],
    ids=lambda kind: kind.__name__,
)
def test_each_grant_stands_on_the_page(grant: type[Asking]) -> None:
    """Expect every public grant in the table, save the one that a device login returns."""
    assert f"| `{grant.__name__}`" in _TEXT or grant is seic.ExistingToken


@pytest.mark.parametrize(
    ("provider", "grant"),
    [
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
    ],
)
def test_a_dash_is_an_error(provider: seic.Provider, grant: Asking) -> None:
    """Expect what a provider does not offer to be refused when the configuration is made."""
    with pytest.raises(seic.ConfigurationError):
        seic.Config(
            provider=provider,
            hosts=seic.Hosts(api="idp.example"),
            client_id="c",
            client_secret="s",
            grant=grant,  # type: ignore[arg-type]  # its base has no fields
        )


def test_a_fourth_provider_is_one_value() -> None:
    """Expect nothing but the value of the page's example between a user and a token."""
    provider = run_blocks(_FILE)["acme"]
    assert isinstance(provider, seic.Provider)
    assert attrs.asdict(provider, recurse=False)["name"] == "Acme"

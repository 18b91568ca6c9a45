"""Arguments in code, which take precedence over variables and files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from seic import (
    OAUTH2,
    AuthorizationCode,
    ClientCredentials,
    Config,
    ConfigurationError,
    Grant,
    Hosts,
    Password,
    RefreshToken,
    Saml2Bearer,
)
from tests._support.reports import report
from tests._support.settings import GATEWAY, PASSWORD, SECRET, refused, write

# Variables


_HOSTS = {"SEIC_API_HOST": "localhost:8443", "SEIC_MTLS_HOST": "localhost:8444"}


@pytest.mark.parametrize(
    "grant",
    [
        RefreshToken(refresh_token="r"),
        AuthorizationCode(code="c"),
        Saml2Bearer(saml_assertion=b"<a/>"),
        ClientCredentials(username="other@example.com", password=lambda: PASSWORD),
    ],
    ids=lambda grant: type(grant).__name__,
)
def test_any_grant_in_code_with_the_rest_from_elsewhere(grant: Grant, tmp_path: Path) -> None:
    """It replaces username and password, which can be set or missing in variables and files."""
    bare = {"SEIC_PROVIDER": "sei-platform", "SEIC_CLIENT_ID": "id", "SEIC_CLIENT_SECRET": "s"}
    for environ in (bare, {**bare, "SEIC_USERNAME": "svc-user", "SEIC_PASSWORD_FILE": "/no/such/file"}):
        config = Config.from_env(environ, grant=grant)
        assert (config.grant, config.client_id) == (grant, "id")
        file = write(
            tmp_path / "seic.toml",
            "\n".join(
                ["[default]", *(f'{name.removeprefix("SEIC_").lower()} = "{text}"' for name, text in environ.items())]
            ),
        )
        assert Config.from_file(file, grant=grant).grant == grant


@pytest.mark.parametrize(
    ("grant", "words"),
    [
        ("refresh_token", "must be a grant such as seic.ClientCredentials"),
        (RefreshToken, "not the class RefreshToken"),
        (None, "not NoneType"),
        (Password(username="u", password="p"), "does not offer password; it offers"),
        (RefreshToken(refresh_token=""), "needs a refresh token"),
    ],
    ids=["a string", "a class", "None", "a grant that is not offered", "an empty grant"],
)
def test_a_grant_in_code_that_cannot_work(grant: Any, words: str) -> None:
    """The error names the argument, not a variable."""
    error = refused({"SEIC_PROVIDER": "sei-platform", "SEIC_CLIENT_ID": "i", "SEIC_CLIENT_SECRET": "s"}, grant=grant)
    assert (error.field or "").startswith("grant")
    assert words in str(error)
    assert "SEIC_" not in str(error)


@pytest.mark.parametrize("name", ["SEIC_CODE", "SEIC_SESSION_TOKEN"])
def test_a_variable_for_a_grant_that_needs_code(name: str, tmp_path: Path) -> None:
    """The error tells how to pass it."""
    assert "grant=seic.AuthorizationCode(" in str(refused({**GATEWAY, name: "x"}))
    file = write(tmp_path / "seic.toml", f'[default]\n{name.removeprefix("SEIC_").lower()} = "x"')
    with pytest.raises(ConfigurationError, match="grant=seic"):
        Config.from_file(file)


def test_an_error_names_the_argument_that_the_caller_gave() -> None:
    """An argument in code keeps its own name in errors."""
    assert refused(GATEWAY, environment="staging").field == "environment"
    assert refused({**GATEWAY, **_HOSTS}, grant=ClientCredentials()).field == "grant.username"


def test_replaced_variables_are_not_read() -> None:
    """A missing or invalid variable is ignored if an argument replaces it."""
    broken = {
        "SEIC_PROVIDER": "nobody",
        "SEIC_CLIENT_SECRET_FILE": "/nonexistent",
        "SEIC_PASSWORD_FILE": "/nonexistent",
        "SEIC_CERTIFICATE": "/nonexistent",
        "SEIC_API_HOST": "a b",
        "SEIC_STORE": "nowhere",
    }
    settings: dict[str, Any] = {
        "provider": OAUTH2,
        "hosts": Hosts(api="a.example"),
        "client_id": "id",
        "client_secret": SECRET,
        "grant": ClientCredentials(),
        "certificate": None,
        "store": None,
    }

    assert Config.from_env(broken, **settings) == Config(**settings)


# Files


@pytest.mark.parametrize("keyword", ["clientid", "password"])
def test_an_error_for_an_unknown_keyword_contains_no_secret(keyword: str) -> None:
    """It is a TypeError, as for any function."""
    misspelt: dict[str, Any] = {keyword: SECRET}
    with pytest.raises(TypeError, match=keyword) as caught:
        Config.from_env({**GATEWAY}, **misspelt)

    assert SECRET not in report(caught.value)
    assert PASSWORD not in report(caught.value)

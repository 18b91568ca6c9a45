"""What the caller states in code, above variables and files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from seic._config import Config
from seic._errors import ConfigurationError
from seic._model.grant_parameters import Grant
from seic._model.grants import AuthorizationCode, ClientCredentials, Password, RefreshToken, Saml2Bearer
from seic._model.hosts import Hosts
from seic._oauth.providers import OAUTH2
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
    """What the caller gives stands above account and password, which may be set or not, in variables and files."""
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
    ids=["a word", "a class", "nothing", "one that is not offered", "an empty one"],
)
def test_a_grant_in_code_that_cannot_work(grant: Any, words: str) -> None:
    """The error names the argument, and no variable."""
    error = refused({"SEIC_PROVIDER": "sei-platform", "SEIC_CLIENT_ID": "i", "SEIC_CLIENT_SECRET": "s"}, grant=grant)
    assert (error.field or "").startswith("grant")
    assert words in str(error)
    assert "SEIC_" not in str(error)


@pytest.mark.parametrize(
    "name", ["SEIC_GRANT", "SEIC_GRANT_TYPE", "SEIC_REFRESH_TOKEN", "SEIC_CODE", "SEIC_SAML_ASSERTION_FILE"]
)
def test_a_variable_for_another_grant(name: str, tmp_path: Path) -> None:
    """Whoever looks for one is told where grants are stated."""
    assert "grant=seic.RefreshToken(" in str(refused({**GATEWAY, name: "x"}))
    file = write(tmp_path / "seic.toml", f'[default]\n{name.removeprefix("SEIC_").lower()} = "x"')
    with pytest.raises(ConfigurationError, match="grant=seic"):
        Config.from_file(file)


def test_an_error_names_the_argument_that_the_caller_gave() -> None:
    """What stands above the variables is called as it was written."""
    assert refused(GATEWAY, environment="staging").field == "environment"
    assert refused({**GATEWAY, **_HOSTS}, grant=ClientCredentials()).field == "grant.username"


def test_what_the_caller_gives_is_not_looked_for() -> None:
    """A variable that is missing or broken does not stand in the way of what replaces it."""
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
def test_a_keyword_that_there_is_not_takes_no_secret_along(keyword: str) -> None:
    """It is a TypeError, as with any call."""
    misspelt: dict[str, Any] = {keyword: SECRET}
    with pytest.raises(TypeError, match=keyword) as caught:
        Config.from_env({**GATEWAY}, **misspelt)

    assert SECRET not in report(caught.value)
    assert PASSWORD not in report(caught.value)

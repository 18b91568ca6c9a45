"""All missing settings are named by one error, in the words of the place that they are missing from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest

import seic
from tests._support.settings import refused, write

GATEWAY = ["SEIC_CLIENT_ID", "SEIC_CLIENT_SECRET", "SEIC_USERNAME", "SEIC_PASSWORD"]
GIVEN = {"SEIC_CLIENT_ID": "id", "SEIC_CLIENT_SECRET": "secret", "SEIC_USERNAME": "user", "SEIC_PASSWORD": "password"}


def _missing(error: seic.ConfigurationError) -> list[str]:
    """Return the variables that a message names, without the alternatives."""
    return [name for name in (*GATEWAY, "SEIC_API_HOST") if f"({name}" in str(error)]


@pytest.mark.parametrize(
    ("present", "provider", "missing"),
    [
        ([], "", GATEWAY),
        (["SEIC_CLIENT_ID"], "", GATEWAY[1:]),
        (["SEIC_CLIENT_ID", "SEIC_USERNAME"], "", ["SEIC_CLIENT_SECRET", "SEIC_PASSWORD"]),
        (GATEWAY[:3], "sei-gateway", ["SEIC_PASSWORD"]),
        ([], "sei-platform", GATEWAY),
        ([], "oauth2", ["SEIC_CLIENT_ID", "SEIC_CLIENT_SECRET", "SEIC_API_HOST"]),
    ],
    ids=["nothing set", "an id", "no secrets", "no password", "platform", "OAuth 2.0"],
)
def test_one_error_names_all_missing_variables(present: list[str], provider: str, missing: list[str]) -> None:
    """Its field is the first of them."""
    error = refused({"SEIC_PROVIDER": provider, **{name: GIVEN[name] for name in present}})

    assert error.field == missing[0]
    assert _missing(error) == missing


def test_the_error_names_the_alternatives() -> None:
    """A secret can be in a file or come from a program, and a host can be the one of mutual TLS."""
    error = refused({"SEIC_PROVIDER": "oauth2"})

    assert "(SEIC_CLIENT_SECRET or SEIC_CLIENT_SECRET_FILE or SEIC_CLIENT_SECRET_COMMAND)" in str(error)
    assert "(SEIC_API_HOST or SEIC_MTLS_HOST)" in str(error)
    assert "(SEIC_PASSWORD or SEIC_PASSWORD_FILE or SEIC_PASSWORD_COMMAND)" in str(refused({}))


def test_a_variable_that_names_a_file_is_not_missing() -> None:
    """Whether the file can be read is the next question."""
    error = refused({"SEIC_CLIENT_ID": "id", "SEIC_PASSWORD_FILE": "no/such/file"})

    assert _missing(error) == ["SEIC_CLIENT_SECRET", "SEIC_USERNAME"]


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({"client_id": "id", "client_secret": "secret"}, ["SEIC_USERNAME", "SEIC_PASSWORD"]),
        ({"grant": seic.ClientCredentials(username="u", password="p")}, ["SEIC_CLIENT_ID", "SEIC_CLIENT_SECRET"]),
        (
            {"provider": attrs.evolve(seic.SEI_GATEWAY, client_authentication=seic.ClientIdOnly())},
            ["SEIC_CLIENT_ID", "SEIC_USERNAME", "SEIC_PASSWORD"],
        ),
        ({"provider": seic.OAUTH2, "hosts": seic.Hosts("api.example")}, ["SEIC_CLIENT_ID", "SEIC_CLIENT_SECRET"]),
    ],
    ids=["client", "grant", "public client", "provider and hosts"],
)
def test_an_argument_is_not_missing(changes: dict[str, Any], missing: list[str]) -> None:
    """Neither is what the given provider does not need."""
    with pytest.raises(seic.ConfigurationError) as caught:
        seic.Config.from_env({}, **changes)

    assert _missing(caught.value) == missing


def test_one_error_names_all_missing_keys_of_a_profile(tmp_path: Path) -> None:
    """By their names in the file."""
    file = write(tmp_path / "p.toml", "[svc]\nusername = 'u'\n")
    with pytest.raises(seic.ConfigurationError) as caught:
        seic.Config.from_file(file, profile="svc")

    assert caught.value.field == "svc.client_id"
    assert "(svc.client_secret or svc.client_secret_file or svc.client_secret_command)" in str(caught.value)
    assert "(svc.password or svc.password_file or svc.password_command)" in str(caught.value)
    assert "svc.username" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("SEIC_HTTPS_PROXY", "HTTPS_PROXY"),
        ("SEIC_NO_PROXY", "NO_PROXY"),
        ("SEIC_TIMEOUT", "SEIC_TOKEN_TIMEOUT"),
        ("SEIC_AUTHORIZE_URL", "seic.Provider(authorize_url=...)"),
        ("SEIC_DPOP", "dpop="),
        ("SEIC_CODE", "grant=seic.AuthorizationCode"),
        ("SEIC_DEVICE_CODE", "pass this grant in code"),
    ],
)
def test_a_variable_that_does_not_exist_points_to_what_sets_it(name: str, hint: str, tmp_path: Path) -> None:
    """As does a key of a profile."""
    error = refused({**GIVEN, name: "x"})
    assert error.field == name
    assert hint in str(error)
    assert "did you mean" not in str(error)

    key = name.removeprefix("SEIC_").lower()
    file = write(tmp_path / "p.toml", f"[default]\n{key} = 'x'\n")
    with pytest.raises(seic.ConfigurationError) as caught:
        seic.Config.from_file(file)
    assert hint in str(caught.value)

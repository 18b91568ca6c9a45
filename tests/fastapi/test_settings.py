"""`SeicSettings`: sources, errors, secrets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

import seic
from seic.fastapi import SeicSettings


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """No settings, and an empty folder."""
    for name in [name for name in os.environ if name.upper().startswith("SEIC_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return monkeypatch


def set_variables(environment: pytest.MonkeyPatch, *, client_id: str = "SEIC_CLIENT_ID") -> None:
    """Set the variables of a plain provider."""
    environment.setenv("SEIC_PROVIDER", "oauth2")
    environment.setenv(client_id, "id-1")
    environment.setenv("SEIC_CLIENT_SECRET", "secret-1")
    environment.setenv("SEIC_API_HOST", "api.example.com")


def test_they_are_read_from_the_environment(environment: pytest.MonkeyPatch) -> None:
    """The configuration equals that of `Config.from_env`."""
    environment.setenv("SEIC_CLIENT_ID", "AppKey-1")
    environment.setenv("SEIC_CLIENT_SECRET", "AppSecret-1")
    environment.setenv("SEIC_USERNAME", "svc-user")
    environment.setenv("SEIC_PASSWORD", "password-1")

    assert SeicSettings().config() == seic.Config.from_env()


def test_they_are_read_from_a_dotenv_file(tmp_path: Path) -> None:
    """A source that `Config.from_env` does not have."""
    (tmp_path / ".env").write_text(
        "SEIC_PROVIDER=oauth2\nSEIC_CLIENT_ID=id-1\nSEIC_CLIENT_SECRET=x\nSEIC_API_HOST=api.example.com\n"
    )

    config = SeicSettings(_env_file=".env").config()  # type: ignore[call-arg]  # pydantic-settings' own argument

    assert (config.client_id, config.base_url) == ("id-1", "https://api.example.com")


def test_they_can_be_a_field_of_other_settings(environment: pytest.MonkeyPatch) -> None:
    """The application has its own settings too."""

    class Settings(BaseSettings):
        model_config = SettingsConfigDict(env_prefix="APP_")

        debug: bool = False
        seic: SeicSettings = Field(default_factory=SeicSettings)

    environment.setenv("APP_DEBUG", "1")
    set_variables(environment)

    settings = Settings()

    assert settings.debug
    assert settings.seic.config().client_id == "id-1"


def test_they_share_a_dotenv_file_with_other_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example of the documentation: each class reads its own names."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text(
        "DEBUG=1\nSEIC_PROVIDER=oauth2\nSEIC_CLIENT_ID=id-1\nSEIC_CLIENT_SECRET=x\nSEIC_API_HOST=api.example.com\n"
    )

    class Settings(BaseSettings):
        model_config = SettingsConfigDict(env_file=".env", extra="ignore")

        debug: bool = False
        seic: SeicSettings = Field(
            default_factory=lambda: SeicSettings(_env_file=".env")  # type: ignore[call-arg]  # pydantic-settings' own
        )

    settings = Settings()

    assert settings.debug
    assert settings.seic.config().client_id == "id-1"


def test_a_missing_setting_is_named_as_the_variable() -> None:
    """The error is the same as without pydantic."""
    with pytest.raises(seic.ConfigurationError) as caught:
        SeicSettings().config()

    assert caught.value.field == "SEIC_CLIENT_ID"


def test_a_misspelt_variable_is_an_error(environment: pytest.MonkeyPatch) -> None:
    """As with `Config.from_env`."""
    environment.setenv("SEIC_CLIENT_ID", "id-1")
    environment.setenv("SEIC_CERTFICATE", "client.pem")

    with pytest.raises(seic.ConfigurationError) as caught:
        SeicSettings().config()

    assert caught.value.field == "SEIC_CERTFICATE"


@pytest.mark.parametrize("name", ["SEIC_CLIENT_IDD", "seic_client_idd", "Seic_Client_Idd"])
def test_a_misspelt_name_in_a_dotenv_file_is_an_error(name: str, tmp_path: Path) -> None:
    """The message suggests the nearest name, and does not show the value."""
    (tmp_path / ".env").write_text(f"APP_DEBUG=1\n{name}=id-1\nSEIC_EMPTY=\nSEIC_NOTHING\nSEIC_SERVICE_HOST=10.0.0.1\n")

    with pytest.raises(seic.ConfigurationError) as caught:
        SeicSettings(_env_file=".env")  # type: ignore[call-arg]  # pydantic-settings' own argument

    assert caught.value.field == "SEIC_CLIENT_IDD"
    assert "did you mean SEIC_CLIENT_ID?" in str(caught.value)
    assert "id-1" not in str(caught.value)


def test_a_dotenv_file_can_have_other_names(tmp_path: Path) -> None:
    """Settings of the application or of a subclass, and empty ones."""

    class Settings(SeicSettings):
        model_config = SettingsConfigDict(env_file=".env")

        debug: bool = False

    (tmp_path / ".env").write_text(
        "APP_DEBUG=1\nSEIC_DEBUG=1\nSEIC_EMPTY=\nSEIC_NOTHING\nSEIC_SERVICE_HOST=10.0.0.1\nSEIC_CLIENT_ID=id-1\n"
    )

    assert (Settings().debug, Settings().client_id) == (True, "id-1")


def test_fields_of_a_subclass_are_allowed(environment: pytest.MonkeyPatch) -> None:
    """Their variables are not misspelt, whatever their type and case."""

    class Settings(SeicSettings):
        debug: bool = False
        retries: int = 1

    set_variables(environment, client_id="seic_client_id")
    environment.setenv("SEIC_DEBUG", "1")

    settings = Settings()

    assert settings.debug
    assert settings.config().client_id == "id-1"


def test_arguments_replace_settings(environment: pytest.MonkeyPatch) -> None:
    """For a store or a certificate that is made in code."""
    store = seic.MemoryStore()
    set_variables(environment)

    assert SeicSettings().config(store=store).store is store


def test_no_secret_is_shown(environment: pytest.MonkeyPatch) -> None:
    """Applications print their settings on start."""
    environment.setenv("SEIC_CLIENT_SECRET", "AppSecret-1")
    environment.setenv("SEIC_PASSWORD", "password-1")
    environment.setenv("SEIC_CERTIFICATE_PASSWORD", "passphrase-1")
    environment.setenv("SEIC_CERTIFICATE_KEY", "-----BEGIN PRIVATE KEY-----MIGH")
    # Either can be PEM with a key.
    environment.setenv("SEIC_CERTIFICATE", "-----BEGIN PRIVATE KEY-----MIIE")
    environment.setenv("SEIC_CA", "-----BEGIN PRIVATE KEY-----MIIF")

    shown = repr(SeicSettings())

    for secret in ("AppSecret-1", "password-1", "passphrase-1", "MIGH", "MIIE", "MIIF"):
        assert secret not in shown


def test_it_has_every_setting_of_the_core() -> None:
    """The error of a misspelt variable lists the variables of `Config.from_env`."""
    with pytest.raises(seic.ConfigurationError) as caught:
        seic.Config.from_env({"SEIC_ZZZZZZZZZZZZ": "x"})

    known = str(caught.value).partition("known variables: ")[2].partition(";")[0].split(", ")
    secret = {name for name, field in SeicSettings.model_fields.items() if field.annotation == SecretStr | None}
    # The key of a certificate is a path, or PEM text.
    secret -= {"certificate_key", "client_key"}
    names = {name.removeprefix("SEIC_").lower() for name in known}
    forms = {f"{name}_{form}" for name in secret for form in ("file", "command")}
    assert {*SeicSettings.model_fields} == names | forms
    assert "certificate_password" in secret


def test_values_of_other_sources_have_their_own_types(environment: pytest.MonkeyPatch) -> None:
    """A source of JSON or TOML has numbers, flags and lists, as a profile has them."""
    set_variables(environment)
    values = {
        "token_timeout": 5,
        "certificate_wait": 0.0,
        "advisory_refresh": 300,
        "trust_env": False,
        "scope": ["read", "write"],
        "resource": ["https://a.example/", "https://b.example/"],
    }

    config = SeicSettings.model_validate(values).config()

    assert (config.token_timeout, config.advisory_refresh, config.trust_env) == (5.0, 300.0, False)
    assert config.grant == seic.ClientCredentials(
        scope="read write", resource=("https://a.example/", "https://b.example/")
    )
    with pytest.raises(ValidationError, match="valid string"):
        SeicSettings.model_validate({"client_id": 5})

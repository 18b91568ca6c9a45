from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

import seic
from seic import _settings
from seic.fastapi import SeicSettings


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """Begin with no settings, in an empty folder."""
    for name in _settings._NAMES:
        monkeypatch.delenv(f"SEIC_{name.upper()}", raising=False)
    monkeypatch.chdir(tmp_path)
    return monkeypatch


def test_they_are_read_from_the_environment(environment: pytest.MonkeyPatch) -> None:
    """The same variables give the same configuration as `Config.from_env`."""
    environment.setenv("SEIC_CLIENT_ID", "AppKey-1")
    environment.setenv("SEIC_CLIENT_SECRET", "AppSecret-1")
    environment.setenv("SEIC_USERNAME", "svc-user")
    environment.setenv("SEIC_PASSWORD", "password-1")

    assert SeicSettings().config() == seic.Config.from_env()


def test_they_are_read_from_a_dotenv_file(tmp_path: Path) -> None:
    """What pydantic-settings adds, works."""
    (tmp_path / ".env").write_text(
        "SEIC_PROVIDER=oauth2\nSEIC_CLIENT_ID=id-1\nSEIC_CLIENT_SECRET=secret-1\nSEIC_CLIENT_SECRET=x\nSEIC_API_HOST=api.example.com\n"
    )

    config = SeicSettings(_env_file=".env").config()  # type: ignore[call-arg]  # pydantic-settings' own argument

    assert (config.client_id, config.base_url) == ("id-1", "https://api.example.com")


def test_they_may_be_a_part_of_ones_own(environment: pytest.MonkeyPatch) -> None:
    """An application has settings besides."""

    class Settings(BaseSettings):
        model_config = SettingsConfigDict(env_prefix="APP_")

        debug: bool = False
        seic: SeicSettings = Field(default_factory=SeicSettings)

    environment.setenv("APP_DEBUG", "1")
    environment.setenv("SEIC_PROVIDER", "oauth2")
    environment.setenv("SEIC_CLIENT_ID", "id-1")
    environment.setenv("SEIC_CLIENT_SECRET", "secret-1")
    environment.setenv("SEIC_CLIENT_SECRET", "secret-1")
    environment.setenv("SEIC_API_HOST", "api.example.com")

    settings = Settings()

    assert settings.debug
    assert settings.seic.config().client_id == "id-1"


def test_they_share_a_dotenv_file_with_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the documentation has it: each reads its own names, and neither stumbles over the other's."""
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
    """The error is seic's own, the same as without pydantic."""
    with pytest.raises(seic.ConfigurationError) as caught:
        SeicSettings().config()

    assert caught.value.field == "SEIC_CLIENT_ID"


def test_a_slip_in_a_name_is_refused(environment: pytest.MonkeyPatch) -> None:
    """A variable that is no setting's is no more ignored than by `Config.from_env`."""
    environment.setenv("SEIC_CLIENT_ID", "id-1")
    environment.setenv("SEIC_CERTFICATE", "client.pem")

    with pytest.raises(seic.ConfigurationError) as caught:
        SeicSettings().config()

    assert caught.value.field == "SEIC_CERTFICATE"


@pytest.mark.parametrize("name", ["SEIC_CLIENT_IDD", "seic_client_idd", "Seic_Client_Idd"])
def test_a_slip_in_a_dotenv_file_is_refused(name: str, tmp_path: Path) -> None:
    """With the nearest name, as for a variable; what it says may be a secret, and stays unsaid."""
    (tmp_path / ".env").write_text(f"APP_DEBUG=1\n{name}=id-1\nSEIC_EMPTY=\nSEIC_NOTHING\nSEIC_SERVICE_HOST=10.0.0.1\n")

    with pytest.raises(seic.ConfigurationError) as caught:
        SeicSettings(_env_file=".env")  # type: ignore[call-arg]  # pydantic-settings' own argument

    assert caught.value.field == "SEIC_CLIENT_IDD"
    assert "did you mean SEIC_CLIENT_ID?" in str(caught.value)
    assert "id-1" not in str(caught.value)


def test_a_dotenv_file_may_hold_what_others_read(tmp_path: Path) -> None:
    """Settings of the application's own, those of a class below, and what is set to nothing."""

    class Settings(SeicSettings):
        model_config = SettingsConfigDict(env_file=".env")

        debug: bool = False

    (tmp_path / ".env").write_text(
        "APP_DEBUG=1\nSEIC_DEBUG=1\nSEIC_EMPTY=\nSEIC_NOTHING\nSEIC_SERVICE_HOST=10.0.0.1\nSEIC_CLIENT_ID=id-1\n"
    )

    assert (Settings().debug, Settings().client_id) == (True, "id-1")


def test_fields_that_an_application_adds_are_its_own(environment: pytest.MonkeyPatch) -> None:
    """What a class below reads by the same prefix is no slip, whatever its type and however it is spelt."""

    class Settings(SeicSettings):
        debug: bool = False
        retries: int = 1

    environment.setenv("SEIC_PROVIDER", "oauth2")
    environment.setenv("seic_client_id", "id-1")
    environment.setenv("SEIC_CLIENT_SECRET", "secret-1")
    environment.setenv("SEIC_API_HOST", "api.example.com")
    environment.setenv("SEIC_DEBUG", "1")

    settings = Settings()

    assert settings.debug
    assert settings.config().client_id == "id-1"


def test_changes_stand_above_the_settings(environment: pytest.MonkeyPatch) -> None:
    """A store or a certificate that was made in code."""
    store = seic.MemoryStore()
    environment.setenv("SEIC_PROVIDER", "oauth2")
    environment.setenv("SEIC_CLIENT_ID", "id-1")
    environment.setenv("SEIC_CLIENT_SECRET", "secret-1")
    environment.setenv("SEIC_CLIENT_SECRET", "secret-1")
    environment.setenv("SEIC_API_HOST", "api.example.com")

    assert SeicSettings().config(store=store).store is store


def test_no_secret_is_shown(environment: pytest.MonkeyPatch) -> None:
    """Settings are printed when an application starts."""
    environment.setenv("SEIC_CLIENT_SECRET", "AppSecret-1")
    environment.setenv("SEIC_PASSWORD", "password-1")
    environment.setenv("SEIC_CERTIFICATE_PASSWORD", "passphrase-1")
    environment.setenv("SEIC_CERTIFICATE_KEY", "-----BEGIN PRIVATE KEY-----MIGH")

    shown = repr(SeicSettings())

    for secret in ("AppSecret-1", "password-1", "passphrase-1", "MIGH"):
        assert secret not in shown


def test_it_knows_the_settings_that_the_core_knows() -> None:
    """A setting that joins the core has to join here."""
    assert set(SeicSettings.model_fields) == {*_settings._NAMES, "profile"}

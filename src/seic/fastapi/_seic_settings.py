"""The `SEIC_*` settings as a pydantic-settings model."""

import os
from typing import ClassVar, Unpack

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, DotEnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from seic import Config
from seic._model.secret import strip_frames
from seic._options import ConfigOptions
from seic._setting_names import refuse_unknown
from seic._settings import as_text

_PREFIX = "SEIC_"


class SeicSettings(BaseSettings):
    """The settings of `Config.from_env` under the same names, from every source of pydantic-settings, such as `.env`.

    Use it alone or as a field of your own settings. Values are validated by `config`; an unknown name in a `.env` file
    is a ConfigurationError at once.
    """

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
        env_prefix=_PREFIX, extra="ignore", hide_input_in_errors=True
    )

    # Each of certificate, key and CA can be PEM text with a private key; a proxy can have a password.
    profile: str | None = None
    provider: str | None = None
    issuer: str | None = None
    token_url: str | None = None
    revocation_url: str | None = None
    introspection_url: str | None = None
    environment: str | None = None
    api_host: str | None = None
    mtls_host: str | None = None
    page_cursor_field: str | None = None
    page_cursor_parameter: str | None = None
    client_id: str | None = None
    client_secret: SecretStr | None = None
    client_secret_file: str | None = None
    client_secret_command: str | None = Field(default=None, repr=False)
    client_auth: str | None = None
    client_key: SecretStr | None = None
    client_key_password: SecretStr | None = None
    client_key_password_file: str | None = None
    client_key_password_command: str | None = Field(default=None, repr=False)
    client_key_id: str | None = None
    client_key_algorithm: str | None = None
    client_assertion_audience: str | None = None
    grant: str | None = None
    scope: str | None = None
    audience: str | None = None
    resource: str | None = None
    username: str | None = None
    password: SecretStr | None = None
    password_file: str | None = None
    password_command: str | None = Field(default=None, repr=False)
    refresh_token: SecretStr | None = None
    refresh_token_file: str | None = None
    refresh_token_command: str | None = Field(default=None, repr=False)
    assertion: SecretStr | None = None
    assertion_file: str | None = None
    assertion_command: str | None = Field(default=None, repr=False)
    subject_token: SecretStr | None = None
    subject_token_file: str | None = None
    subject_token_command: str | None = Field(default=None, repr=False)
    subject_token_type: str | None = None
    actor_token: SecretStr | None = None
    actor_token_file: str | None = None
    actor_token_command: str | None = Field(default=None, repr=False)
    actor_token_type: str | None = None
    requested_token_type: str | None = None
    subject: str | None = None
    certificate: str | None = Field(default=None, repr=False)
    certificate_key: SecretStr | None = None
    certificate_password: SecretStr | None = None
    certificate_password_file: str | None = None
    certificate_password_command: str | None = Field(default=None, repr=False)
    certificate_wait: str | None = None
    strict_common_name: str | None = None
    ca: str | None = Field(default=None, repr=False)
    # The URL of a store can have a password.
    store: str | None = Field(default=None, repr=False)
    store_key: SecretStr | None = None
    store_key_file: str | None = None
    store_key_command: str | None = Field(default=None, repr=False)
    token_timeout: str | None = None
    rate_limit_timeout: str | None = None
    advisory_refresh: str | None = None
    mandatory_refresh: str | None = None
    proxy: str | None = Field(default=None, repr=False)
    trust_env: str | None = None
    local_address: str | None = None

    @field_validator("*", mode="before")
    @classmethod
    def _as_text(cls, value: object, info: ValidationInfo) -> object:
        """Return a number, a flag or a list, as JSON and TOML have them, in the form of a variable."""
        text, _ = as_text(info.field_name or "", value)
        return value if text is None else text

    @classmethod
    @strip_frames
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources unchanged, after a check of the names in the `.env` file.

        Raises:
            ConfigurationError: The file has an unknown name.
        """
        if isinstance(dotenv_settings, DotEnvSettingsSource):
            # pydantic-settings gives them in lower case.
            named = {name.upper(): value or "" for name, value in dotenv_settings.env_vars.items()}
            refuse_unknown({name: value for name, value in named.items() if name not in cls._read()})
        return init_settings, env_settings, dotenv_settings, file_secret_settings

    @classmethod
    def _read(cls) -> set[str]:
        """Return the variables of the fields."""
        return {f"{_PREFIX}{name.upper()}" for name in cls.model_fields}

    @strip_frames
    def config(self, **changes: Unpack[ConfigOptions]) -> Config:
        """Return the configuration.

        Args:
            changes: Arguments of `Config` that replace settings.

        Raises:
            ConfigurationError: A setting is missing or malformed; `field` is the variable's name.
            CertificateError: The certificate cannot be used.
        """
        # Variables of no field are passed on, so that misspelt names are found.
        read = self._read()
        environ = {name: value for name, value in os.environ.items() if name.upper() not in read}
        for name in SeicSettings.model_fields:
            value: SecretStr | str | None = getattr(self, name)
            if value is not None:
                text = value if isinstance(value, str) else value.get_secret_value()
                environ[f"{_PREFIX}{name.upper()}"] = text
        return Config.from_env(environ, **changes)

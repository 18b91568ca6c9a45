"""The `SEIC_*` settings as a pydantic-settings model, for applications that read theirs that way."""

from __future__ import annotations

import os
from typing import Any

try:
    from pydantic import SecretStr
    from pydantic_settings import BaseSettings, SettingsConfigDict
except ModuleNotFoundError as error:
    raise ImportError('seic.fastapi.settings needs pydantic-settings: run pip install "seic[settings]"') from error

from seic._config import Config
from seic._model.secrecy import traceless

_PREFIX = "SEIC_"


class SeicSettings(BaseSettings):
    """The settings that `Config.from_env` knows, by the same names; read as pydantic-settings reads: `.env` files, too.

    It stands alone or as a field of settings of your own. What the values mean is checked by `config`.
    """

    model_config = SettingsConfigDict(env_prefix=_PREFIX, extra="ignore", hide_input_in_errors=True)

    profile: str | None = None
    provider: str | None = None
    environment: str | None = None
    client_id: str | None = None
    client_secret: SecretStr | None = None
    client_secret_file: str | None = None
    username: str | None = None
    password: SecretStr | None = None
    password_file: str | None = None
    certificate: str | None = None
    certificate_key: SecretStr | None = None
    certificate_password: SecretStr | None = None
    certificate_password_file: str | None = None
    ca: str | None = None
    api_host: str | None = None
    mtls_host: str | None = None
    store: str | None = None

    @traceless
    def config(self, **changes: Any) -> Config:
        """Return the configuration that the settings state.

        Args:
            changes: Settings of `Config` that stand above them.

        Raises:
            ConfigurationError: A setting is missing or malformed; its `field` is the variable's name.
            CertificateError: The certificate that they name cannot work.
        """
        # What no field here reads stays, so that a slip in a name is found.
        read = {f"{_PREFIX}{name.upper()}" for name in type(self).model_fields}
        environ = {name: value for name, value in os.environ.items() if name.upper() not in read}
        for name in SeicSettings.model_fields:
            value = getattr(self, name)
            if value is not None:
                text = value.get_secret_value() if isinstance(value, SecretStr) else value
                environ[f"{_PREFIX}{name.upper()}"] = text
        return Config.from_env(environ, **changes)

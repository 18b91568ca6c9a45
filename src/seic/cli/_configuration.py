"""The configuration of a command: the settings of the environment, with the profile that `--profile` names."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Any, Unpack

if TYPE_CHECKING:
    from seic._config import Config
    from seic._options import ConfigOptions


def environment_of(options: Namespace) -> dict[str, str]:
    """Return the variables of the process, with `SEIC_PROFILE` from `--profile`."""
    environment = dict(os.environ)
    if options.profile is not None:
        environment["SEIC_PROFILE"] = options.profile
    return environment


def read_config(options: Namespace, **changes: Unpack[ConfigOptions]) -> Config:
    """Return the configuration.

    Args:
        options: The parsed arguments.
        changes: Arguments of `Config`, which take precedence.

    Raises:
        ConfigurationError: A setting is missing or malformed.
        CertificateError: The certificate cannot be used.
    """
    from seic._config import Config

    uses_login = getattr(options, "login", False)
    if uses_login:
        from seic.cli._login_grant import LoginGrant

        changes["grant"] = LoginGrant()
    config = Config.from_env(environment_of(options), **changes)
    if uses_login:
        require_store(config, "use")
    return config


def add_login_option(parser: ArgumentParser) -> None:
    """Add the option that uses the login of `seic login`."""
    parser.add_argument("--login", action="store_true", help="use the login of seic login")


def require_store(config: Config, action: str) -> Any:
    """Return the store, which must outlive the process.

    Args:
        config: The configuration.
        action: The verb for the token, for the message.

    Raises:
        ConfigurationError: There is none.
    """
    from seic import ConfigurationError, MemoryStore

    if config.store is None or isinstance(config.store, MemoryStore):
        raise ConfigurationError(
            f"store: no store outlives this command, so there is no token to {action}; set SEIC_STORE, for example to "
            "file:///home/me/tokens, and SEIC_STORE_KEY",
            field="store",
        )
    return config.store

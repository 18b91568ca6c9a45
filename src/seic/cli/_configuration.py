"""The configuration of a command: the settings of the environment, with the profile that `--profile` names."""

from __future__ import annotations

import os
from argparse import Namespace
from typing import TYPE_CHECKING, Unpack

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

    return Config.from_env(environment_of(options), **changes)

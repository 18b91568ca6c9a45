"""A configuration for the gateway, and the error that a change of it causes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from seic import SEI_GATEWAY, ClientCredentials, Config, ConfigurationError

SECRET = "app-Secret-5f1d"
PASSWORD = "pass-Word-9c2e"
GRANT = ClientCredentials(username="svc-user", password=PASSWORD)
CA_FILE = str(Path(__file__).parents[2] / "certs-sample" / "ca.pem")


def make(**changes: Any) -> Config:
    """Return a configuration for the gateway, with changes."""
    settings: dict[str, Any] = {
        "provider": SEI_GATEWAY,
        "client_id": "app-key",
        "client_secret": SECRET,
        "grant": GRANT,
    }
    return Config(**{**settings, **changes})


def refused(**changes: Any) -> ConfigurationError:
    """Return the error that the changes cause, after a check that its message starts with its field."""
    with pytest.raises(ConfigurationError) as caught:
        make(**changes)
    assert caught.value.field is not None
    assert str(caught.value).startswith(f"{caught.value.field}: ")
    return caught.value

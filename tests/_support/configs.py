"""The settings of a gateway's application, and the error that a change of them leads to."""

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
    """The settings of a gateway's application, with changes."""
    settings: dict[str, Any] = {
        "provider": SEI_GATEWAY,
        "client_id": "app-key",
        "client_secret": SECRET,
        "grant": GRANT,
    }
    return Config(**{**settings, **changes})


def refused(**changes: Any) -> ConfigurationError:
    """The error that the changes lead to; its text opens with the field that it names."""
    with pytest.raises(ConfigurationError) as caught:
        make(**changes)
    assert caught.value.field is not None
    assert str(caught.value).startswith(f"{caught.value.field}: ")
    return caught.value

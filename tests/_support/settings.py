"""Variables and files with settings for tests, and the error that they cause."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from seic import Config, ConfigurationError
from tests._support.identities import issued

SECRET = "app-Secret-5f1d"
PASSWORD = "pass-Word-9c2e"
PASSPHRASE = "key-Phrase-77aa"
GATEWAY = {
    "SEIC_CLIENT_ID": "app-key",
    "SEIC_CLIENT_SECRET": SECRET,
    "SEIC_USERNAME": "svc-user",
    "SEIC_PASSWORD": PASSWORD,
}
CERT = issued().cert_pem.decode()
KEY = issued().key_pem.decode()
ENCRYPTED_KEY = issued().encode_key(PASSPHRASE.encode()).decode()


def refused(environ: dict[str, str], **changes: Any) -> ConfigurationError:
    """Return the error that the variables cause, after a check that its message starts with its field."""
    with pytest.raises(ConfigurationError) as caught:
        Config.from_env(environ, **changes)
    assert str(caught.value).startswith(f"{caught.value.field}: ")
    return caught.value


def revealed(config: Config) -> tuple[Any, ...]:
    """Return the facts of a configuration, with the secrets that callables return in place of the callables."""
    grant: Any = config.grant
    password = grant.password() if callable(grant.password) else grant.password
    secret = config.client_secret() if callable(config.client_secret) else config.client_secret
    return config.base_url, config.client_id, secret, grant.username, password, config.certificate, config.ca


def write(path: Path, text: str) -> Path:
    """Write a file, and create its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path

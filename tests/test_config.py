"""Validation of the settings of `Config`."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import pytest

from seic import (
    SEI_PLATFORM,
    CertificateError,
    CertificateWarning,
    ClientCredentials,
    Config,
    Hosts,
    MemoryStore,
    Provider,
    RequestContext,
)
from tests._support.configs import CA_FILE, PASSWORD, SECRET, make, refused
from tests._support.identities import authority, issued
from tests._support.pki import DAY, NOW, mint


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"provider": "sei-gateway"}, "provider", "seic.SEI_GATEWAY"),
        ({"environment": ""}, "environment", "non-empty string"),
        ({"environment": None}, "environment", "non-empty string"),
        ({"hosts": "api.example.com"}, "hosts", "seic.Hosts("),
        ({"client_id": ""}, "client_id", "non-empty string"),
        ({"client_id": None}, "client_id", "non-empty string"),
        ({"client_id": 7}, "client_id", "non-empty string"),
        ({"client_id": "key\n"}, "client_id", "line end"),
        ({"client_id": "key\r\nX: y"}, "client_id", "line end"),
        ({"client_id": "two words"}, "client_id", "visible ASCII"),
        ({"client_id": "schlüssel"}, "client_id", "visible ASCII"),
        ({"client_id": "a:b"}, "client_id", "colon"),
        ({"client_secret": None}, "client_secret", "missing"),
        ({"client_secret": ""}, "client_secret", "non-empty string"),
        ({"client_secret": b"bytes"}, "client_secret", "non-empty string"),
        ({"client_secret": "secret\n"}, "client_secret", "line end"),
        ({"grant": None}, "grant", "seic.ClientCredentials(...)"),
        ({"grant": "client_credentials"}, "grant", "seic.ClientCredentials(...)"),
        ({"grant": ClientCredentials}, "grant", "the class ClientCredentials"),
        ({"grant": ClientCredentials()}, "grant.username", "service account"),
        ({"grant": ClientCredentials(username="svc")}, "grant.password", "service account"),
        ({"grant": ClientCredentials(username=5, password="x")}, "grant.username", "a string, not int"),  # type: ignore[arg-type]
        ({"grant": ClientCredentials(username="u", password=b"x")}, "grant.password", "not bytes"),  # type: ignore[arg-type]
        ({"grant": ClientCredentials(username="u", password="x", scope=["a"])}, "grant.scope", "not list"),  # type: ignore[arg-type]
        ({"certificate": "client.pem"}, "certificate", "seic.ClientCertificate.load(...)"),
        ({"certificate": Path("client.pem")}, "certificate", "seic.ClientCertificate.load(...)"),
        ({"ca": 7}, "ca", "a path or PEM"),
        ({"ca": True}, "ca", "a path or PEM"),
        ({"ca": ""}, "ca", "empty"),
        ({"ca": b""}, "ca", "empty"),
        ({"store": "redis://localhost"}, "store", "seic.MemoryStore()"),
        ({"store": MemoryStore}, "store", "the class MemoryStore"),
        ({"advisory_refresh": "300"}, "advisory_refresh", "number of seconds"),
        ({"advisory_refresh": "51%"}, "advisory_refresh", "up to 50%"),
        ({"advisory_refresh": -1}, "advisory_refresh", "0 or more"),
        ({"mandatory_refresh": True}, "mandatory_refresh", "number of seconds"),
        ({"mandatory_refresh": math.inf}, "mandatory_refresh", "0 or more"),
        ({"advisory_refresh": 59, "mandatory_refresh": 60}, "advisory_refresh", "mandatory_refresh"),
        ({"token_timeout": None}, "token_timeout", "number of seconds"),
        ({"token_timeout": "5"}, "token_timeout", "number of seconds"),
        ({"token_timeout": 0}, "token_timeout", "more than 0"),
        ({"rate_limit_timeout": "5"}, "rate_limit_timeout", "number of seconds"),
        ({"rate_limit_timeout": -1}, "rate_limit_timeout", "0 seconds or more"),
        ({"rate_limit_timeout": math.inf}, "rate_limit_timeout", "finite"),
        ({"rate_limit_timeout": math.nan}, "rate_limit_timeout", "0 seconds or more"),
        ({"token_timeout": math.inf}, "token_timeout", "finite"),
        ({"token_timeout": math.nan}, "token_timeout", "more than 0"),
    ],
    ids=lambda value: repr(value) if isinstance(value, dict) else "",
)
def test_an_invalid_setting_is_refused(changes: dict[str, Any], field: str, words: str) -> None:
    """The message starts with the name of the setting, and describes a valid value."""
    error = refused(**changes)

    assert error.field == field
    assert words in str(error)


@pytest.mark.parametrize(
    "changes",
    [
        {"client_secret": "%C3%A9:/+ é"},
        {"client_id": "a" * 200},
        {"grant": ClientCredentials(username="svc", password="pass\twörd\n")},
        {"ca": CA_FILE},
        {"ca": Path(CA_FILE)},
        {"ca": authority().cert_pem},
        {"ca": authority().cert_pem.decode()},
        {"store": MemoryStore()},
        {"advisory_refresh": 60, "mandatory_refresh": 60},
        {"advisory_refresh": 0, "mandatory_refresh": 0.0},
        {"token_timeout": 0.001},
        {"token_timeout": 3600},
        {"provider": SEI_PLATFORM, "client_id": "ä b:c"},
    ],
    ids=repr,
)
def test_a_valid_setting_is_not_changed(changes: dict[str, Any]) -> None:
    """Values at the limits are valid, and not trimmed or replaced."""
    config = make(**changes)

    for name, value in changes.items():
        assert getattr(config, name) == value


@pytest.mark.parametrize(
    ("ca", "reason"),
    [
        ("nope.pem", "not-found"),
        (b"-----BEGIN CERTIFICATE-----", "truncated"),
        (b"x", "unknown-format"),
        (issued().cert_pem, "not-a-ca"),
        (issued().key_pem, "no-certificate"),
    ],
    ids=["no file", "truncated", "unknown format", "no authority", "a key"],
)
def test_an_invalid_ca_is_refused(ca: Any, reason: str) -> None:
    """It is a CertificateError that names the setting."""
    with pytest.raises(CertificateError, match=r"^ca: ") as caught:
        make(ca=ca)

    assert (caught.value.field, caught.value.reason) == ("ca", reason)


def test_an_expired_authority_causes_a_warning() -> None:
    """It is not an error together with a valid one. The warning points to the line of the caller."""
    old = mint("Old Root", ca=True, number=73, not_before=NOW - 9 * DAY, not_after=NOW - DAY)
    with pytest.warns(CertificateWarning, match="ca: the authority CN=Old Root expired on") as warned:
        make(ca=mint("Root", ca=True, number=70).pem + old.pem)
    assert [one.filename for one in warned] == [make.__code__.co_filename]


def test_the_systems_trust_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not a setting of the user, so its errors are raised on connect."""
    monkeypatch.setenv("SSL_CERT_FILE", "/nonexistent")

    assert make().ca is None


def test_the_client_authentication_decides_whether_a_secret_is_required() -> None:
    """The configuration itself does not require one."""

    class ById:
        def apply(self, headers: dict[str, str], form: dict[str, str], context: RequestContext) -> None:
            form["client_id"] = context.client_id

    provider = Provider(token_url="/t", client_authentication=ById())
    config = make(provider=provider, client_secret=None, grant=ClientCredentials(), hosts=Hosts(api="a.example"))

    assert config.client_secret is None


def test_the_process_environment_is_read_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """`from_env` without `environ` reads the variables of the process. Arguments take precedence."""
    for name in tuple(os.environ):
        if name.startswith("SEIC_"):
            monkeypatch.delenv(name)
    for name, value in {"CLIENT_ID": "app-key", "CLIENT_SECRET": SECRET, "USERNAME": "svc-user"}.items():
        monkeypatch.setenv(f"SEIC_{name}", value)
    monkeypatch.setenv("SEIC_PASSWORD", PASSWORD)

    assert Config.from_env() == make()
    assert Config.from_env(environment="test") == make(environment="test")

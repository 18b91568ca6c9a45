"""The setting of each environment variable, and errors that name the variable."""

from __future__ import annotations

import base64
import os
import pickle
from pathlib import Path

import pytest

from seic import (
    OAUTH2,
    SEI_GATEWAY,
    SEI_PLATFORM,
    CertificateError,
    ClientCredentials,
    Config,
    ConfigurationError,
    Hosts,
    MemoryStore,
    SeicError,
    discover_sync,
)
from tests._support.identities import authority, certificate
from tests._support.reports import report
from tests._support.settings import CERT, ENCRYPTED_KEY, GATEWAY, KEY, PASSPHRASE, PASSWORD, SECRET, refused, write

# Variables


def test_the_gateway_is_the_default_provider() -> None:
    """Four variables are sufficient; the rest has the defaults of `Config`."""
    assert Config.from_env(GATEWAY) == Config(
        provider=SEI_GATEWAY,
        client_id="app-key",
        client_secret=SECRET,
        grant=ClientCredentials(username="svc-user", password=PASSWORD),
    )


def test_each_variable_reaches_its_setting(tmp_path: Path) -> None:
    """All variables in one configuration."""
    paths = {
        "SEIC_CERTIFICATE": write(tmp_path / "c.pem", CERT),
        "SEIC_CERTIFICATE_KEY": write(tmp_path / "k.pem", ENCRYPTED_KEY),
        "SEIC_CA": write(tmp_path / "ca.pem", authority().cert_pem.decode()),
    }
    config = Config.from_env({
        **GATEWAY,
        "SEIC_PROVIDER": "sei-platform",
        "SEIC_ENVIRONMENT": "test",
        **{name: str(path) for name, path in paths.items()},
        "SEIC_CERTIFICATE_PASSWORD": PASSPHRASE,
        "SEIC_API_HOST": "api.example:8443",
        "SEIC_MTLS_HOST": "https://mtls.example:444",
        "SEIC_STORE": "memory",
    })  # fmt: skip

    assert config.provider is SEI_PLATFORM
    assert config.environment == "test"
    assert config.client_id == "app-key"
    assert config.client_secret == SECRET
    assert config.grant == ClientCredentials(username="svc-user", password=PASSWORD)
    assert config.certificate == certificate()
    assert config.ca == str(paths["SEIC_CA"])
    assert config.hosts == Hosts(api="api.example:8443", mtls="mtls.example:444")
    assert config.base_url == "https://mtls.example:444"
    assert isinstance(config.store, MemoryStore)


@pytest.mark.parametrize("name", ["SEIC_PROVIDER", "SEIC_ENVIRONMENT", "SEIC_CERTIFICATE", "SEIC_CA", "SEIC_PROFILE"])
def test_an_empty_variable_is_not_set(name: str) -> None:
    """Compose files and shells set a variable to nothing to unset it."""
    assert Config.from_env({**GATEWAY, name: ""}) == Config.from_env(GATEWAY)


def test_a_custom_host_replaces_both_hosts_of_the_environment() -> None:
    """A certificate with only `SEIC_API_HOST` is not sent to the production mutual-TLS host."""
    error = refused({**GATEWAY, "SEIC_API_HOST": "localhost:1", "SEIC_CERTIFICATE": CERT, "SEIC_CERTIFICATE_KEY": KEY})

    assert error.field == "SEIC_MTLS_HOST"


def test_a_plain_provider_needs_no_service_account() -> None:
    """Username and password are not required if the provider's form has no field for them."""
    config = Config.from_env({
        "SEIC_PROVIDER": "oauth2",
        "SEIC_CLIENT_ID": "id",
        "SEIC_CLIENT_SECRET": SECRET,
        "SEIC_API_HOST": "idp.example",
    })  # fmt: skip

    assert config.provider is OAUTH2
    assert config.grant == ClientCredentials()


@pytest.mark.parametrize(
    ("variables", "field", "words"),
    [
        ({"SEIC_CLIENT_ID": ""}, "SEIC_CLIENT_ID", "AppKey"),
        ({"SEIC_CLIENT_ID": "two words"}, "SEIC_CLIENT_ID", "visible ASCII"),
        ({"SEIC_CLIENT_SECRET": ""}, "SEIC_CLIENT_SECRET", "missing"),
        ({"SEIC_CLIENT_SECRET": "x\n"}, "SEIC_CLIENT_SECRET", "line end"),
        ({"SEIC_USERNAME": ""}, "SEIC_USERNAME", "service account"),
        ({"SEIC_PASSWORD": ""}, "SEIC_PASSWORD", "service account"),
        ({"SEIC_PROVIDER": "SEI-Gateway"}, "SEIC_PROVIDER", "set sei-gateway or sei-platform or oauth2"),
        ({"SEIC_ENVIRONMENT": "staging"}, "SEIC_ENVIRONMENT", "'production' or 'test'"),
        ({"SEIC_STORE": "redis"}, "SEIC_STORE", "set memory"),
        ({"SEIC_API_HOST": "http://localhost:1"}, "SEIC_API_HOST", "http://localhost:1 is not https"),
        ({"SEIC_API_HOST": "http://api.example"}, "SEIC_API_HOST", "http://api.example is not https"),
        ({"SEIC_API_HOST": "a.example/path"}, "SEIC_API_HOST", "without a path"),
        ({"SEIC_API_HOST": "a.example", "SEIC_MTLS_HOST": "m.example:0"}, "SEIC_MTLS_HOST", "the port must be"),
        (
            {"SEIC_MTLS_HOST": "m.example"},
            "SEIC_API_HOST",
            "host; set SEIC_CERTIFICATE or SEIC_API_HOST",
        ),
        ({"SEIC_CERTIFICATE_KEY": KEY}, "SEIC_CERTIFICATE", "SEIC_CERTIFICATE_KEY is set"),
        ({"SEIC_CERTIFICATE_PASSWORD": PASSPHRASE}, "SEIC_CERTIFICATE", "SEIC_CERTIFICATE_PASSWORD is set"),
        (
            {"SEIC_ENVIRONMENT": "test", "SEIC_CERTIFICATE": CERT, "SEIC_CERTIFICATE_KEY": KEY},
            "SEIC_MTLS_HOST",
            "no documented mutual-TLS host; set SEIC_API_HOST and SEIC_MTLS_HOST",
        ),
        (
            {"SEIC_PROVIDER": "oauth2", "SEIC_API_HOST": "a.example"},
            "SEIC_USERNAME",
            "leave out SEIC_USERNAME and SEIC_PASSWORD",
        ),
        ({"SEIC_PROVIDER": "oauth2", "SEIC_USERNAME": "", "SEIC_PASSWORD": ""}, "SEIC_API_HOST", "SEIC_MTLS_HOST"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else value,
)
def test_an_error_names_the_variable(variables: dict[str, str], field: str, words: str) -> None:
    """The message has the names of variables, not of arguments, and the remedy."""
    error = refused({**GATEWAY, **variables})

    assert error.field == field
    assert words in str(error)
    assert "seic." not in str(error)


def test_the_error_uses_the_providers_word_for_the_account() -> None:
    """An account of the platform has an email, not a username."""
    platform = {"SEIC_PROVIDER": "sei-platform", "SEIC_CLIENT_ID": "i", "SEIC_CLIENT_SECRET": "s"}
    error = refused(platform)
    assert error.field == "SEIC_USERNAME"
    assert "SEI platform needs the email of a service account" in str(error)
    assert "password of a service account" in str(refused({**platform, "SEIC_USERNAME": "a@example.com"}))


# Secrets


@pytest.mark.parametrize(
    "variables",
    [
        {"SEIC_CLIENT_ID": ""},
        {"SEIC_PROVIDER": SECRET},
        {"SEIC_STORE": SECRET},
        {"SEIC_API_HOST": f"https://user:{PASSWORD}@api.example"},
        {"SEIC_API_HOST": f"https://user:{PASSWORD}@[api"},
        {"SEIC_CLIENT_SECRET": f"{SECRET}\n"},
        {"SEIC_PASSWORD_FILE": "also"},
        {"SEIC_CERTIFICATE": CERT, "SEIC_CERTIFICATE_KEY": ENCRYPTED_KEY},
        {"SEIC_CERTIFICATE": CERT, "SEIC_CERTIFICATE_KEY": base64.b64encode(KEY.encode()).decode() + "="},
        {"SEIC_CERTIFICATE": KEY, "SEIC_CERTIFICATE_KEY": KEY},
        {"SEIC_CERTIFICATE_KEY": KEY},
        {"SEIC_PROFILE": "broken"},
    ],
    ids=[
        "missing id",
        "wrong provider",
        "wrong store",
        "host with a user",
        "broken host",
        "line end",
        "two places",
        "wrong passphrase",
        "key in Base64",
        "key as certificate",
        "key alone",
        "broken profile",
    ],
)
def test_an_error_contains_no_secret(tmp_path: Path, variables: dict[str, str]) -> None:
    """Neither a report with the local variables of all frames, causes and contexts, nor a pickle contains one."""
    write(tmp_path / "home" / ".config" / "seic" / "config.toml", f"[broken]\npassword = '{PASSWORD}")
    environ = {**GATEWAY, "SEIC_CERTIFICATE_PASSWORD": f"{PASSPHRASE}-wrong", **variables}
    with pytest.raises((ConfigurationError, CertificateError)) as caught:
        Config.from_env(environ)
    written, pickled = report(caught.value), pickle.dumps(caught.value)

    assert "in called" in written  # the frames of the SDK are included
    lines = [line for line in KEY.splitlines() if "-----" not in line]
    for secret in (SECRET, PASSWORD, PASSPHRASE, *lines, base64.b64encode(KEY.encode()).decode()[:60]):
        assert secret not in written
        assert secret.encode() not in pickled


@pytest.mark.parametrize(
    "text",
    [
        "\udcff",
        "/folder/\udcff.pem",
        "-----BEGIN CERTIFICATE-----\udcff\n-----END CERTIFICATE-----",
        "-----BEGIN CERTIFICATE-----\ud800",
        "M" * 50 + "\udcff",
    ],
)
@pytest.mark.parametrize(
    "name", ["SEIC_CA", "SEIC_CERTIFICATE", "SEIC_PASSWORD_FILE", "SEIC_CLIENT_SECRET", "SEIC_PROFILE"]
)
def test_a_byte_that_is_no_utf_8_is_an_error(name: str, text: str) -> None:
    """Python has such a byte of a variable as half of a surrogate pair; the error can still be printed."""
    environ = {variable: value for variable, value in GATEWAY.items() if f"{variable}_FILE" != name}
    with pytest.raises(SeicError) as caught:
        Config.from_env({**environ, name: text})
    assert str(caught.value).encode()
    assert name in str(caught.value) or "client_secret" in str(caught.value)


@pytest.mark.parametrize(
    "name", ["SEIC_PASSWORD", "SEIC_USERNAME", "SEIC_CLIENT_ID", "SEIC_CLIENT_SECRET", "SEIC_SCOPE", "SEIC_ISSUER"]
)
def test_bytes_of_a_variable_that_are_not_utf_8_are_named(name: str) -> None:
    """At once and by the variable, not by a field of the first token request; the value is not shown."""
    with pytest.raises(ConfigurationError) as caught:
        Config.from_env({**GATEWAY, name: os.fsdecode(b"caf\xe9-hidden")})
    assert caught.value.field == name
    assert f"{name}: has bytes that are not UTF-8" in caught.value.message
    assert "hidden" not in str(caught.value)
    assert (f"{name}_FILE" in str(caught.value)) is (name in ("SEIC_PASSWORD", "SEIC_CLIENT_SECRET"))


def test_an_issuer_that_cannot_be_encoded() -> None:
    """Also one that is passed in code."""
    with pytest.raises(ConfigurationError, match="issuer"):
        discover_sync("https://idp.example/caf\udce9")
    with pytest.raises(ConfigurationError, match="issuer"):
        discover_sync("caf\udce9")

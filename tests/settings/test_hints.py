"""Hints about TLS and certificates name the variables or keys, if the configuration was read from them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import attrs
import httpx
import pytest

import seic
from seic.sandbox import CertificateAuthority, Sandbox
from tests._support.settings import write

Send: TypeAlias = Callable[[seic.Config], Exception]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """Return a running sandbox."""
    with Sandbox() as one:
        yield one


def _settings(sandbox: Sandbox, *, api: str, ca: str = "") -> dict[str, str]:
    settings = {
        "client_id": sandbox.client_id,
        "client_secret": sandbox.client_secret,
        "username": sandbox.username,
        "password": sandbox.password,
        "api_host": api,
        "ca": ca,
    }
    return {name: text for name, text in settings.items() if text}


def _by_variables(settings: dict[str, str], _folder: Path) -> seic.Config:
    return seic.Config.from_env({f"SEIC_{name.upper()}": text for name, text in settings.items()})


def _by_profile(settings: dict[str, str], folder: Path) -> seic.Config:
    lines = [f"{name} = {json.dumps(text)}" for name, text in settings.items()]
    return seic.Config.from_file(write(folder / "p.toml", "\n".join(["[svc]", *lines])), profile="svc")


def _request_token(config: seic.Config) -> Exception:
    with seic.Client(config) as client, pytest.raises(seic.SeicError) as caught:
        client.token()
    return caught.value


def _call(config: seic.Config) -> Exception:
    with httpx.Client(transport=seic.Transport(config)) as client, pytest.raises(httpx.TransportError) as caught:
        client.get(config.base_url)
    return caught.value


WAYS = pytest.mark.parametrize(
    ("read", "name"), [(_by_variables, "SEIC_{}"), (_by_profile, "svc.{}")], ids=["variables", "profile"]
)
SENDS = pytest.mark.parametrize("send", [_request_token, _call], ids=["token", "API"])


def _name(pattern: str, setting: str) -> str:
    return pattern.format(setting.upper() if pattern.startswith("SEIC") else setting)


@WAYS
@SENDS
def test_an_unknown_authority_names_the_setting(
    read: Callable[[dict[str, str], Path], seic.Config], name: str, send: Send, sandbox: Sandbox, tmp_path: Path
) -> None:
    """The remedy is the variable or the key, and no argument."""
    error = send(read(_settings(sandbox, api=sandbox.api_url), tmp_path))

    assert f"pass a private authority as {_name(name, 'ca')}" in str(error)
    assert "=..." not in str(error)


@WAYS
def test_an_unknown_authority_of_the_issuer_names_the_setting(
    read: Callable[[dict[str, str], Path], seic.Config], name: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    """The metadata is read with the first token."""
    settings = _settings(sandbox, api=sandbox.api_url)
    del settings["username"], settings["password"]
    error = _request_token(read({**settings, "issuer": sandbox.api_url}, tmp_path))

    assert f"pass a private authority as {_name(name, 'ca')}" in str(error)


@WAYS
@SENDS
def test_a_demanded_certificate_names_the_setting(
    read: Callable[[dict[str, str], Path], seic.Config], name: str, send: Send, sandbox: Sandbox, tmp_path: Path
) -> None:
    """The same for a server that demands a certificate."""
    error = send(read(_settings(sandbox, api=sandbox.mtls_url, ca=sandbox.ca_pem.decode()), tmp_path))

    assert isinstance(error, seic.CertificateError)
    assert f"none is configured; pass {_name(name, 'certificate')}" in str(error)
    assert "=..." not in str(error)


@SENDS
def test_a_changed_copy_keeps_the_names(send: Send, sandbox: Sandbox) -> None:
    """`attrs.evolve` is the way to change one setting."""
    config = _by_variables(_settings(sandbox, api=sandbox.api_url), Path())

    assert "as SEIC_CA" in str(send(attrs.evolve(config, token_timeout=9)))


@SENDS
def test_an_argument_is_named_as_such(send: Send, sandbox: Sandbox) -> None:
    """A setting that the code passes is changed in the code."""
    settings = {f"SEIC_{name.upper()}": text for name, text in _settings(sandbox, api=sandbox.api_url).items()}
    mixed = seic.Config.from_env(settings, ca=None)
    pure = sandbox.config()

    assert "as ca=..." in str(send(mixed))
    assert "as ca=..." in str(send(attrs.evolve(pure, ca=None)))


def test_the_names_are_not_part_of_the_value(sandbox: Sandbox) -> None:
    """Configurations of the same settings are equal, and look the same."""
    config = _by_variables(_settings(sandbox, api=sandbox.api_url), Path())
    same = attrs.evolve(config, _setting_names=type(config._setting_names)())

    assert config == same
    assert hash(config.token_url) == hash(same.token_url)
    assert repr(config) == repr(same)


def test_a_missing_certificate_for_client_authentication_names_the_variable() -> None:
    """The provider is passed in code, the certificate is a variable."""
    provider = attrs.evolve(seic.SEI_GATEWAY, client_authentication=seic.TlsClientAuth())
    with pytest.raises(seic.ConfigurationError) as caught:
        seic.Config.from_env({"SEIC_CLIENT_ID": "id", "SEIC_USERNAME": "u", "SEIC_PASSWORD": "p"}, provider=provider)

    assert caught.value.field == "SEIC_CERTIFICATE"
    assert "needs the client certificate (SEIC_CERTIFICATE)" in str(caught.value)


def test_a_renewed_certificate_that_cannot_be_read_names_the_variable(tmp_path: Path) -> None:
    """The remedy is the variable that the new file needs."""
    issued = CertificateAuthority().issue("svc-user")
    file = write(tmp_path / "client.pem", (issued.cert_pem + issued.key_pem).decode())
    file.chmod(0o600)
    settings = {"CLIENT_ID": "id", "CLIENT_SECRET": "secret", "USERNAME": "svc-user", "PASSWORD": "p"}
    environ = {"SEIC_CERTIFICATE": str(file), **{f"SEIC_{name}": text for name, text in settings.items()}}
    with seic.Client.from_env(environ) as client:
        file.write_bytes(issued.cert_pem + issued.encode_key(b"another"))
        with pytest.raises(seic.CertificateError) as caught:
            client.reload_certificate()

    assert caught.value.reason == "passphrase-missing"
    assert "pass SEIC_CERTIFICATE_PASSWORD" in str(caught.value)

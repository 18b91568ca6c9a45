"""Profiles: settings in a file, and which of them are taken."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from seic._config import Config
from seic._errors import CertificateError, ConfigurationError
from seic._model.grants import ClientCredentials
from seic._model.hosts import Hosts
from tests._support.identities import authority, certificate, issued
from tests._support.settings import CERT, ENCRYPTED_KEY, GATEWAY, PASSPHRASE, PASSWORD, SECRET, refused, write

_TABLE = f"""
[default]
client_id = "app-key"
client_secret = "{SECRET}"
username = "svc-user"
password_file = "secrets/password"

[mtls]
client_id = "app-key"
client_secret = "{SECRET}"
username = "svc-user"
password_file = "secrets/password"
certificate = "client.pem"
certificate_key = "client.key"
certificate_password_file = "secrets/passphrase"
ca = "ca.pem"
api_host = "api.example:8443"
mtls_host = "mtls.example:444"
"""


@pytest.fixture
def profiles(tmp_path: Path) -> Path:
    """A file with two profiles, and what they name beside it; not where the process is."""
    folder = tmp_path / "home" / ".config" / "seic"
    write(folder / "secrets" / "password", f"{PASSWORD}\n")
    write(folder / "secrets" / "passphrase", f"{PASSPHRASE}\n")
    write(folder / "client.pem", CERT)
    write(folder / "client.key", ENCRYPTED_KEY)
    write(folder / "ca.pem", authority().cert_pem.decode())
    return write(folder / "config.toml", _TABLE)


def test_a_file_states_what_the_variables_state(profiles: Path) -> None:
    """The keys are the variables' names, and paths are relative to the file."""
    assert Config.from_file(profiles) == Config.from_env(GATEWAY)
    config = Config.from_file(profiles, profile="mtls")
    assert config.certificate == certificate()
    assert config.ca == str(profiles.parent / "ca.pem")
    assert config.base_url == "https://mtls.example:444"
    assert Config.from_file("~/.config/seic/config.toml", environment="test").base_url == "https://test.api.seic.com"


@pytest.mark.parametrize("xdg", [False, True], ids=["home", "XDG_CONFIG_HOME"])
def test_a_variable_names_a_profile(profiles: Path, tmp_path: Path, xdg: bool) -> None:
    """`SEIC_PROFILE` is enough by itself; its paths are relative to the file, not to the process."""
    environ = {"SEIC_PROFILE": "mtls"}
    if xdg:
        profiles.parent.parent.rename(tmp_path / "xdg")
        environ["XDG_CONFIG_HOME"] = str(tmp_path / "xdg")

    config = Config.from_env(environ)

    assert config.certificate == certificate()
    assert config.grant == ClientCredentials(username="svc-user", password=PASSWORD)


@pytest.mark.usefixtures("profiles")
def test_variables_stand_above_the_profile(tmp_path: Path) -> None:
    """One variable replaces one setting, and what belongs to it alone: a secret's file, a certificate's key."""

    def load(**variables: str) -> Config:
        return Config.from_env({"SEIC_PROFILE": "mtls", **{f"SEIC_{name}": text for name, text in variables.items()}})

    grant = ClientCredentials(username="svc-user", password="other")
    assert load(CLIENT_ID="other").client_id == "other"
    assert load(PASSWORD="other").grant == grant
    assert load(PASSWORD_FILE=str(write(tmp_path / "p", "other"))).grant == grant
    assert load(CLIENT_SECRET_FILE=str(write(tmp_path / "s", "other"))).client_secret == "other"
    assert load(CERTIFICATE_PASSWORD=PASSPHRASE).certificate == certificate()
    other = issued("other")
    combined = other.key_pem.decode() + other.cert_pem.decode()
    assert load(CERTIFICATE=combined).certificate == certificate("other")
    assert load(MTLS_HOST="m.example").hosts == Hosts(api="api.example:8443", mtls="m.example")
    with pytest.raises(ConfigurationError) as caught:
        load(ENVIRONMENT="test")
    assert caught.value.field == "SEIC_MTLS_HOST"  # the profile's hosts are of another environment


@pytest.mark.parametrize(
    ("toml", "field", "words"),
    [
        (None, "SEIC_PROFILE", "cannot be read: No such file"),
        ("[other]", "SEIC_PROFILE", "has no table [p]; it has: other"),
        ("p = 1", "SEIC_PROFILE", "has no table [p]; it has: none"),
        ("[p]\nclient_secert = 'x'", "p.client_secert", "is no setting"),
        ("[p]\nprofile = 'x'", "p.profile", "is no setting"),
        ("[p]\nclient_id = 7", "p.client_id", "a text"),
        ("[p]\nclient_id = ''", "p.client_id", "a text"),
        ("[p]\nclient_secret = {}", "p.client_secret", "a text"),
        ("[p]\nclient_secret = 'x", "SEIC_PROFILE", "is not a TOML file"),
        ("[p]\nenvironment = 'staging'\nclient_id = 'x'", "p.environment", "'staging'"),
        ("[p]\npassword = 'x'\npassword_file = 'y'\nclient_id = 'x'", "p.password_file", "p.password is set too"),
        ("[p]\nclient_id = 'x'", "SEIC_USERNAME", "service account"),
    ],
    ids=["no file", "no table", "no table but a value", "slip", "profile", "number", "empty", "table", "broken",
         "wrong value", "two places", "not there"],
)  # fmt: skip
def test_a_profile_that_cannot_be_used_is_refused(tmp_path: Path, toml: str | None, field: str, words: str) -> None:
    """The error names the key, or the variable that led there, and the file where that helps."""
    if toml is not None:
        write(tmp_path / "home" / ".config" / "seic" / "config.toml", toml)
    environ = {"SEIC_PROFILE": "p", "SEIC_CLIENT_SECRET": SECRET}
    if field in ("p.client_secret", "p.environment"):
        del environ["SEIC_CLIENT_SECRET"]
        environ |= {"SEIC_CLIENT_SECRET": SECRET, "SEIC_USERNAME": "svc", "SEIC_PASSWORD": "pw"}

    error = refused(environ)

    assert error.field == field
    assert words in str(error)


def test_a_file_that_cannot_be_read_names_its_profile(tmp_path: Path) -> None:
    """`from_file` knows no variable, so the profile stands in its place."""
    for path in (tmp_path / "none.toml", write(tmp_path / "bad.toml", "\x00")):
        with pytest.raises(ConfigurationError, match=str(path)) as caught:
            Config.from_file(path)
        assert caught.value.field == "default"


def test_a_missing_key_is_called_as_in_the_file(tmp_path: Path) -> None:
    """`from_file` speaks of keys, not of variables."""
    path = write(tmp_path / "c.toml", "[default]\nclient_secret = 'x'")

    with pytest.raises(ConfigurationError) as caught:
        Config.from_file(path)

    assert caught.value.field == "default.client_id"


@pytest.mark.parametrize("path", ["~nosuchuser/x", "a\0b"], ids=["nobody's home", "NUL"])
def test_a_profile_with_a_path_that_there_cannot_be_is_refused(tmp_path: Path, path: str) -> None:
    """In a table, and as the file of the tables itself."""
    for setting in ("password_file", "certificate", "ca"):
        text = f"[default]\nclient_id = 'x'\nusername = 'u'\n{setting} = {json.dumps(path)}\n"
        if setting != "password_file":
            text += "password = 'p'\n"
        with pytest.raises((ConfigurationError, CertificateError), match=rf"^default\.{setting}: "):
            Config.from_file(write(tmp_path / "c.toml", text), client_secret=SECRET)
    with pytest.raises(ConfigurationError, match=r"^default: ") as caught:
        Config.from_file(path)
    assert caught.value.field == "default"


def test_a_home_that_there_is_not_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container may run as a user that has none."""

    def fail(path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", fail)

    assert refused({**GATEWAY, "SEIC_PROFILE": "p"}).field == "SEIC_PROFILE"

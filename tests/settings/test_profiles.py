"""Profiles in a TOML file, and their precedence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from seic import CertificateError, ClientCredentials, Config, ConfigurationError, Hosts
from tests._support.identities import authority, certificate, issued
from tests._support.settings import CERT, ENCRYPTED_KEY, GATEWAY, PASSPHRASE, PASSWORD, SECRET, refused, revealed, write

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
    """Return a file with two profiles, next to the files that they name, outside the working directory."""
    folder = tmp_path / "home" / ".config" / "seic"
    write(folder / "secrets" / "password", f"{PASSWORD}\n")
    write(folder / "secrets" / "passphrase", f"{PASSPHRASE}\n")
    write(folder / "client.pem", CERT)
    write(folder / "client.key", ENCRYPTED_KEY)
    write(folder / "ca.pem", authority().cert_pem.decode())
    return write(folder / "config.toml", _TABLE)


@pytest.mark.parametrize("text", ['"system,ca.pem"', '["system", "ca.pem"]', '["system", "sub/../ca.pem"]'])
def test_several_authorities(profiles: Path, text: str) -> None:
    """A list, or commas as in the variable; paths are relative to the file."""
    (profiles.parent / "sub").mkdir()
    several = write(profiles.parent / "several.toml", _TABLE.replace('"ca.pem"', text))
    ca: Any = Config.from_file(several, profile="mtls").ca
    first, second = ca
    assert first == "system"
    assert Path(second).samefile(profiles.parent / "ca.pem")


def test_an_authority_with_a_comma_in_its_path(profiles: Path) -> None:
    """In a list it is refused, since commas separate; alone it is a file."""
    write(profiles.parent / "a,b.pem", authority().cert_pem.decode())
    listed = write(profiles.parent / "listed.toml", _TABLE.replace('"ca.pem"', '["system", "a,b.pem"]'))
    with pytest.raises(ConfigurationError, match=r"mtls.ca: must be .* a list of strings without commas") as caught:
        Config.from_file(listed, profile="mtls")
    assert caught.value.field == "mtls.ca"
    alone = write(profiles.parent / "alone.toml", _TABLE.replace('"ca.pem"', '"a,b.pem"'))
    assert Config.from_file(alone, profile="mtls").ca == str(profiles.parent / "a,b.pem")


def test_a_byte_order_mark(profiles: Path) -> None:
    """Editors on Windows write one; it has no meaning in UTF-8."""
    marked = write(profiles.parent / "marked.toml", f"\ufeff{_TABLE}")
    assert Config.from_file(marked) == Config.from_file(profiles)


def test_a_file_has_the_same_settings_as_variables(profiles: Path) -> None:
    """The keys are the names of the variables, and paths are relative to the file."""
    assert revealed(Config.from_file(profiles)) == revealed(Config.from_env(GATEWAY))
    config = Config.from_file(profiles, profile="mtls")
    assert config.certificate == certificate()
    assert config.ca == str(profiles.parent / "ca.pem")
    assert config.base_url == "https://mtls.example:444"
    assert Config.from_file("~/.config/seic/config.toml", environment="test").base_url == "https://test.api.seic.com"


@pytest.mark.parametrize("xdg", [False, True], ids=["home", "XDG_CONFIG_HOME"])
def test_a_variable_selects_a_profile(profiles: Path, tmp_path: Path, xdg: bool) -> None:
    """`SEIC_PROFILE` is sufficient; paths are relative to the file, not to the working directory."""
    environ = {"SEIC_PROFILE": "mtls"}
    if xdg:
        profiles.parent.parent.rename(tmp_path / "xdg")
        environ["XDG_CONFIG_HOME"] = str(tmp_path / "xdg")

    config = Config.from_env(environ)

    assert config.certificate == certificate()
    assert revealed(config)[3:5] == ("svc-user", PASSWORD)


@pytest.mark.usefixtures("profiles")
def test_variables_take_precedence_over_the_profile(tmp_path: Path) -> None:
    """A variable replaces one setting and its dependents: the file of a secret, the key of a certificate."""

    def load(**variables: str) -> Config:
        return Config.from_env({"SEIC_PROFILE": "mtls", **{f"SEIC_{name}": text for name, text in variables.items()}})

    grant = ClientCredentials(username="svc-user", password="other")
    assert load(CLIENT_ID="other").client_id == "other"
    assert load(PASSWORD="other").grant == grant
    assert revealed(load(PASSWORD_FILE=str(write(tmp_path / "p", "other"))))[4] == "other"
    assert revealed(load(CLIENT_SECRET_FILE=str(write(tmp_path / "s", "other"))))[2] == "other"
    assert revealed(load(CLIENT_SECRET_COMMAND="echo other"))[2] == "other"
    assert load(CERTIFICATE_PASSWORD=PASSPHRASE).certificate == certificate()
    other = issued("other")
    combined = other.key_pem.decode() + other.cert_pem.decode()
    assert load(CERTIFICATE=combined).certificate == certificate("other")
    assert load(MTLS_HOST="m.example").hosts == Hosts(api="api.example:8443", mtls="m.example")
    with pytest.raises(ConfigurationError) as caught:
        load(ENVIRONMENT="test")
    assert caught.value.field == "SEIC_MTLS_HOST"  # the hosts of the profile belong to another environment


@pytest.mark.parametrize(
    ("toml", "field", "words"),
    [
        (None, "SEIC_PROFILE", "cannot be read: No such file"),
        ("[other]", "SEIC_PROFILE", "has no table [p]; its tables: other"),
        ("p = 1", "SEIC_PROFILE", "has no table [p]; its tables: none"),
        ("[p]\nclient_secert = 'x'", "p.client_secert", "unknown setting in"),
        ("[p]\nprofile = 'x'", "p.profile", "unknown setting in"),
        ("[p]\nclient_id = 7", "p.client_id", "must be a non-empty string"),
        ("[p]\nclient_id = ''", "p.client_id", "must be a non-empty string"),
        ("[p]\nclient_secret = {}", "p.client_secret", "must be a non-empty string"),
        ("[p]\nclient_secret = 'x", "SEIC_PROFILE", "is not TOML in UTF-8"),
        ("[p]\nenvironment = 'staging'\nclient_id = 'x'", "p.environment", "'staging'"),
        ("[p]\npassword = 'x'\npassword_file = 'y'\nclient_id = 'x'", "p.password_file", "p.password is also set"),
        ("[p]\nclient_id = 'x'", "SEIC_USERNAME", "service account"),
    ],
    ids=["no file", "no table", "a value instead of a table", "misspelt", "profile", "number", "empty", "table",
         "invalid TOML", "unknown value", "twice", "missing"],
)  # fmt: skip
def test_a_profile_that_cannot_be_used_is_refused(tmp_path: Path, toml: str | None, field: str, words: str) -> None:
    """The error names the key, or the variable, and the file if that helps."""
    if toml is not None:
        write(tmp_path / "home" / ".config" / "seic" / "config.toml", toml)
    environ = {"SEIC_PROFILE": "p", "SEIC_CLIENT_SECRET": SECRET}
    if field in ("p.client_secret", "p.environment"):
        del environ["SEIC_CLIENT_SECRET"]
        environ |= {"SEIC_CLIENT_SECRET": SECRET, "SEIC_USERNAME": "svc", "SEIC_PASSWORD": "pw"}

    error = refused(environ)

    assert error.field == field
    assert words in str(error)


def test_an_error_about_an_unreadable_file_names_the_profile(tmp_path: Path) -> None:
    """`from_file` has no variable, so the error names the profile."""
    for path in (tmp_path / "none.toml", write(tmp_path / "bad.toml", "\x00")):
        with pytest.raises(ConfigurationError, match=str(path)) as caught:
            Config.from_file(path)
        assert caught.value.field == "default"


def test_an_error_about_a_missing_key_names_the_key(tmp_path: Path) -> None:
    """Errors of `from_file` name keys, not variables."""
    path = write(tmp_path / "c.toml", "[default]\nclient_secret = 'x'")

    with pytest.raises(ConfigurationError) as caught:
        Config.from_file(path)

    assert caught.value.field == "default.client_id"


@pytest.mark.parametrize("path", ["~nosuchuser/x", "a\0b"], ids=["unknown user", "NUL"])
def test_an_invalid_path_in_a_profile_is_refused(tmp_path: Path, path: str) -> None:
    """As a value in a table, and as the path of the file itself."""
    for setting in ("password_file", "certificate", "ca"):
        text = f"[default]\nclient_id = 'x'\nusername = 'u'\n{setting} = {json.dumps(path)}\n"
        if setting != "password_file":
            text += "password = 'p'\n"
        with pytest.raises((ConfigurationError, CertificateError), match=rf"^default\.{setting}: "):
            Config.from_file(write(tmp_path / "c.toml", text), client_secret=SECRET)
    with pytest.raises(ConfigurationError, match=r"^default: ") as caught:
        Config.from_file(path)
    assert caught.value.field == "default"


def test_a_missing_home_directory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container can run as a user without a home directory."""

    def fail(path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", fail)

    assert refused({**GATEWAY, "SEIC_PROFILE": "p"}).field == "SEIC_PROFILE"


@pytest.mark.parametrize("text", ['"system"', '["system"]'])
def test_the_trust_of_the_system_by_name(profiles: Path, text: str) -> None:
    """The default, written down; the same by a variable."""
    file = write(profiles.parent / "named.toml", _TABLE.replace('"ca.pem"', text))
    assert Config.from_file(file, profile="mtls").ca == ("system",)
    assert Config.from_env({**GATEWAY, "SEIC_CA": "system"}).ca == ("system",)

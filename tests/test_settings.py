from __future__ import annotations

import base64
import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from seic._config import Config
from seic._errors import CertificateError, ConfigurationError
from seic._model.grants import AuthorizationCode, ClientCredentials, Grant, Password, RefreshToken, Saml2Bearer
from seic._model.hosts import Hosts
from seic._oauth.providers import OAUTH2, SEI_GATEWAY, SEI_PLATFORM
from seic._tokens.store import MemoryStore
from tests._support.identities import authority, certificate, issued
from tests._support.reports import report

_SECRET = "app-Secret-5f1d"
_PASSWORD = "pass-Word-9c2e"
_PASSPHRASE = "key-Phrase-77aa"
_GATEWAY = {
    "SEIC_CLIENT_ID": "app-key",
    "SEIC_CLIENT_SECRET": _SECRET,
    "SEIC_USERNAME": "svc-user",
    "SEIC_PASSWORD": _PASSWORD,
}
_CERT = issued().cert_pem.decode()
_KEY = issued().key_pem.decode()
_ENCRYPTED_KEY = issued().encode_key(_PASSPHRASE.encode()).decode()


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the user's own profiles and variables out, and relative paths in a folder of the test's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def refused(environ: dict[str, str], **changes: Any) -> ConfigurationError:
    """The error that the variables lead to; its text opens with the name of the one at fault."""
    with pytest.raises(ConfigurationError) as caught:
        Config.from_env(environ, **changes)
    assert str(caught.value).startswith(f"{caught.value.field}: ")
    return caught.value


def write(path: Path, text: str) -> Path:
    """Write a file, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


# Variables


def test_the_gateway_is_the_default_provider() -> None:
    """Four variables are enough; everything else is as in `Config`."""
    assert Config.from_env(_GATEWAY) == Config(
        provider=SEI_GATEWAY,
        client_id="app-key",
        client_secret=_SECRET,
        grant=ClientCredentials(username="svc-user", password=_PASSWORD),
    )


def test_each_variable_reaches_its_setting(tmp_path: Path) -> None:
    """Every variable there is, at once."""
    paths = {
        "SEIC_CERTIFICATE": write(tmp_path / "c.pem", _CERT),
        "SEIC_CERTIFICATE_KEY": write(tmp_path / "k.pem", _ENCRYPTED_KEY),
        "SEIC_CA": write(tmp_path / "ca.pem", authority().cert_pem.decode()),
    }
    config = Config.from_env({
        **_GATEWAY,
        "SEIC_PROVIDER": "sei-platform",
        "SEIC_ENVIRONMENT": "test",
        **{name: str(path) for name, path in paths.items()},
        "SEIC_CERTIFICATE_PASSWORD": _PASSPHRASE,
        "SEIC_API_HOST": "api.example:8443",
        "SEIC_MTLS_HOST": "https://mtls.example:444",
        "SEIC_STORE": "memory",
    })  # fmt: skip

    assert config.provider is SEI_PLATFORM
    assert config.environment == "test"
    assert config.client_id == "app-key"
    assert config.client_secret == _SECRET
    assert config.grant == ClientCredentials(username="svc-user", password=_PASSWORD)
    assert config.certificate == certificate()
    assert config.ca == str(paths["SEIC_CA"])
    assert config.hosts == Hosts(api="api.example:8443", mtls="mtls.example:444")
    assert config.base_url == "https://mtls.example:444"
    assert isinstance(config.store, MemoryStore)


@pytest.mark.parametrize("name", ["SEIC_PROVIDER", "SEIC_ENVIRONMENT", "SEIC_CERTIFICATE", "SEIC_CA", "SEIC_PROFILE"])
def test_an_empty_variable_is_not_set(name: str) -> None:
    """Compose files and shells set a variable to nothing where they mean to leave it out."""
    assert Config.from_env({**_GATEWAY, name: ""}) == Config.from_env(_GATEWAY)


def test_one_host_of_ones_own_leaves_none_of_the_environments() -> None:
    """A certificate with `SEIC_API_HOST` alone does not go to production's mutual-TLS host."""
    error = refused(
        {**_GATEWAY, "SEIC_API_HOST": "localhost:1", "SEIC_CERTIFICATE": _CERT, "SEIC_CERTIFICATE_KEY": _KEY}
    )

    assert error.field == "SEIC_MTLS_HOST"


def test_a_plain_provider_needs_no_service_account() -> None:
    """What the provider's form has no field for is not asked for."""
    config = Config.from_env({
        "SEIC_PROVIDER": "oauth2",
        "SEIC_CLIENT_ID": "id",
        "SEIC_CLIENT_SECRET": _SECRET,
        "SEIC_API_HOST": "idp.example",
    })  # fmt: skip

    assert config.provider is OAUTH2
    assert config.grant == ClientCredentials()


_HOSTS = {"SEIC_API_HOST": "localhost:8443", "SEIC_MTLS_HOST": "localhost:8444"}


@pytest.mark.parametrize(
    ("variables", "field", "words"),
    [
        ({"SEIC_CLIENT_ID": ""}, "SEIC_CLIENT_ID", "AppKey"),
        ({"SEIC_CLIENT_ID": "two words"}, "SEIC_CLIENT_ID", "visible ASCII"),
        ({"SEIC_CLIENT_SECRET": ""}, "SEIC_CLIENT_SECRET", "missing"),
        ({"SEIC_CLIENT_SECRET": "x\n"}, "SEIC_CLIENT_SECRET", "line end"),
        ({"SEIC_USERNAME": ""}, "SEIC_USERNAME", "service account"),
        ({"SEIC_PASSWORD": ""}, "SEIC_PASSWORD", "service account"),
        ({"SEIC_PROVIDER": "SEI-Gateway"}, "SEIC_PROVIDER", "sei-gateway or sei-platform or oauth2"),
        ({"SEIC_ENVIRONMENT": "staging"}, "SEIC_ENVIRONMENT", "'production' or 'test'"),
        ({"SEIC_STORE": "redis"}, "SEIC_STORE", "take memory"),
        ({"SEIC_API_HOST": "http://localhost:1"}, "SEIC_API_HOST", "http://localhost:1 is not https"),
        ({"SEIC_API_HOST": "http://api.example"}, "SEIC_API_HOST", "http://api.example is not https"),
        ({"SEIC_API_HOST": "a.example/path"}, "SEIC_API_HOST", "without a path"),
        ({"SEIC_API_HOST": "a.example", "SEIC_MTLS_HOST": "m.example:0"}, "SEIC_MTLS_HOST", "port 0"),
        ({"SEIC_MTLS_HOST": "m.example"}, "SEIC_API_HOST", "mutual-TLS host only"),
        ({"SEIC_CERTIFICATE_KEY": _KEY}, "SEIC_CERTIFICATE", "SEIC_CERTIFICATE_KEY is set"),
        ({"SEIC_CERTIFICATE_PASSWORD": _PASSPHRASE}, "SEIC_CERTIFICATE", "SEIC_CERTIFICATE_PASSWORD is set"),
        (
            {"SEIC_ENVIRONMENT": "test", "SEIC_CERTIFICATE": _CERT, "SEIC_CERTIFICATE_KEY": _KEY},
            "SEIC_MTLS_HOST",
            "no documented mutual-TLS host",
        ),
        ({"SEIC_PROVIDER": "oauth2", "SEIC_API_HOST": "a.example"}, "SEIC_USERNAME", "leave username"),
        ({"SEIC_PROVIDER": "oauth2", "SEIC_USERNAME": "", "SEIC_PASSWORD": ""}, "SEIC_API_HOST", "SEIC_MTLS_HOST"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else value,
)
def test_an_error_names_the_variable(variables: dict[str, str], field: str, words: str) -> None:
    """Whoever set variables reads their names, not those of arguments, and what to do."""
    error = refused({**_GATEWAY, **variables})

    assert error.field == field
    assert words in str(error)


@pytest.mark.parametrize(
    "grant",
    [
        RefreshToken(refresh_token="r"),
        AuthorizationCode(code="c"),
        Saml2Bearer(saml_assertion=b"<a/>"),
        ClientCredentials(username="other@example.com", password=lambda: _PASSWORD),
    ],
    ids=lambda grant: type(grant).__name__,
)
def test_any_grant_in_code_with_the_rest_from_elsewhere(grant: Grant, tmp_path: Path) -> None:
    """What the caller gives stands above account and password, which may be set or not, in variables and files."""
    bare = {"SEIC_PROVIDER": "sei-platform", "SEIC_CLIENT_ID": "id", "SEIC_CLIENT_SECRET": "s"}
    for environ in (bare, {**bare, "SEIC_USERNAME": "svc-user", "SEIC_PASSWORD_FILE": "/no/such/file"}):
        config = Config.from_env(environ, grant=grant)
        assert (config.grant, config.client_id) == (grant, "id")
        file = write(
            tmp_path / "seic.toml",
            "\n".join(
                ["[default]", *(f'{name.removeprefix("SEIC_").lower()} = "{text}"' for name, text in environ.items())]
            ),
        )
        assert Config.from_file(file, grant=grant).grant == grant


@pytest.mark.parametrize(
    ("grant", "words"),
    [
        ("refresh_token", "must be a grant such as seic.ClientCredentials"),
        (RefreshToken, "not the class RefreshToken"),
        (None, "not NoneType"),
        (Password(username="u", password="p"), "does not offer password; it offers"),
        (RefreshToken(refresh_token=""), "needs a refresh token"),
    ],
    ids=["a word", "a class", "nothing", "one that is not offered", "an empty one"],
)
def test_a_grant_in_code_that_cannot_work(grant: Any, words: str) -> None:
    """The error names the argument, and no variable."""
    error = refused({"SEIC_PROVIDER": "sei-platform", "SEIC_CLIENT_ID": "i", "SEIC_CLIENT_SECRET": "s"}, grant=grant)
    assert (error.field or "").startswith("grant")
    assert words in str(error)
    assert "SEIC_" not in str(error)


@pytest.mark.parametrize(
    "name", ["SEIC_GRANT", "SEIC_GRANT_TYPE", "SEIC_REFRESH_TOKEN", "SEIC_CODE", "SEIC_SAML_ASSERTION_FILE"]
)
def test_a_variable_for_another_grant(name: str, tmp_path: Path) -> None:
    """Whoever looks for one is told where grants are stated."""
    assert "grant=seic.RefreshToken(" in str(refused({**_GATEWAY, name: "x"}))
    file = write(tmp_path / "seic.toml", f'[default]\n{name.removeprefix("SEIC_").lower()} = "x"')
    with pytest.raises(ConfigurationError, match="grant=seic"):
        Config.from_file(file)


def test_an_account_is_called_what_the_provider_calls_it() -> None:
    """The platform knows an email, and its user no username."""
    platform = {"SEIC_PROVIDER": "sei-platform", "SEIC_CLIENT_ID": "i", "SEIC_CLIENT_SECRET": "s"}
    error = refused(platform)
    assert error.field == "SEIC_USERNAME"
    assert "SEI platform needs the email of a service account" in str(error)
    assert "password of a service account" in str(refused({**platform, "SEIC_USERNAME": "a@example.com"}))


def test_an_error_names_the_argument_that_the_caller_gave() -> None:
    """What stands above the variables is called as it was written."""
    assert refused(_GATEWAY, environment="staging").field == "environment"
    assert refused({**_GATEWAY, **_HOSTS}, grant=ClientCredentials()).field == "grant.username"


def test_what_the_caller_gives_is_not_looked_for() -> None:
    """A variable that is missing or broken does not stand in the way of what replaces it."""
    broken = {
        "SEIC_PROVIDER": "nobody",
        "SEIC_CLIENT_SECRET_FILE": "/nonexistent",
        "SEIC_PASSWORD_FILE": "/nonexistent",
        "SEIC_CERTIFICATE": "/nonexistent",
        "SEIC_API_HOST": "a b",
        "SEIC_STORE": "nowhere",
    }
    settings: dict[str, Any] = {
        "provider": OAUTH2,
        "hosts": Hosts(api="a.example"),
        "client_id": "id",
        "client_secret": _SECRET,
        "grant": ClientCredentials(),
        "certificate": None,
        "store": None,
    }

    assert Config.from_env(broken, **settings) == Config(**settings)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("SEIC_CERTFICATE", "SEIC_CERTIFICATE"),
        ("SEIC_ENVIROMENT", "SEIC_ENVIRONMENT"),
        ("SEIC_CERTIFICATE_FILE", "SEIC_CERTIFICATE"),
        ("SEIC_CA_FILE", "SEIC_CA"),
        ("SEIC_MTLSHOST", "SEIC_MTLS_HOST"),
        ("SEIC_PROFIL", "SEIC_PROFILE"),
        ("seic_certificate", "SEIC_CERTIFICATE"),
    ],
)
def test_a_slip_in_a_name_is_refused(name: str, nearest: str) -> None:
    """A certificate that nobody reads would mean another host; the error says which name was most likely meant."""
    error = refused({**_GATEWAY, name: _SECRET})

    assert error.field == name
    assert f"did you mean {nearest}?" in str(error)


def test_a_name_like_no_other_is_told_those_that_there_are() -> None:
    """Nothing is guessed where nothing is near."""
    error = refused({**_GATEWAY, "SEIC_QQQQQQQQ": "x"})

    assert error.field == "SEIC_QQQQQQQQ"
    assert "did you mean" not in str(error)
    assert "SEIC_API_HOST, SEIC_CA, SEIC_CERTIFICATE," in str(error)


def test_of_several_slips_the_first_is_named_whoever_replaces_what() -> None:
    """The same variables give the same error, and an argument in place of one does not hide it."""
    error = refused({**_GATEWAY, "SEIC_STOR": "memory", "SEIC_CERTFICATE": "x"}, certificate=None)

    assert error.field == "SEIC_CERTFICATE"


@pytest.mark.parametrize(
    "name",
    [
        "SEIC_SERVICE_HOST",
        "SEIC_SERVICE_PORT",
        "SEIC_GATEWAY_SERVICE_PORT_HTTPS",
        "SEIC_PORT",
        "SEIC_PORT_443_TCP",
        "SEIC_GATEWAY_PORT_443_TCP_ADDR",
        "SEICX_CERTFICATE",
        "MY_SEIC_CERTFICATE",
    ],
)
def test_what_others_set_is_left_alone(name: str) -> None:
    """Kubernetes gives each pod variables for the services beside it, and one may be called seic."""
    assert Config.from_env({**_GATEWAY, name: "tcp://10.0.0.1:443"}) == Config.from_env(_GATEWAY)


def test_an_unknown_variable_that_is_empty_is_not_set() -> None:
    """As with any other, nothing in it is nothing said."""
    assert Config.from_env({**_GATEWAY, "SEIC_CERTFICATE": ""}) == Config.from_env(_GATEWAY)


# Material in variables


@pytest.mark.parametrize(
    "spell",
    [lambda pem: pem, lambda pem: pem.replace("\n", "\\n"), lambda pem: pem.replace("\n", "\r\n")],
    ids=["as it is", "backslash n", "CRLF"],
)
def test_pem_may_stand_in_a_variable(spell: Any) -> None:
    """Certificate, key and CA as text, with whatever the file of variables made of the line ends."""
    ca = authority().cert_pem.decode()
    config = Config.from_env({
        **_GATEWAY,
        "SEIC_CERTIFICATE": spell(_CERT),
        "SEIC_CERTIFICATE_KEY": spell(_ENCRYPTED_KEY),
        "SEIC_CERTIFICATE_PASSWORD": _PASSPHRASE,
        "SEIC_CA": spell(ca),
    })  # fmt: skip

    assert config.certificate == certificate()
    assert isinstance(config.ca, bytes)
    assert config.ca.decode().replace("\r\n", "\n") == ca


def test_key_and_certificate_may_stand_in_one_variable() -> None:
    """A combined PEM needs no second variable."""
    assert Config.from_env({**_GATEWAY, "SEIC_CERTIFICATE": _KEY + _CERT}).certificate == certificate()


@pytest.mark.parametrize(
    ("variables", "name", "reason", "remedy"),
    [
        ({"SEIC_CERTIFICATE": "/nonexistent/client.pem"}, "", "not-found", "check the path"),
        ({"SEIC_CERTIFICATE": _CERT}, "", "no-key", "pass SEIC_CERTIFICATE_KEY with the key's file"),
        ({"SEIC_CERTIFICATE": _KEY}, "", "key-as-certificate", "the key as SEIC_CERTIFICATE_KEY"),
        ({"SEIC_CERTIFICATE_KEY": "/nonexistent/client.key"}, "_KEY", "not-found", "check the path"),
        ({"SEIC_CERTIFICATE_KEY": _CERT}, "_KEY", "certificate-as-key", "the key's file as SEIC_CERTIFICATE_KEY"),
        (
            {"SEIC_CERTIFICATE_KEY": _ENCRYPTED_KEY},
            "_PASSWORD",
            "passphrase-missing",
            "pass SEIC_CERTIFICATE_PASSWORD with it",
        ),
        (
            {"SEIC_CERTIFICATE_KEY": _ENCRYPTED_KEY, "SEIC_CERTIFICATE_PASSWORD": "x"},
            "_PASSWORD",
            "passphrase-wrong",
            "check SEIC_CERTIFICATE_PASSWORD",
        ),
        (
            {"SEIC_CERTIFICATE": issued("other").cert_pem.decode(), "SEIC_CERTIFICATE_KEY": _KEY},
            "",
            "key-mismatch",
            "",
        ),
    ],
    ids=["no file", "no key", "key first", "no key's file", "certificate twice", "no passphrase", "wrong passphrase",
         "another's key"],
)  # fmt: skip
def test_a_certificate_that_cannot_work_names_the_variable(
    variables: dict[str, str], name: str, reason: str, remedy: str
) -> None:
    """The error stays a CertificateError with its reason, and says which variable led there and which one helps."""
    with pytest.raises(CertificateError) as caught:
        Config.from_env({**_GATEWAY, "SEIC_CERTIFICATE": _CERT, **variables})

    assert str(caught.value).startswith(f"SEIC_CERTIFICATE{name}: ")
    assert caught.value.reason == reason
    assert remedy in str(caught.value)
    assert "=…" not in str(caught.value)


def test_a_passphrase_from_a_file_is_found_fault_with_under_the_files_name(tmp_path: Path) -> None:
    """The variable that there is, and not the one that there is not."""
    path = write(tmp_path / "secret", "wrong")
    environ = {**_GATEWAY, "SEIC_CERTIFICATE": _CERT, "SEIC_CERTIFICATE_KEY": _ENCRYPTED_KEY}

    with pytest.raises(CertificateError, match=r"^SEIC_CERTIFICATE_PASSWORD_FILE: .*check SEIC_CERTIFICATE_PASSWORD_F"):
        Config.from_env({**environ, "SEIC_CERTIFICATE_PASSWORD_FILE": str(path)})


@pytest.mark.parametrize(
    "ca", ["nope.pem", "~nosuchuser/x", "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----"]
)
def test_a_ca_that_cannot_work_names_the_variable(ca: str) -> None:
    """The authorities are looked at with everything else, and not by the first call."""
    with pytest.raises(CertificateError, match=r"^SEIC_CA: "):
        Config.from_env({**_GATEWAY, "SEIC_CA": ca})
    with pytest.raises(CertificateError, match=r"^ca: "):
        Config.from_env(_GATEWAY, ca=ca)


def test_relative_paths_start_where_the_process_is(tmp_path: Path) -> None:
    """A path in a variable means what it means in the shell; a tilde is the home."""
    write(tmp_path / "client.pem", _KEY + _CERT)
    write(tmp_path / "home" / "client.pem", _KEY + _CERT)

    for path in ("client.pem", "./client.pem", "~/client.pem"):
        assert Config.from_env({**_GATEWAY, "SEIC_CERTIFICATE": path}).certificate == certificate()


# Secrets in files


@pytest.mark.parametrize("name", ["SEIC_CLIENT_SECRET", "SEIC_PASSWORD", "SEIC_CERTIFICATE_PASSWORD"])
@pytest.mark.parametrize(
    "content", ["{}", "{}\n", "{}\r\n", "{}\n\n", "\ufeff{}\n"], ids=["bare", "LF", "CRLF", "two LF", "BOM"]
)
def test_a_secret_may_stand_in_a_file(tmp_path: Path, name: str, content: str) -> None:
    """Each secret has its `_FILE`; the line end that an editor leaves is no part of it."""
    environ = {**_GATEWAY, "SEIC_CERTIFICATE": _CERT, "SEIC_CERTIFICATE_KEY": _ENCRYPTED_KEY}
    environ["SEIC_CERTIFICATE_PASSWORD"] = _PASSPHRASE
    expected = Config.from_env(environ)
    secret = environ.pop(name)
    environ[f"{name}_FILE"] = str(write(tmp_path / "secret", content.format(secret)))

    assert Config.from_env(environ) == expected


def test_spaces_within_a_secret_are_its_own(tmp_path: Path) -> None:
    """Only line ends are taken off, and only at the end."""
    environ = {**_GATEWAY, "SEIC_PASSWORD": ""}
    environ["SEIC_PASSWORD_FILE"] = str(write(tmp_path / "secret", " pass word\t\n"))

    assert Config.from_env(environ).grant == ClientCredentials(username="svc-user", password=" pass word\t")


@pytest.mark.parametrize("name", ["SEIC_CLIENT_SECRET", "SEIC_PASSWORD", "SEIC_CERTIFICATE_PASSWORD"])
def test_a_secret_in_two_places_is_refused(tmp_path: Path, name: str) -> None:
    """Which of two secrets was meant cannot be known, even where they are the same."""
    environ = {**_GATEWAY, "SEIC_CERTIFICATE": _CERT, "SEIC_CERTIFICATE_KEY": _ENCRYPTED_KEY, name: _PASSPHRASE}
    error = refused({**environ, f"{name}_FILE": str(write(tmp_path / "secret", _PASSPHRASE))})

    assert error.field == f"{name}_FILE"
    assert f"{name} is set too" in str(error)


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "cannot be read: No such file"), (b"", "is empty"), (b"\r\n", "is empty"), (b"\xff\xfe", "UTF-8")],
    ids=["no file", "empty", "a line end", "no text"],
)
def test_a_secret_file_that_holds_none_is_refused(tmp_path: Path, content: bytes | None, words: str) -> None:
    """The error names the variable and the file."""
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    error = refused({**_GATEWAY, "SEIC_PASSWORD": "", "SEIC_PASSWORD_FILE": str(path)})

    assert error.field == "SEIC_PASSWORD_FILE"
    assert f"{path} " in str(error)
    assert words in str(error)


def test_a_secret_from_a_file_is_found_fault_with_under_the_files_name(tmp_path: Path) -> None:
    """Who wrote the file's name into a variable is told that variable."""
    path = write(tmp_path / "secret", "two\nlines")

    error = refused({**_GATEWAY, "SEIC_CLIENT_SECRET": "", "SEIC_CLIENT_SECRET_FILE": str(path)})

    assert error.field == "SEIC_CLIENT_SECRET_FILE"


def test_a_key_needs_no_file_variable_of_its_own(tmp_path: Path) -> None:
    """`SEIC_CERTIFICATE_KEY` takes the file's path itself."""
    key = write(tmp_path / "client.key", _KEY)

    config = Config.from_env({**_GATEWAY, "SEIC_CERTIFICATE": _CERT, "SEIC_CERTIFICATE_KEY": str(key)})

    assert config.certificate == certificate()


# Files


_TABLE = f"""
[default]
client_id = "app-key"
client_secret = "{_SECRET}"
username = "svc-user"
password_file = "secrets/password"

[mtls]
client_id = "app-key"
client_secret = "{_SECRET}"
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
    write(folder / "secrets" / "password", f"{_PASSWORD}\n")
    write(folder / "secrets" / "passphrase", f"{_PASSPHRASE}\n")
    write(folder / "client.pem", _CERT)
    write(folder / "client.key", _ENCRYPTED_KEY)
    write(folder / "ca.pem", authority().cert_pem.decode())
    return write(folder / "config.toml", _TABLE)


def test_a_file_states_what_the_variables_state(profiles: Path) -> None:
    """The keys are the variables' names, and paths are relative to the file."""
    assert Config.from_file(profiles) == Config.from_env(_GATEWAY)
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
    assert config.grant == ClientCredentials(username="svc-user", password=_PASSWORD)


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
    assert load(CERTIFICATE_PASSWORD=_PASSPHRASE).certificate == certificate()
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
    environ = {"SEIC_PROFILE": "p", "SEIC_CLIENT_SECRET": _SECRET}
    if field in ("p.client_secret", "p.environment"):
        del environ["SEIC_CLIENT_SECRET"]
        environ |= {"SEIC_CLIENT_SECRET": _SECRET, "SEIC_USERNAME": "svc", "SEIC_PASSWORD": "pw"}

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


@pytest.mark.parametrize("path", ["~nosuchuser/x", "a\0b", "a\ud800b"], ids=["nobody's home", "NUL", "no text"])
@pytest.mark.parametrize("name", ["SEIC_PASSWORD_FILE", "SEIC_CERTIFICATE", "SEIC_CERTIFICATE_KEY"])
def test_a_path_that_there_cannot_be_names_the_variable(name: str, path: str) -> None:
    """What Python says of such a path is no error of seic's, so it is said in its place."""
    environ = {**_GATEWAY, "SEIC_PASSWORD": "" if name == "SEIC_PASSWORD_FILE" else _PASSWORD}
    if name == "SEIC_CERTIFICATE_KEY":
        environ["SEIC_CERTIFICATE"] = _CERT

    with pytest.raises((ConfigurationError, CertificateError), match=f"^{name}: ") as caught:
        Config.from_env({**environ, name: path})

    assert _SECRET not in report(caught.value)


@pytest.mark.parametrize("path", ["~nosuchuser/x", "a\0b"], ids=["nobody's home", "NUL"])
def test_a_profile_with_a_path_that_there_cannot_be_is_refused(tmp_path: Path, path: str) -> None:
    """In a table, and as the file of the tables itself."""
    for setting in ("password_file", "certificate", "ca"):
        text = f"[default]\nclient_id = 'x'\nusername = 'u'\n{setting} = {json.dumps(path)}\n"
        if setting != "password_file":
            text += "password = 'p'\n"
        with pytest.raises((ConfigurationError, CertificateError), match=rf"^default\.{setting}: "):
            Config.from_file(write(tmp_path / "c.toml", text), client_secret=_SECRET)
    with pytest.raises(ConfigurationError, match=r"^default: ") as caught:
        Config.from_file(path)
    assert caught.value.field == "default"


def test_a_home_that_there_is_not_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container may run as a user that has none."""

    def fail(path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", fail)

    assert refused({**_GATEWAY, "SEIC_PROFILE": "p"}).field == "SEIC_PROFILE"


@pytest.mark.parametrize("keyword", ["clientid", "password"])
def test_a_keyword_that_there_is_not_takes_no_secret_along(keyword: str) -> None:
    """It is a TypeError, as with any call."""
    with pytest.raises(TypeError, match=keyword) as caught:
        Config.from_env({**_GATEWAY}, **{keyword: _SECRET})

    assert _SECRET not in report(caught.value)
    assert _PASSWORD not in report(caught.value)


# Secrets


@pytest.mark.parametrize(
    "variables",
    [
        {"SEIC_CLIENT_ID": ""},
        {"SEIC_PROVIDER": _SECRET},
        {"SEIC_STORE": _SECRET},
        {"SEIC_API_HOST": f"https://user:{_PASSWORD}@api.example"},
        {"SEIC_API_HOST": f"https://user:{_PASSWORD}@[api"},
        {"SEIC_CLIENT_SECRET": f"{_SECRET}\n"},
        {"SEIC_PASSWORD_FILE": "also"},
        {"SEIC_CERTIFICATE": _CERT, "SEIC_CERTIFICATE_KEY": _ENCRYPTED_KEY},
        {"SEIC_CERTIFICATE": _CERT, "SEIC_CERTIFICATE_KEY": base64.b64encode(_KEY.encode()).decode() + "="},
        {"SEIC_CERTIFICATE": _KEY, "SEIC_CERTIFICATE_KEY": _KEY},
        {"SEIC_CERTIFICATE_KEY": _KEY},
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
def test_an_error_takes_no_secret_along(tmp_path: Path, variables: dict[str, str]) -> None:
    """A report with the variables of every frame, causes and contexts included, shows none; nor does a pickle."""
    write(tmp_path / "home" / ".config" / "seic" / "config.toml", f"[broken]\npassword = '{_PASSWORD}")
    environ = {**_GATEWAY, "SEIC_CERTIFICATE_PASSWORD": f"{_PASSPHRASE}-wrong", **variables}
    with pytest.raises((ConfigurationError, CertificateError)) as caught:
        Config.from_env(environ)
    written, pickled = report(caught.value), pickle.dumps(caught.value)

    assert "in called" in written  # the frames that are the SDK's are there
    lines = [line for line in _KEY.splitlines() if "-----" not in line]
    for secret in (_SECRET, _PASSWORD, _PASSPHRASE, *lines, base64.b64encode(_KEY.encode()).decode()[:60]):
        assert secret not in written
        assert secret.encode() not in pickled

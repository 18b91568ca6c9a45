"""docs/settings.md is generated from the table of settings, and each example of the table works."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import pytest

import seic
from tests._support.documents import ROOT
from tests._support.identities import issued
from tests._support.settings_page import PAGE, page

_ROW = re.compile(r"^\| `(SEIC_\w+)`.*? \| `(\w+)` \| .* \| `([^`]*)` \| [^|]*\|$", re.MULTILINE)
_EXAMPLES = [(variable, example) for variable, _, example in _ROW.findall(PAGE.read_text(encoding="utf-8"))]
#: The settings that an example needs to be in use.
_PLAIN = {
    "SEIC_PROVIDER": "oauth2",
    "SEIC_CLIENT_ID": "id",
    "SEIC_CLIENT_SECRET": "a secret of thirty-two characters",
    "SEIC_API_HOST": "api.example.com",
}
_EXCHANGE = {"SEIC_GRANT": "token-exchange", "SEIC_SUBJECT_TOKEN": "t"}
_GRANTS = {
    "SEIC_USERNAME": {"SEIC_GRANT": "password", "SEIC_PASSWORD": "p"},
    "SEIC_PASSWORD": {"SEIC_GRANT": "password", "SEIC_USERNAME": "u"},
    "SEIC_REFRESH_TOKEN": {"SEIC_GRANT": "refresh_token"},
    "SEIC_ASSERTION": {"SEIC_GRANT": "jwt-bearer"},
    "SEIC_GRANT": _EXCHANGE,
    "SEIC_SUBJECT": _EXCHANGE,
    "SEIC_SUBJECT_TOKEN": _EXCHANGE,
    "SEIC_SUBJECT_TOKEN_TYPE": _EXCHANGE,
    "SEIC_ACTOR_TOKEN": _EXCHANGE,
    "SEIC_ACTOR_TOKEN_TYPE": {**_EXCHANGE, "SEIC_ACTOR_TOKEN": "t"},
    "SEIC_REQUESTED_TOKEN_TYPE": _EXCHANGE,
}
#: Examples that are the default as well, or leave the configuration as it is.
_DEFAULTS = {"access_token", "sei-gateway", "30"}
_SIGNED = {"SEIC_CLIENT_AUTH": "private_key_jwt", "SEIC_CLIENT_KEY": "signing.key"}
_FURTHER = {
    **_GRANTS,
    "SEIC_PROVIDER": {"SEIC_USERNAME": "u", "SEIC_PASSWORD": "p"},
    "SEIC_ENVIRONMENT": {"SEIC_PROVIDER": "sei-gateway", "SEIC_USERNAME": "u", "SEIC_PASSWORD": "p"},
    "SEIC_ISSUER": {"SEIC_PROVIDER": ""},
    "SEIC_TOKEN_URL": {"SEIC_PROVIDER": ""},
    "SEIC_CERTIFICATE_KEY": {"SEIC_CERTIFICATE": "client.pem", "SEIC_MTLS_HOST": "mtls.example.com"},
    "SEIC_CERTIFICATE_PASSWORD": {
        "SEIC_CERTIFICATE": "client.pem",
        "SEIC_CERTIFICATE_KEY": "encrypted.key",
        "SEIC_MTLS_HOST": "mtls.example.com",
    },
    "SEIC_CERTIFICATE_WAIT": {
        "SEIC_CERTIFICATE": "client.pem",
        "SEIC_CERTIFICATE_KEY": "client.key",
        "SEIC_MTLS_HOST": "mtls.example.com",
    },
    "SEIC_CERTIFICATE": {"SEIC_CERTIFICATE_KEY": "client.key", "SEIC_MTLS_HOST": "mtls.example.com"},
    "SEIC_STORE": {"SEIC_STORE_KEY": "k" * 32},
    "SEIC_STORE_KEY": {"SEIC_STORE": "redis://redis.example:6379/0"},
    "SEIC_CLIENT_AUTH": _SIGNED,
    "SEIC_CLIENT_KEY": _SIGNED,
    "SEIC_CLIENT_KEY_ID": _SIGNED,
    "SEIC_CLIENT_KEY_PASSWORD": {**_SIGNED, "SEIC_CLIENT_KEY": "encrypted.key"},
    "SEIC_CLIENT_KEY_ALGORITHM": {"SEIC_CLIENT_AUTH": "private_key_jwt", "SEIC_CLIENT_KEY": "rsa.key"},
    "SEIC_CLIENT_ASSERTION_AUDIENCE": _SIGNED,
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Provide the files that examples name."""
    monkeypatch.chdir(tmp_path)
    pair = issued()
    files = {
        "client.pem": pair.cert_pem,
        "client.key": pair.key_pem,
        "signing.key": pair.key_pem,
        "encrypted.key": pair.encode_key(b"passphrase"),
        "rsa.key": (ROOT / "certs-sample" / "client-rsa.key").read_bytes(),
        "corporate.pem": (ROOT / "certs-sample" / "ca.pem").read_bytes(),
        "my-ca.pem": (ROOT / "certs-sample" / "ca.pem").read_bytes(),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        (tmp_path / name).chmod(0o600)


def test_the_page_is_generated() -> None:
    """`nox -s settings` writes it again."""
    assert PAGE.read_text(encoding="utf-8") == page()


def test_the_page_has_each_variable() -> None:
    """They are those that an error about an unknown variable lists."""
    with pytest.raises(seic.ConfigurationError) as caught:
        seic.Config.from_env({"SEIC_ZZZZZZZZZZZZ": "x"})
    known = str(caught.value).partition("known variables: ")[2].partition(";")[0].split(", ")
    assert {variable for variable, _ in _EXAMPLES} == {*known} - {"SEIC_PROFILE"}


@pytest.mark.parametrize(("variable", "example"), _EXAMPLES, ids=[variable for variable, _ in _EXAMPLES])
def test_an_example_changes_the_configuration(variable: str, example: str) -> None:
    """It is valid, and it is not ignored."""
    environ = {**_PLAIN, **_FURTHER.get(variable, {}), variable: example}
    config = seic.Config.from_env(environ)
    # Without it there is another configuration, or none.
    with contextlib.suppress(seic.ConfigurationError, seic.CertificateError):
        assert seic.Config.from_env({**environ, variable: ""}) != config or example in _DEFAULTS


@pytest.mark.parametrize(("variable", "example"), _EXAMPLES, ids=[variable for variable, _ in _EXAMPLES])
def test_a_profile_has_the_same_keys(variable: str, example: str, tmp_path: Path) -> None:
    """The key is the variable in lower case, and means the same."""
    environ = {**_PLAIN, **_FURTHER.get(variable, {}), variable: example}
    lines = [f"{name.removeprefix('SEIC_').lower()} = '{text}'" for name, text in environ.items() if text]
    (tmp_path / "p.toml").write_text("\n".join(["[default]", *lines]))
    by_file, by_variables = seic.Config.from_file("p.toml"), seic.Config.from_env(environ)
    for name in ("provider", "hosts", "client_id", "grant", "certificate", "token_timeout", "proxy", "trust_env"):
        mine, theirs = getattr(by_file, name), getattr(by_variables, name)
        assert str(mine).replace(str(tmp_path) + "/", "") == str(theirs)

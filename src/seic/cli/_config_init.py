"""`seic config init`: the questions for a profile, and the files with the answers."""

from __future__ import annotations

import getpass
import json
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

from seic._errors import ConfigurationError, SeicError
from seic._files import read_toml, write_private
from seic._settings import profiles_path
from seic.cli._configuration import environment_of
from seic.cli._exit_code import ExitCode
from seic.cli._terminal import Terminal

_PROVIDERS = ("sei-gateway", "sei-platform", "oauth2")


def write_profile(options: Namespace, terminal: Terminal) -> int:
    """Ask, and write the profile and the files of its secrets.

    Raises:
        ConfigurationError: There is no terminal, or the profile exists.
    """
    if not sys.stdin.isatty():
        raise ConfigurationError(
            "config init: asks questions, so it needs a terminal; without one, write the file that `seic config path` "
            "names, or set SEIC_* variables",
            field="stdin",
        )
    name = options.profile or options.name
    if not name.replace("-", "").replace("_", "").isalnum() or not name.isascii():
        raise ConfigurationError("name: a profile's name has letters, digits, - and _ only", field="name")
    path = profiles_path(environment_of(options))
    existing = (read_toml(path) if path.exists() else {}) or {}
    if name in existing:
        raise ConfigurationError(f"{path}: has a profile [{name}] already; edit it, or choose another name", field=name)
    settings, secrets = _ask()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    for setting, secret in secrets.items():
        file = path.parent / f"{name}.{setting}"
        write_private(file, secret)
        settings[f"{setting}_file"] = file.name
    # A quoted string of JSON is one of TOML, apart from half surrogates, which the terminal does not send.
    lines = [f"{setting} = {json.dumps(value, ensure_ascii=False)}\n" for setting, value in settings.items()]
    with path.open("a", encoding="utf-8") as file_of_profiles:
        separator = "\n" if path.stat().st_size else ""
        file_of_profiles.write(f"{separator}[{name}]\n{''.join(lines)}")
    terminal.note(f"written: {path}")
    terminal.note(f"Check it with `seic config check --profile {name}`, and with `seic doctor --profile {name}`.")
    return ExitCode.OK


def _ask() -> tuple[dict[str, str], dict[str, str]]:
    """Return the settings, and the secrets."""
    provider = _choose("Provider", _PROVIDERS)
    settings = {"provider": provider}
    if provider == "oauth2":
        settings["api_host"] = _require("Host of the API (api.example.com)")
        settings["token_url"] = _require("Token endpoint (a URL, or a path on the host)")
    else:
        settings["environment"] = _choose("Environment", ("production", "test"))
        if host := _optional("Your own mutual-TLS host, if it has one (mtls.example.com:444)"):
            settings["mtls_host"] = host
    settings["client_id"] = _require("Client id (the AppKey)")
    secrets = {"client_secret": _secret("Client secret (the AppSecret; not shown)")}
    if provider != "oauth2":
        settings["username"] = _require("Service account" if provider == "sei-gateway" else "Email of the account")
        secrets["password"] = _secret("Its password (not shown)")
    if certificate := _optional("Client certificate (a file), if there is one", _existing):
        settings["certificate"] = certificate
        if key := _optional("Its key, if it is in another file", _existing):
            settings["certificate_key"] = key
        if passphrase := getpass.getpass("Passphrase of the key, if it has one (not shown): "):
            secrets["certificate_password"] = passphrase
    return settings, secrets


def _existing(text: str) -> str:
    path = Path(text).expanduser().absolute()
    if not path.exists():
        raise ConfigurationError(f"{path}: there is no such file", field="certificate")
    return str(path)


def _choose(question: str, choices: tuple[str, ...]) -> str:
    def check(text: str) -> str:
        if text not in choices:
            raise ConfigurationError(f"answer {', '.join(choices[:-1])} or {choices[-1]}", field=question)
        return text

    return _optional(f"{question}: {', '.join(choices)} [{choices[0]}]", check) or choices[0]


def _require(question: str) -> str:
    while not (answer := _optional(question)):
        pass
    return answer


def _secret(question: str) -> str:
    while not (answer := getpass.getpass(f"{question}: ")):
        pass
    return answer


def _optional(question: str, check: Callable[[str], str] = str) -> str:
    """Ask until the answer is empty or right."""
    while True:
        # On stderr, as getpass does.
        sys.stderr.write(f"{question}: ")
        sys.stderr.flush()
        line = sys.stdin.readline()
        if not line:
            raise KeyboardInterrupt  # the terminal's end of input
        answer = line.strip()
        if not answer:
            return ""
        try:
            return check(answer)
        except SeicError as error:
            sys.stderr.write(f"  {error}\n")

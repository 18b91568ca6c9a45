"""`seic config init`: the questions for a profile, the file with the answers, and the place of the secrets."""

from __future__ import annotations

import getpass
import json
import sys
from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from secrets import token_urlsafe

from seic._errors import ConfigurationError, SeicError
from seic._files import read_toml, write_private
from seic._settings import profiles_path
from seic._stores.store_url import open_store
from seic.cli._configuration import environment_of
from seic.cli._exit_code import ExitCode
from seic.cli._keyring import keep, missing_keyring
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
    environ = environment_of(options)
    path = profiles_path(environ)
    existing = (read_toml(path) if path.exists() else {}) or {}
    if name in existing:
        raise ConfigurationError(f"{path}: has a profile [{name}] already; edit it, or choose another name", field=name)
    answers, secrets = _ask(environ)
    settings: dict[str, str | list[str]] = {**answers}
    reason = missing_keyring()
    if reason is not None:
        terminal.note(f"Secrets go into files that only you can read: {reason}.")
    uses_keyring = reason is None and _choose("Place of the secrets", ("keyring", "files")) == "keyring"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    for setting, secret in secrets.items():
        if uses_keyring:
            settings[f"{setting}_command"] = keep(f"{name}.{setting}", secret)
        else:
            file = path.parent / f"{name}.{setting}"
            write_private(file, secret)
            settings[f"{setting}_file"] = file.name
    # A quoted string of JSON is one of TOML, apart from half surrogates, which the terminal does not send.
    lines = [f"{setting} = {json.dumps(value, ensure_ascii=False)}\n" for setting, value in settings.items()]
    path.touch(mode=0o600)
    with path.open("a", encoding="utf-8") as file_of_profiles:
        separator = "\n" if path.stat().st_size else ""
        file_of_profiles.write(f"{separator}[{name}]\n{''.join(lines)}")
    terminal.note(f"written: {path}")
    terminal.note(f"Check it with `seic config check --profile {name}`, and with `seic doctor --profile {name}`.")
    return ExitCode.OK


def _ask(environ: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
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
    settings["store"], store_key = _ask_for_store(environ)
    if store_key is not None:
        secrets["store_key"] = store_key
    return settings, secrets


def _ask_for_store(environ: Mapping[str, str]) -> tuple[str, str | None]:
    """Return the token store, and its key if processes share it."""
    folder = Path(environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser().absolute() / "seic"
    words = {"": folder.as_uri(), "file": folder.as_uri()}

    def check(text: str) -> str:
        place = words.get(text, text)
        if "@" in place or "?" in place:
            raise ConfigurationError(
                "its password would be in the file of profiles, which may be shared; answer memory, and set SEIC_STORE",
                field="store",
            )
        open_store(place, token_urlsafe(32))
        return place

    store = _optional("Token store: file, memory, or the URL of a Redis [file]", check) or check("")
    if store == "memory":
        return store, None
    while True:
        key = getpass.getpass("Key of the store (not shown; empty for a new one): ") or token_urlsafe(32)
        try:
            open_store(store, key)
        except ConfigurationError as error:
            sys.stderr.write(f"  {error}\n")
        else:
            return store, key


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

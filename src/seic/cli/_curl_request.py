"""`seic request --curl`: the request as a shell script with curl, secrets as variables."""

from __future__ import annotations

import shlex
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from seic._errors import ConfigurationError
from seic._setting_values import is_path
from seic.cli._configuration import environment_of
from seic.cli._setting_sources import SettingSource, list_settings

if TYPE_CHECKING:
    import httpx

    from seic._config import Config

#: Of the here document: not one of standard input, which may have the body.
_FILE = "3"


def curl_request(options: Namespace, config: Config, url: httpx.URL, content_type: str | None) -> str:
    """Return the script: the token, then curl with secrets in a here document, which no process list shows.

    Args:
        options: The arguments of `seic request`.
        config: The configuration.
        url: The path and query.
        content_type: The type of the body, unless a header sets it; None without a body.
    """
    settings = {setting.name: setting for setting in list_settings(environment_of(options))}
    parts = [["curl", "--request", options.method.upper()]]
    if "certificate" in settings:
        parts.append(["--cert", certificate_argument(_path(settings["certificate"]))])
    if "certificate_key" in settings:
        parts.append(["--key", _path(settings["certificate_key"])])
    if "ca" in settings:
        parts += _authorities(settings["ca"])
    if "proxy" in settings:
        # Without its password.
        parts.append(["--proxy", settings["proxy"].shown])
    parts += [["--header", header] for header in options.header]
    if content_type is not None:
        if not any(header.lower().startswith("content-type:") for header in options.header):
            parts.append(["--header", f"Content-Type: {content_type}"])
        parts.append(["--data-binary", options.data])
    if options.output is not None:
        parts.append(["--output", str(options.output)])
    if options.include:
        parts.append(["--include"])
    parts += [["--config", f"/dev/fd/{_FILE}"], [f"{config.base_url}{url}"]]
    login = f"{' --login' if options.login else ''}{f' --profile {options.profile}' if options.profile else ''}"
    command = " \\\n  ".join(shlex.join(part) for part in parts)
    lines = "".join(f"{line}\n" for line in _secret_lines(config, settings))
    return f'eval "$(seic token --format env{login})"  # ACCESS_TOKEN\n{command} {_FILE}<<END\n{lines}END'


def certificate_argument(path: str) -> str:
    """Return the path of a certificate as curl takes it: a colon would begin the passphrase."""
    return path.replace("\\", "\\\\").replace(":", "\\:")


def _path(setting: SettingSource) -> str:
    if not is_path(setting.text) or "-----BEGIN" in setting.text:
        raise ConfigurationError(
            f"{setting.name}: set as text, but curl reads files; write it to a file (0600), and set its path",
            field=setting.name,
        )
    return setting.text


def _authorities(setting: SettingSource) -> Iterator[list[str]]:
    path = _path(setting)
    paths = [path] if Path(path).exists() else [part.strip() for part in path.split(",")]
    # Those of the system are curl's too.
    own = [part for part in paths if part != "system"]
    if len(own) > 1:
        raise ConfigurationError("ca: curl takes one file; put all authorities into one", field="ca")
    for part in own:
        yield ["--capath" if Path(part).is_dir() else "--cacert", part]


def _secret_lines(config: Config, settings: dict[str, SettingSource]) -> Iterator[str]:
    """Yield lines of curl's configuration, with variables and substitutions of the shell."""
    yield f'header = "Authorization: {config.provider.authorization_scheme} $ACCESS_TOKEN"'
    if config.provider.client_id_header is not None:
        source = settings["client_id"].source if "client_id" in settings else ""
        yield f'header = "{config.provider.client_id_header}: {_variable(source) or config.client_id}"'
    if file := settings.get("certificate_password_file"):
        yield f'pass = "$(cat {shlex.quote(file.text)})"'
    elif command := settings.get("certificate_password_command"):
        yield f'pass = "$({command.text})"'
    elif text := settings.get("certificate_password"):
        yield f'pass = "{_variable(text.source) or "$SEIC_CERTIFICATE_PASSWORD"}"'


def _variable(source: str) -> str | None:
    """Return the variable that has a setting; None for a profile."""
    return f"${source}" if source.startswith("SEIC_") else None

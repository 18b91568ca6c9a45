"""`seic env`: the settings as variables for a shell, docker or Kubernetes."""

from __future__ import annotations

import argparse
import json
import shlex
from typing import TYPE_CHECKING, Any

from seic.cli._configuration import environment_of
from seic.cli._exit_code import ExitCode
from seic.cli._terminal import Terminal

if TYPE_CHECKING:
    from seic.cli._setting_sources import SettingSource

_EPILOG = """\
Secrets are printed to a pipe or a file; at a terminal they are masked without
--show.

  shell        export lines, for eval
  docker       a file for docker run --env-file
  kubernetes   a Secret, for kubectl apply -f -
"""


def add_environment_command(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "env",
        help="print the settings as variables, for a shell, docker or Kubernetes",
        description="Print the settings, of the variables and the profile together, as variables.",
        epilog=_EPILOG,
        parents=[common],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--format", choices=["shell", "docker", "kubernetes"], default="shell", help="the form")
    parser.add_argument("--name", default="seic", metavar="NAME", help="the name of the Secret; by default seic")
    parser.add_argument(
        "--inline",
        action="store_true",
        help="print the content of files in place of their paths",
    )
    parser.add_argument("--show", action="store_true", help="print secrets at a terminal too")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace, terminal: Terminal) -> int:
    from seic.cli._setting_sources import list_settings

    is_masked = terminal.is_terminal and not options.show
    variables: dict[str, str] = {}
    for setting in list_settings(environment_of(options)):
        name, text, is_secret = _inlined(setting) if options.inline else (setting.name, setting.text, setting.is_secret)
        variables[f"SEIC_{name.upper()}"] = "***" if is_secret and is_masked else text
    terminal.print(_format(variables, options.format, options.name))
    if is_masked and "***" in variables.values():
        terminal.note("Secrets are masked at a terminal; add --show, or pipe the output.")
    return ExitCode.OK


def _inlined(setting: SettingSource) -> tuple[str, str, bool]:
    """Return name and text of a setting, with the content of its file, and whether that is secret."""
    from pathlib import Path

    from seic._setting_names import PATHS, PATHS_OR_PEM
    from seic._setting_values import is_path
    from seic._x509.credential_files import CredentialFile
    from seic.cli._passphrase import read_passphrase

    if setting.name in PATHS:
        return setting.name.removesuffix("_file"), read_passphrase(Path(setting.text).expanduser()), True
    if setting.name in PATHS_OR_PEM and is_path(setting.text):
        content = CredentialFile.of(setting.text, setting.name).read()
        try:
            text = content.decode("ascii")
        except UnicodeDecodeError:
            from seic import ConfigurationError

            raise ConfigurationError(
                f"{setting.name}: {setting.text} is not PEM, so it does not fit into a variable; convert it with `seic "
                "certs convert --to pem`",
                field=setting.name,
            ) from None
        return setting.name, text, "PRIVATE KEY" in text
    return setting.name, setting.text, setting.is_secret


def _format(variables: dict[str, str], form: str, name: str) -> str:
    values = {variable: _on_one_line(text) for variable, text in variables.items()}
    if form == "docker":
        for variable, text in values.items():
            if "\n" in text:
                from seic import ConfigurationError

                raise ConfigurationError(
                    f"{variable}: its value has several lines, which a file for docker cannot have; use --format shell",
                    field=variable,
                )
        return "\n".join(f"{variable}={text}" for variable, text in values.items())
    if form == "kubernetes":
        # A string of JSON is one of YAML.
        data = "".join(f"\n  {variable}: {json.dumps(text, ensure_ascii=False)}" for variable, text in values.items())
        return f"apiVersion: v1\nkind: Secret\nmetadata:\n  name: {json.dumps(name)}\ntype: Opaque\nstringData:{data}"
    return "\n".join(f"export {variable}={shlex.quote(text)}" for variable, text in values.items())


def _on_one_line(text: str) -> str:
    # Lines of PEM as \n, which the settings take: a file for docker has no values of several lines. Any other value
    # stays as it is, since a space may be a part of a password.
    return text.strip().replace("\n", "\\n") if "-----BEGIN" in text else text

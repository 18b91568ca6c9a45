"""Writes docs/settings.md from the table of settings; with `--check` it only says whether the page is current."""

from __future__ import annotations

import sys
from itertools import groupby
from pathlib import Path

from seic._setting_fields import SETTINGS, Kind, Setting

PAGE = Path(__file__).parent.parent.parent / "docs" / "settings.md"

_HEAD = """\
# Settings

<!-- Written by `nox -s settings`: change src/seic/_setting_fields.py, not this page. -->

Every setting, generated from the table that variables, profiles and `seic.fastapi.SeicSettings` share. A setting has
one name in three forms: the variable `SEIC_CLIENT_ID`, the key `client_id` of a [profile](#profiles) and the field
`client_id` of `SeicSettings`. The argument in code is the one of `seic.Config`.

- An empty variable is not set. An unknown variable that starts with `SEIC_` is an error that names the nearest one. One
  error names all settings that are missing.
- A *secret* has two other forms. Its name with `_FILE` is the path of a file with the secret. Its name with `_COMMAND`
  is a program that prints it, with arguments as in a shell, but without a shell; in a profile also a list. See
  [Secrets that change](#secrets-that-change).
- *path or PEM*: a path, or the PEM text itself, with line ends or `\\n`.
- *list*: words separated by spaces; in a profile also a list of strings.
- Arguments in code, as in `seic.Config.from_env(scope=...)`, replace variables, and variables replace the profile.

Pages with the settings of [Keycloak](providers/keycloak.md), [Entra ID](providers/entra-id.md),
[Okta](providers/okta.md), [Auth0](providers/auth0.md), [Ping](providers/ping.md), [Curity](providers/curity.md),
[Apigee](providers/apigee.md) and [Kong](providers/kong.md).
"""
_SECRETS = """
## Secrets that change

A file or a program is asked again for each token request, so that a secret changes without a restart. In code, a
callable does the same: `seic.Config(client_secret=read_secret)`, `seic.ClientCredentials(password=read_password)`,
`seic.ClientCertificate.load("client.p12", password=read_passphrase)`.

- The file must have a secret at the start. If it cannot be read later, the last secret is used, and a warning is
  logged.
- A program is run when the secret is needed. It has 10 seconds. Its output is the secret, without the line end; what it
  writes to stderr is discarded. An error has its name and its exit code, not its arguments.
- If the provider refuses the credentials, they are not sent again for a while. That ends within a second after the
  secret has changed: the next call requests a token with the new one.
- A certificate's passphrase file is watched with the certificate, so both may be renewed together, in any order. A
  program or a callable is asked again after 1, 2, 4 seconds and so on, then once a minute.
"""
_PROFILES = """
## Profiles

`SEIC_PROFILE` selects a table of `seic/config.toml` in `$XDG_CONFIG_HOME` or `~/.config`; `seic.Config.from_file` reads
any other file. Paths in it are relative to the file. Numbers, `true` and `false` need no quotes.
"""


def _row(setting: Setting) -> str:
    variable = f"`SEIC_{setting.name.upper()}`"
    if setting.kind is Kind.SECRET:
        variable += ", `_FILE`, `_COMMAND`"
    default = setting.default if "`" in setting.default or " " in setting.default else f"`{setting.default}`"
    cells = (
        variable,
        f"`{setting.name}`",
        f"`{setting.keyword}`",
        setting.kind.value,
        default if setting.default else "",
        f"`{setting.example}`",
        setting.about,
    )
    return f"| {' | '.join(cells)} |"


def page() -> str:
    """Return the text of the page."""
    parts = [_HEAD]
    for group, settings in groupby(SETTINGS, key=lambda setting: setting.group):
        parts.append(f"\n## {group}\n")
        parts.append("| variable | key | argument | type | default | example | meaning |")
        parts.append("|---|---|---|---|---|---|---|")
        parts += map(_row, settings)
    return "\n".join(parts) + "\n" + _SECRETS + _PROFILES


if __name__ == "__main__":
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(page(), encoding="utf-8")
    elif PAGE.read_text(encoding="utf-8") != page():
        sys.exit(f"{PAGE.name} is out of date: run nox -s settings")

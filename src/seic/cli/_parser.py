"""The arguments of all commands. Commands import seic and httpx when they run, so that `seic --help` is fast."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from seic.cli._certificate_command import add_certificate_command
from seic.cli._completion import add_completion_command
from seic.cli._config_command import add_config_command
from seic.cli._curl_command import add_curl_command
from seic.cli._environment_command import add_environment_command
from seic.cli._health_command import add_doctor_command
from seic.cli._login_command import add_login_command
from seic.cli._proxy_command import add_proxy_command
from seic.cli._request_command import add_request_command
from seic.cli._sandbox_command import add_sandbox_command
from seic.cli._token_command import add_token_command

#: In the order of the help.
_COMMANDS = (
    add_token_command,
    add_login_command,
    add_request_command,
    add_curl_command,
    add_proxy_command,
    add_doctor_command,
    add_certificate_command,
    add_config_command,
    add_environment_command,
    add_sandbox_command,
    add_completion_command,
)
_EPILOG = """\
Settings are read from SEIC_* variables and from profiles of a TOML file, as
the library reads them.
Exit codes: 0 success, 1 another failure, 2 wrong arguments, 3 settings,
4 certificate, 5 network or the server's TLS, 6 no token, 7 the API's error,
130 interrupted.
"""


class _Version(argparse.Action):
    """Print the versions that matter in a report, when asked: their imports take time."""

    def __call__(self, parser: argparse.ArgumentParser, *_arguments: Any, **_options: Any) -> None:
        import platform
        import ssl
        from importlib.metadata import version

        from seic._version import __version__

        libraries = ", ".join(f"{name} {version(name)}" for name in ("httpx", "cryptography"))
        sys.stdout.write(
            f"seic {__version__} (Python {platform.python_version()}, {ssl.OPENSSL_VERSION}, {libraries})\n"
        )
        parser.exit()


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the parsed arguments.

    Raises:
        SystemExit: The help or the version was asked for, or an argument is wrong; argparse has printed it.
    """
    parser = build_parser()
    options, unknown = parser.parse_known_args(arguments, argparse.Namespace(profile=None, verbose=0, debug=False))
    if unknown:
        hint = (
            "; curl's own options follow `--`, as in `seic curl -- -s /path`" if hasattr(options, "arguments") else ""
        )
        options.command.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
    return options


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    common = argparse.ArgumentParser(add_help=False)
    group = common.add_argument_group("options of all commands")
    # SUPPRESS: an option before the command keeps its value if it is not repeated after it. A default that is set on a
    # parser would replace it, since all of them share these actions.
    group.add_argument("--profile", default=argparse.SUPPRESS, metavar="NAME", help="the profile, as SEIC_PROFILE")
    group.add_argument(
        "-v",
        "--verbose",
        action="count",
        default=argparse.SUPPRESS,
        help="show events on stderr; -vv shows each step",
    )
    group.add_argument(
        "--debug", action="store_true", default=argparse.SUPPRESS, help="show events, and the traceback of an error"
    )
    parser = argparse.ArgumentParser(
        prog="seic",
        description="OAuth 2.0 tokens and API calls over mutual TLS.",
        epilog=_EPILOG,
        parents=[common],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the versions of seic and its libraries")
    parser.set_defaults(run=None, parser=parser)
    commands = parser.add_subparsers(metavar="COMMAND", title="commands")
    for add_command in _COMMANDS:
        add_command(commands, common)
    _name_commands(parser)
    return parser


def _name_commands(parser: argparse.ArgumentParser) -> None:
    """Set the parser of each command, and of each action of one, whose usage belongs to a mistake."""
    parser.set_defaults(command=parser)
    # argparse has no public way to the parsers of commands.
    for action in parser._actions:  # noqa: SLF001
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for command in action.choices.values():
                _name_commands(command)

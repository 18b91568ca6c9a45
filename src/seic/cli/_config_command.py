"""`seic config`: show, path, check and init, all offline."""

from __future__ import annotations

import argparse
from typing import Any

from seic.cli._configuration import environment_of
from seic.cli._exit_code import ExitCode
from seic.cli._terminal import Terminal


def add_config_command(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the command and its actions."""
    parser = commands.add_parser(
        "config",
        help="show, check and write settings; nothing is sent",
        description="Show, check and write settings. Nothing is sent.",
        parents=[common],
        allow_abbrev=False,
    )
    parser.set_defaults(run=lambda options, terminal: _help(parser))
    actions = parser.add_subparsers(metavar="ACTION", title="actions")
    show = actions.add_parser(
        "show",
        help="each setting, its value and its source; secrets are masked",
        description="Show each setting that is set, its value and its source. Secrets are masked.",
        parents=[common],
        allow_abbrev=False,
    )
    show.add_argument("--all", action="store_true", help="show the other settings too, with their defaults")
    show.add_argument("--json", action="store_true", help="print JSON")
    show.set_defaults(run=_show)
    path = actions.add_parser(
        "path",
        help="the file of profiles",
        description="Print the path of the file of profiles, and on stderr its profiles.",
        parents=[common],
        allow_abbrev=False,
    )
    path.set_defaults(run=_path)
    check = actions.add_parser(
        "check",
        help="check settings, files, certificate and authorities",
        description="Check settings, files, certificate and authorities, as seic doctor does, but send nothing.",
        parents=[common],
        allow_abbrev=False,
    )
    check.add_argument("--json", action="store_true", help="print JSON")
    check.set_defaults(run=_check)
    init = actions.add_parser(
        "init",
        help="write a profile, after a few questions",
        description="Ask for the settings of a profile, and write them. Secrets go into the system's keyring, or "
        "into files of their own, which only you can read (0600).",
        parents=[common],
        allow_abbrev=False,
    )
    init.add_argument("name", nargs="?", default="default", metavar="NAME", help="the profile; by default default")

    def run(options: argparse.Namespace, terminal: Terminal) -> int:
        from seic.cli._config_init import write_profile

        return write_profile(options, terminal)

    init.set_defaults(run=run)


def _help(parser: argparse.ArgumentParser) -> int:
    parser.print_help()
    return ExitCode.OK


def _show(options: argparse.Namespace, terminal: Terminal) -> int:
    from seic._setting_fields import SETTINGS
    from seic.cli._setting_sources import list_settings

    found = [(setting.name, setting.shown, setting.source) for setting in list_settings(environment_of(options))]
    if options.all:
        names = {name.removesuffix("_file").removesuffix("_command") for name, _, _ in found}
        defaults = [
            (one.name, one.default.replace("`", ""), "default" if one.default else "not set")
            for one in SETTINGS
            if one.name not in names
        ]
        order = {setting.name: number for number, setting in enumerate(SETTINGS)}
        found = sorted(found + defaults, key=lambda row: order.get(row[0].removesuffix("_file"), 0))
    if options.json:
        terminal.json({name: {"value": value, "source": source} for name, value, source in found})
    else:
        rows = [(name, value.replace("\n", "\\n"), source) for name, value, source in found]
        terminal.table(rows, header=["setting", "value", "source"], styles=["bold", "", "dim"])
    if not found:
        terminal.note("No setting is set; run `seic config init`, or set SEIC_* variables.")
    return ExitCode.OK


def _path(options: argparse.Namespace, terminal: Terminal) -> int:
    from seic._files import read_toml
    from seic._settings import profiles_path

    path = profiles_path(environment_of(options))
    terminal.print(str(path))
    if not path.exists():
        terminal.note("The file does not exist; `seic config init` writes it.")
        return ExitCode.OK
    document = read_toml(path) or {}
    names = [name for name, table in document.items() if isinstance(table, dict)]
    terminal.note(f"profiles: {', '.join(names) or 'none'}")
    return ExitCode.OK


def _check(options: argparse.Namespace, terminal: Terminal) -> int:
    from seic.cli._health_checks.sequence import run_offline_checks
    from seic.cli._health_report import show_result

    state = run_offline_checks(environment_of(options))
    if options.json:
        terminal.json({"exit_code": int(state.exit_code), "checks": [result.to_dict() for result in state.results]})
    else:
        for result in state.results:
            show_result(terminal, result, with_details=False)
    return state.exit_code

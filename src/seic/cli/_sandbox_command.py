"""`seic sandbox`: the arguments, and the run, which the sandbox's own command does."""

from __future__ import annotations

import argparse
from typing import Any

from seic._sandbox_arguments import DESCRIPTION, add_sandbox_arguments
from seic.cli._exit_code import ExitCode
from seic.cli._terminal import Terminal


def add_sandbox_command(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "sandbox",
        help="run a local gateway with throw-away credentials",
        description=DESCRIPTION,
        parents=[common],
        allow_abbrev=False,
    )
    add_sandbox_arguments(parser)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace, terminal: Terminal) -> int:
    from seic.sandbox._sandbox_process import run_sandbox

    def write(text: str) -> None:
        terminal.print(text.rstrip("\n"))
        terminal.stdout.flush()

    def note(line: str) -> None:
        terminal.note(line)
        terminal.stderr.flush()

    try:
        run_sandbox(options, write=write, note=note)
    except ValueError as error:
        terminal.error(str(error))
        return ExitCode.USAGE
    return ExitCode.OK

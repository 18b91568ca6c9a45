"""`seic completion`: print a script for a shell, which shtab makes from the arguments."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from seic.cli._exit_code import ExitCode
from seic.cli._terminal import Terminal

_EPILOG = """\
In ~/.bashrc for bash; for zsh and fish once:

  eval "$(seic completion bash)"
  seic completion zsh > "${fpath[1]}/_seic"
  seic completion fish > ~/.config/fish/completions/seic.fish
"""


def add_completion_command(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "completion",
        help="print the completion script of a shell",
        description="Print the completion script of a shell.",
        epilog=_EPILOG,
        parents=[common],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("shell", choices=["bash", "zsh", "fish"], help="the shell")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace, terminal: Terminal) -> int:
    import shtab

    _complete_files(options.parser, shtab.FILE)
    terminal.print(shtab.complete(options.parser, options.shell))
    return ExitCode.OK


def _complete_files(parser: argparse.ArgumentParser, complete: Any) -> None:
    """Let arguments that are paths be completed, of all commands."""
    # argparse has no public way to the arguments.
    for action in parser._actions:  # noqa: SLF001
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for command in action.choices.values():
                _complete_files(command, complete)
        elif action.type is Path or str(action.metavar).startswith("FILE"):
            action.complete = complete  # type: ignore[attr-defined]  # shtab reads it

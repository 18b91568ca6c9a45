"""`seic completion`: print a script for a shell, which shtab makes from the arguments."""

from __future__ import annotations

import argparse
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

    terminal.print(shtab.complete(options.parser, options.shell))
    return ExitCode.OK

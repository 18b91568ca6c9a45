"""`main`: parse the arguments, run one command, and turn its error into a sentence and an exit code."""

from __future__ import annotations

import traceback
from argparse import Namespace
from collections.abc import Sequence

from seic.cli._exit_code import ExitCode, exit_code_of
from seic.cli._log_output import log_to_stderr
from seic.cli._parser import parse
from seic.cli._terminal import Terminal


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command `seic`, and return its exit code.

    Args:
        arguments: The arguments, without the program's name; None for those of the process.
    """
    terminal = Terminal()
    try:
        options = parse(arguments)
        if options.run is None:
            options.parser.print_help()
            return ExitCode.OK
        with log_to_stderr(terminal, options.verbose + options.debug):
            return _run(options, terminal)
    except SystemExit as end:  # argparse has printed the help, the version or the mistake
        return int(end.code or 0)


def _run(options: Namespace, terminal: Terminal) -> int:
    try:
        code = int(options.run(options, terminal))
        terminal.stdout.flush()
        return code
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        terminal.discard()
        return ExitCode.BROKEN_PIPE
    except Exception as error:  # noqa: BLE001  # every error becomes a sentence
        if options.debug:
            traceback.print_exc(file=terminal.stderr)
        terminal.error(_sentence(error))
        return exit_code_of(error)


def _sentence(error: Exception) -> str:
    import httpx

    import seic

    if getattr(error, "code", None) == "login_required":
        return "nobody has logged in, or the login has ended; run `seic login`"
    if isinstance(error, (seic.SeicError, httpx.HTTPError)) and str(error):
        notes: list[str] = getattr(error, "__notes__", [])
        return " ".join([str(error), *notes])
    if isinstance(error, ModuleNotFoundError):
        return _missing_package(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'the system'}: {error.strerror}"
    name = type(error).__name__
    # Its message may quote a secret, unlike those of seic's own errors.
    return f"an unexpected error ({name}); run the command again with --debug, and report what it prints"


def _missing_package(error: ModuleNotFoundError) -> str:
    package = (error.name or "").partition(".")[0]
    extra = "sandbox" if package in {"aiohttp", "lxml", "signxml"} else "cli"
    return f'this command needs the package {package}: pip install "seic[{extra}]"'

"""`python -m seic.sandbox`: the sandbox in the foreground, without the extra `cli`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from seic._sandbox_arguments import DESCRIPTION, add_sandbox_arguments
from seic.sandbox._sandbox_process import run_sandbox


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser("python -m seic.sandbox", description=DESCRIPTION, allow_abbrev=False)
    add_sandbox_arguments(parser)
    options = parser.parse_args(arguments)
    try:
        run_sandbox(options, write=_write, note=_note)
    except OSError as error:
        _note(f"sandbox: {error.filename or 'the system'}: {error.strerror or error}")
        return 1
    except ValueError as error:
        _note(f"sandbox: {error}")
        return 2
    return 0


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def _note(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())

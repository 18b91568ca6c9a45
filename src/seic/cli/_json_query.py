"""`--jq`: an expression of jq over a JSON body, by the package `jq`, or by the program where that is not installed."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from typing import TypeAlias

from seic._errors import ConfigurationError

#: Returns the JSON text of each result for the text of a document.
Query: TypeAlias = Callable[[str], list[str]]
#: Numbers keep their digits only if jq itself makes text of them. The line's end ends a comment.
_SUFFIX = "\n) | tojson"


def compile_query(expression: str) -> Query:
    """Return the function that evaluates an expression.

    Raises:
        ConfigurationError: The expression is wrong, or neither the package nor the program is installed. The function
            raises it if the expression does not fit the document.
    """
    evaluate = _by_package(expression) or _by_program(expression)
    if evaluate is None:
        raise ConfigurationError(
            '--jq: needs the package jq or the program jq; pip install "seic[jq]", or install jq', field="jq"
        )
    return evaluate


def _by_package(expression: str) -> Query | None:
    try:
        import jq  # type: ignore[import-not-found]  # it has no types
    except ImportError:
        return None

    try:
        jq.compile(expression)
        program = jq.compile(f"({expression}{_SUFFIX}")
    except ValueError as error:
        raise _wrong(str(error)) from None

    def evaluate(document: str) -> list[str]:
        try:
            return [str(result) for result in program.input_text(document)]
        except ValueError as error:
            raise _wrong(str(error)) from None

    return evaluate


def _by_program(expression: str) -> Query | None:
    program = shutil.which("jq")
    if program is None:
        return None

    # A wrong expression is refused before a request is sent.
    _run(program, f"empty | ({expression}\n)", "null")
    return lambda document: _run(program, f"({expression}{_SUFFIX}", document)


def _run(program: str, expression: str, document: str) -> list[str]:
    done = subprocess.run(  # noqa: S603  # no shell; the document goes through a pipe
        [program, "--raw-output", expression],
        input=document.encode(errors="replace"),
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise _wrong(done.stderr.decode(errors="replace"))
    return done.stdout.decode(errors="replace").splitlines()


def _wrong(message: str) -> ConfigurationError:
    # Not the position, which counts the added text.
    first = re.sub(r"^(jq: )?error( \(at [^)]*\))?: |( \(Unix .*)? at <.*", "", message.partition("\n")[0])
    return ConfigurationError(f"--jq: {first}; check the expression", field="jq")

"""Runs the Python blocks of a document as its reader would, against a gateway on this machine."""

from __future__ import annotations

import ast
import asyncio
import inspect
from pathlib import Path
from typing import Any

import pytest
from sybil import Example, Sybil
from sybil.parsers.markdown import CodeBlockParser

from seic.sandbox import Sandbox

ROOT = Path(__file__).parent.parent.parent


def set_environment(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the variables that make `Config.from_env` reach the sandbox."""
    settings = {
        "SEIC_CLIENT_ID": sandbox.client_id,
        "SEIC_CLIENT_SECRET": sandbox.client_secret,
        "SEIC_USERNAME": sandbox.username,
        "SEIC_PASSWORD": sandbox.password,
        "SEIC_API_HOST": sandbox.api_url,
        "SEIC_MTLS_HOST": sandbox.mtls_url,
        "SEIC_CA": sandbox.ca_pem.decode(),
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)


def run_blocks(file: str) -> dict[str, Any]:
    """Run every Python block from top to bottom, and return the names that they left."""
    namespace: dict[str, Any] = {}
    document = Sybil(parsers=[CodeBlockParser("python", _evaluate)]).parse(ROOT / file)
    examples = list(document.examples())
    assert examples
    for example in examples:
        example.namespace = namespace
        example.evaluate()
    return namespace


def _evaluate(example: Example) -> None:
    """Run a block as `python -m asyncio` would: a bare `await` or `async with` is allowed."""
    # The empty lines make a traceback name the document's own line.
    source = "\n" * (example.line + example.parsed.line_offset) + example.parsed
    code = compile(source, example.path, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    result = eval(code, example.namespace)  # noqa: S307  the project's own document
    if inspect.iscoroutine(result):
        asyncio.run(result)

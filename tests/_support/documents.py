"""Running the Python blocks of a document, against the sandbox."""

from __future__ import annotations

import ast
import asyncio
import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sybil import Example, Sybil
from sybil.parsers.markdown import CodeBlockParser

from seic.sandbox import Sandbox

ROOT = Path(__file__).parent.parent.parent


def set_environment(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Set the variables with which `Config.from_env` uses the sandbox, and return them."""
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
    return settings


def run_blocks(file: str) -> dict[str, Any]:
    """Run all Python blocks in order, and return their namespace."""
    namespace: dict[str, Any] = {}
    document = Sybil(parsers=[CodeBlockParser("python", _evaluate)]).parse(ROOT / file)
    examples = list(document.examples())
    assert len(examples) == (ROOT / file).read_text(encoding="utf-8").count("```python\n") > 0
    for example in examples:
        example.namespace = namespace
        example.evaluate()
    return namespace


def _evaluate(example: Example) -> None:
    """Run a block as in `python -m asyncio`, with top-level `await` and `async with`."""
    # Empty lines, so that a traceback has the line number of the document.
    source = "\n" * (example.line + example.parsed.line_offset) + example.parsed
    code = compile(source, example.path, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    result = eval(code, example.namespace)  # noqa: S307  the documents of the project
    if inspect.iscoroutine(result):
        asyncio.run(result)


def blocks(file: str, title: str) -> list[Callable[[], dict[str, Any]]]:
    """Return the Python blocks of a section; each runs by itself, and returns its namespace."""
    text = (ROOT / file).read_text(encoding="utf-8")
    start = text.index(f"\n## {title}\n")
    end = text.find("\n## ", start + 1)
    document = Sybil(parsers=[CodeBlockParser("python", _evaluate)]).parse(ROOT / file)
    found = [each for each in document.examples() if start < each.region.start < (end if end > 0 else len(text))]

    def run(example: Example) -> dict[str, Any]:
        example.namespace = {}
        example.evaluate()
        return example.namespace

    return [functools.partial(run, example) for example in found]

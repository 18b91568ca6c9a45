"""Each Python block of the README and the docs runs alone: pasted into an interactive interpreter, without the others.

The first block of each page, and all of the README, are pasted into a new process.

`python` and, for blocks with `await` outside a function, `python -m asyncio`. Before Python 3.13 these read line by
line: an empty line ends an indented block, and nothing else does.
"""

from __future__ import annotations

import ast
import asyncio
import code
import contextlib
import inspect
import os
import select
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import CodeType

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from sybil import Example, Sybil
from sybil.parsers.markdown import CodeBlockParser

from seic.sandbox import Sandbox
from tests._support.documents import ROOT, set_environment

_PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md")])


def _blocks() -> Iterator[tuple[str, str]]:
    """Yield the place and the source of each block."""
    for page in _PAGES:
        found: list[Example] = [*Sybil(parsers=[CodeBlockParser("python", lambda _: None)]).parse(page).examples()]
        assert len(found) == page.read_text(encoding="utf-8").count("```python\n")
        for example in found:
            yield f"{page.relative_to(ROOT)}:{example.line}", str(example.parsed)


#: Pages whose blocks are files or need servers: tests of their own run them.
_FOLLOWED = ("docs/how-to/mcp.md", "docs/how-to/openapi.md", "docs/other-protocols.md", "docs/testing.md")
_BLOCKS = {place: text for place, text in _blocks() if not place.startswith(_FOLLOWED)}
#: A process has one provider of metrics, so that the other tests of this page must not see that of its examples.
_PROCESS_WIDE = "set_meter_provider"
#: The codes that a terminal sends before and after a pasted text.
_PASTE = ("\x1b[200~", "\x1b[201~")


class _Console(code.InteractiveConsole):
    """An interactive interpreter that raises the errors of what is pasted into it."""

    def __init__(self) -> None:
        super().__init__({"__name__": "__main__"})
        self.compile.compiler.flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT

    def paste(self, text: str) -> None:
        """Read a text line by line; an empty line at the end completes the last statement."""
        is_incomplete = False
        for line in [*text.splitlines(), ""]:
            is_incomplete = self.push(line)
        assert not is_incomplete

    def runcode(self, code: CodeType) -> None:
        """Run a statement; one with `await` in an event loop, as `python -m asyncio` does."""
        result = eval(code, self.locals)  # noqa: S307 - the documents of the project
        if inspect.iscoroutine(result):
            asyncio.run(result)

    def showsyntaxerror(self, filename: str | None = None, **_options: object) -> None:
        """Raise the error."""
        raise sys.exc_info()[1] or AssertionError(filename)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """Return the gateway of the examples."""
    with Sandbox(username="svc-user") as one:
        yield one


@pytest.fixture
def reader(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with the files that the examples name; the variables are those of a reader."""
    for name in [name for name in os.environ if name.startswith("SEIC_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    set_environment(sandbox, monkeypatch)
    key = load_pem_private_key(sandbox.client_key_pem, None)
    encrypted = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"passphrase"))
    (tmp_path / "tls").mkdir()
    for file, content in {
        "client.pem": sandbox.client_certificate_pem,
        "client.key": encrypted,
        "tls/tls.crt": sandbox.client_certificate_pem,
        "tls/tls.key": sandbox.client_key_pem,
    }.items():
        (tmp_path / file).touch(mode=0o600)
        (tmp_path / file).write_bytes(content)
    monkeypatch.setenv("CLIENT_PEM", sandbox.client_certificate_pem.decode())
    monkeypatch.setenv("CLIENT_KEY", encrypted.decode())
    return tmp_path


@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize(
    "source", [pytest.param(text, id=place) for place, text in _BLOCKS.items() if _PROCESS_WIDE not in text]
)
def test_a_block_runs_alone(source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It imports and defines all that it uses."""
    monkeypatch.setattr("logging.basicConfig", lambda **_: None)
    _Console().paste(source)


def paste(source: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Paste a block into a new `python`, or `python -m asyncio` if it awaits outside a function."""
    compiled = compile(source, "block", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    awaits = bool(compiled.co_flags & inspect.CO_COROUTINE)
    command = [sys.executable, "-W", "error", *(["-m", "asyncio"] if awaits else ["-i", "-q"])]
    if sys.version_info >= (3, 13):
        return _paste_at_terminal(command, source, folder)
    return subprocess.run(
        command, input=f"{source}\n\n", cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )


def _paste_at_terminal(command: list[str], source: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Paste as a terminal does: from Python 3.13 on, the interpreter reads blocks only there."""
    terminal, end = os.openpty()
    variables = {**os.environ, "TERM": "xterm", "NO_COLOR": "1"}
    process = subprocess.Popen(
        command, stdin=end, stdout=end, stderr=end, cwd=folder, start_new_session=True, env=variables
    )
    os.close(end)
    shown = bytearray()
    is_pasted = False
    with contextlib.suppress(OSError):  # the end of the process
        while select.select([terminal], [], [], 60)[0] and (content := os.read(terminal, 65536)):
            shown += content
            if not is_pasted and b">>> " in shown:
                is_pasted = True
                # The last line tells an interpreter that has run all from one that stopped before.
                lines = f"{_PASTE[0]}{source}\n{_PASTE[1]}\n\n{_PASTE[0]}print('all ' + 'pasted'); exit(){_PASTE[1]}\n"
                threading.Thread(target=os.write, args=(terminal, lines.encode()), daemon=True).start()
    process.kill()
    process.wait()
    os.close(terminal)
    text = shown.decode(errors="replace")
    if "all pasted" not in text or "Traceback (most recent" in text:
        return subprocess.CompletedProcess(command, 1, text, text)
    return subprocess.CompletedProcess(command, 0, text, "")


def problem_of(done: subprocess.CompletedProcess[str]) -> str | None:
    """Return the error output of an interpreter in which a statement failed."""
    failed = done.returncode != 0 or "Error" in done.stderr or "Traceback" in done.stderr
    return done.stderr if failed else None


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(text, id=place)
        for place, text in _BLOCKS.items()
        if place.startswith("README") or _PROCESS_WIDE in text
    ],
)
def test_a_block_runs_in_a_real_interpreter(source: str, reader: Path) -> None:
    """In `python`, or in `python -m asyncio` if it awaits outside a function."""
    assert problem_of(paste(source, reader)) is None


def test_the_first_block_of_each_page_runs_in_a_new_interpreter(reader: Path) -> None:
    """In a process and a folder of its own: nothing is left of another page."""
    first: dict[str, str] = {}
    for place, text in _BLOCKS.items():
        first.setdefault(place.rpartition(":")[0], text)
    # All pages with a block in Python, except those that are followed.
    assert len(first) > 20

    def run(page: str) -> str | None:
        folder = shutil.copytree(reader, reader.with_name(page.replace("/", "-")))
        return problem_of(paste(first[page], folder))

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        problems = dict(zip(first, threads.map(run, first), strict=True))
    assert {page: problem for page, problem in problems.items() if problem is not None} == {}

"""Figures of the structure: sizes, imports, names, writers, threads."""

from __future__ import annotations

import ast
import asyncio
import re
import subprocess
import sys
import threading
from collections import defaultdict
from pathlib import Path

import seic
from seic.sandbox import Sandbox
from tests.structure.vocabulary import ROOT, defined

_TESTS = Path(__file__).parents[1]
_PRIVATE = re.compile(r"^\s*(?:from|import) seic\._(?!_)", re.MULTILINE)
_OPENS_BADLY = re.compile(r"(what|who|whoever|whom|whose|where|how)\b", re.IGNORECASE)


def lines(*patterns: str) -> tuple[int, int]:
    """Return the lines and the number of the files that the patterns name, packages' empty `__init__` left out."""
    files = [path for pattern in patterns for path in sorted(ROOT.glob(pattern)) if path.stat().st_size > 100]
    return sum(len(path.read_text().splitlines()) for path in files), len(files)


def long_files(most: int) -> list[str]:
    """Return the files that have more lines than `most`."""
    return [str(path.relative_to(ROOT)) for path in ROOT.rglob("*.py") if len(path.read_text().splitlines()) > most]


def badly_opened() -> list[str]:
    """Return the modules whose docstring opens with what, who, where or how."""
    docstrings = {path: ast.get_docstring(ast.parse(path.read_text())) or "" for path in ROOT.rglob("*.py")}
    return [str(path.relative_to(ROOT)) for path, text in docstrings.items() if _OPENS_BADLY.match(text)]


def double_names() -> dict[str, set[str]]:
    """Return each name that two classes or modules have; `seic.httpx2` repeats those of `seic`, packages `__main__`."""
    places: dict[tuple[bool, str], set[str]] = defaultdict(set)
    for name, where in defined():
        if where == "httpx2.py" or where.endswith("__main__.py"):
            continue
        if name != Path(where).stem or name[0].isupper():
            places[True, name.lstrip("_")].add(where)
        else:
            places[False, name.lstrip("_")].add(where)
    return {name: where for (_, name), where in places.items() if len(where) > 1}


def _module(path: Path) -> str:
    parts = ("seic", *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports() -> dict[str, set[str]]:
    modules = {_module(path): ast.parse(path.read_text()) for path in ROOT.rglob("*.py")}
    graph: dict[str, set[str]] = {}
    for name, tree in modules.items():
        found: set[str] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
            elif isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
        # A module that is named with its package is the one that is meant.
        named = found & set(modules)
        graph[name] = {one for one in named if one != name}
    return graph


def circles() -> list[set[str]]:
    """Return the modules that import each other, by whatever way round; imports inside functions count."""
    graph = _imports()
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[set[str]] = []

    def visit(name: str) -> None:
        order[name] = low[name] = len(order)
        stack.append(name)
        for other in sorted(graph[name]):
            if other not in order:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], order[other])
        if low[name] == order[name]:
            place = stack.index(name)
            if len(circle := set(stack[place:])) > 1:
                found.append(circle)
            del stack[place:]

    for name in graph:
        if name not in order:
            visit(name)
    return found


def private_imports() -> list[str]:
    """Return the test files that import a private module of seic."""
    return [str(path.relative_to(_TESTS)) for path in sorted(_TESTS.rglob("*.py")) if _PRIVATE.search(path.read_text())]


def _targets(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, ast.Assign):
        return node.targets
    return [node.target] if isinstance(node, ast.AnnAssign | ast.AugAssign) else []


def _is_own(target: ast.Attribute) -> bool:
    return isinstance(target.value, ast.Name) and target.value.id == "self"


def _attributes(kind: ast.ClassDef) -> set[str]:
    fields = {target.id for node in kind.body for target in _targets(node) if isinstance(target, ast.Name)}
    own = (target for node in ast.walk(kind) for target in _targets(node))
    fields |= {target.attr for target in own if isinstance(target, ast.Attribute) and _is_own(target)}
    return fields - {"__slots__"}


def state_of(*classes: str, module: str) -> set[str]:
    """Return the attributes of classes of one module of `_tokens`."""
    tree = ast.parse((ROOT / module).read_text())
    kinds = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name in classes]
    return {name for kind in kinds for name in _attributes(kind)}


def writers(attributes: set[str], *, owner: str) -> set[str]:
    """Return the modules other than the owner that assign one of the attributes of an object that is not their own."""
    found = set()
    for path in ROOT.rglob("*.py"):
        where = path.relative_to(ROOT).as_posix()
        if where == owner or not where.startswith(("_tokens/", "_auth", "_client")):
            continue
        for target in (target for node in ast.walk(ast.parse(path.read_text())) for target in _targets(node)):
            if not isinstance(target, ast.Attribute) or target.attr not in attributes:
                continue
            if ast.unparse(target.value).rpartition(".")[2].lstrip("_") in {"cache", "pending"}:
                found.add(where)
    return found


def threads() -> tuple[list[str], list[str]]:
    """Return the threads that one refresh over a real connection leaves: of an async caller, and of a blocking one.

    A look-up of a host name takes a thread of the event loop's for its duration, in seic's own loop too. A
    process of its own has no portal yet.
    """
    program = "from tests.structure import figures; print(*map(' '.join, figures.count_threads()), sep=chr(10))"
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], cwd=_TESTS.parent, capture_output=True, text=True, check=True
    )
    of_async, of_blocking = (line.split() for line in run.stdout.split("\n")[:2])
    return of_async, of_blocking


def count_threads() -> tuple[set[str], set[str]]:
    """Count the threads in this process: all that an async refresh starts, and those that a blocking one leaves."""
    started: set[str] = set()
    start = threading.Thread.start

    def note(thread: threading.Thread) -> None:
        started.add(thread.name)
        start(thread)

    with Sandbox() as sandbox:
        config, before = sandbox.config(), {*threading.enumerate()}

        async def refresh() -> None:
            async with seic.AsyncClient(config) as client:
                await client.token()
                threading.Thread.start = note  # type: ignore[assignment, method-assign]
                await client.token(force=True)

        asyncio.run(refresh())
        threading.Thread.start = start  # type: ignore[method-assign]
        with seic.Client(config) as client:
            client.token()
            of_blocking = _names(before)
    return {name for name in started if name.startswith("seic")}, of_blocking


def _names(before: set[threading.Thread]) -> set[str]:
    return {thread.name for thread in {*threading.enumerate()} - before if thread.name.startswith("seic")}

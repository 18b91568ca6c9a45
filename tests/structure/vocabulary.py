"""Names of modules and classes, and the words of the field that they may be made of."""

from __future__ import annotations

import ast
import builtins
import importlib
import keyword
import pkgutil
import re
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import seic

ROOT = Path(seic.__file__).parent
_WORDS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+")


def words(name: str) -> list[str]:
    """Return the words of a name, in lower case."""
    return [word.lower() for word in _WORDS.findall(name.replace("DPoP", "Dpop"))]


def _modules(name: str) -> Iterator[object]:
    module = importlib.import_module(name)
    yield module
    for found in pkgutil.iter_modules(getattr(module, "__path__", [])):
        yield type("Name", (), {found.name: None})


@cache
def _lists() -> list[tuple[str, list[str]]]:
    lines = (Path(__file__).parent / "standards.txt").read_text().splitlines()
    return [(title, text.split()) for title, _, text in (line.partition(": ") for line in lines)]


@cache
def known() -> frozenset[str]:
    """Return the words of the standards and of the libraries' names of modules, classes and functions."""
    spoken = _lists()
    names = {*dir(builtins), *keyword.kwlist, "seic"}
    for library in (word for title, text in spoken if title == "Libraries" for word in text):
        for module in _modules(library):
            for name in dir(module):
                names.add(name)
                with warnings.catch_warnings(action="ignore"):  # of names that a library has deprecated
                    value = getattr(module, name, None)
                if isinstance(value, type):
                    names.update(dir(value))
    return frozenset({word for _, text in spoken for word in text} | {word for name in names for word in words(name)})


def defined() -> Iterator[tuple[str, str]]:
    """Yield each name of a module, package or class of seic, and the file that has it."""
    for path in sorted(ROOT.rglob("*.py")):
        where = path.relative_to(ROOT).as_posix()
        yield (path.parent.name if path.name == "__init__.py" else path.stem), where
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                yield node.name, where


def is_known(word: str) -> bool:
    """Tell whether a word is of the field, whatever its ending."""
    forms = {word}
    # An ending of a noun or a verb, and what the word may have in its place.
    for end, stem in (pair.split(":") for title, pairs in _lists() if title == "Endings" for pair in pairs):
        if word.endswith(end):
            forms.add(word.removesuffix(end) + stem)
    forms |= {f"{form}s" for form in forms}
    return word.isdigit() or not forms.isdisjoint(known())


def unknown() -> dict[str, list[str]]:
    """Return the words of names that are not of the field, with the names and files that have them."""
    found: dict[str, list[str]] = {}
    for name, where in defined():
        for word in words(name):
            if not is_known(word):
                found.setdefault(word, []).append(f"{name} ({where})")
    return found

"""The types of the public interface: all are known, and users can name all of them."""

from __future__ import annotations

import contextlib
import enum
import functools
import importlib
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests._support.type_checkers import run_mypy, verify_types

#: A private name in what mypy says, such as `seic._model.token.Token`, or `seic.fastapi._logins.Logins`.
_PRIVATE = re.compile(r"\bseic(?:\.\w+)*\._\w+(?:\.\w+)*")
#: Attributes that are about to become private.


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    """Return pyright's report on the types of the package."""
    return verify_types()


def _public_modules(report: dict[str, Any]) -> list[ModuleType]:
    return [importlib.import_module(module["name"]) for module in report["modules"]]


def test_every_public_type_is_known(report: dict[str, Any]) -> None:
    """A type checker must not have to infer one, which each does in its own way."""
    unknown = {
        symbol["name"]: [one["message"] for one in symbol["diagnostics"]]
        for symbol in report["symbols"]
        if symbol["isTypeAmbiguous"] or not symbol["isTypeKnown"]
    }
    assert unknown == {}
    assert report["completenessScore"] == 1


def test_only_modules_with_public_names_are_public(report: dict[str, Any]) -> None:
    """A module without an underscore is an interface that later releases have to keep."""
    assert {module["name"] for module in report["modules"]} == {
        "seic",
        "seic.events",
        "seic.fastapi",
        "seic.httpx2",
        "seic.otel",
        "seic.sandbox",
        "seic.sandbox.demo",
        "seic.redis",
        "seic.testing",
        # Commands.
        "seic.__main__",
        "seic.cli",
        "seic.sandbox.__main__",
    }


def test_users_can_name_the_type_of_every_public_attribute(report: dict[str, Any], tmp_path: Path) -> None:
    """The types of the public functions, and of all attributes of the public classes, are exported.

    Classes are defined in private modules, and mypy prints the defining module: `seic._model.token.Token`. Each
    such name is imported, and must be the same object as a public one: `seic.Token`.
    """
    modules = [module for module in _public_modules(report) if hasattr(module, "__all__")]
    attributes = _attributes(report)
    lines = [f"import {module.__name__}" for module in modules]
    for module, name in [(one, name) for one in modules for name in one.__all__]:
        public, exported = f"{module.__name__}.{name}", getattr(module, name)
        if isinstance(exported, type):
            lines.append(f"def look_{len(lines)}(it: {public}) -> None:")
            of_kind = sorted(one for base in exported.__mro__ for one in attributes.get(id(base), ()))
            lines += [f"    reveal_type(it.{one})  # {public}.{one}" for one in of_kind] or ["    ..."]
        elif not isinstance(exported, ModuleType):
            lines.append(f"reveal_type({public})  # {public}")
    subjects = {number: line.partition("# ")[2] for number, line in enumerate(lines, 1) if "#" in line}
    file = tmp_path / "reveal.py"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")

    said = {line: message for line, message in run_mypy(file) if "Revealed type" in message}

    assert said.keys() == subjects.keys()
    exported_ids = {id(getattr(module, name)) for module in modules for name in module.__all__}
    hidden = {
        f"{subjects[line]} is {name}"
        for line, message in said.items()
        for name in _PRIVATE.findall(message)
        if id(found := _resolve(name)) not in exported_ids and not isinstance(found, enum.Enum)
    }
    assert hidden == set()


def _attributes(report: dict[str, Any]) -> dict[int, list[str]]:
    """Return the public attributes by the identity of the class that defines them."""
    found: dict[int, list[str]] = {}
    for symbol in report["symbols"]:
        owner, _, attribute = symbol["name"].rpartition(".")
        if owner and symbol["category"] not in {"class", "module"} and not attribute.startswith("_"):
            found.setdefault(id(_resolve(owner)), []).append(attribute)
    return found


def _resolve(name: str) -> object:
    """Import the object with a dotted name; None if it exists for type checkers only."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        with contextlib.suppress(ModuleNotFoundError):
            found: object = importlib.import_module(".".join(parts[:length]))
            return functools.reduce(lambda one, part: getattr(one, part, None), parts[length:], found)
    raise AssertionError(name)

"""An extension of griffe: the signatures of classes whose `__init__` attrs or a dataclass generates.

griffe reads the source, where such a class has fields only. Names, order and kinds are those of the running class;
annotations and defaults are those of the source.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterator
from typing import Any

import griffe

_DECORATORS = {"frozen", "define", "_event"}


class AttrsSignatures(griffe.Extension):
    """Adds `__init__` to the classes of a package that have a decorator of attrs."""

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Add the methods, when all classes are loaded."""
        for kind in _classes(pkg):
            names = {str(one.value).partition("(")[0].rpartition(".")[2] for one in kind.decorators}
            if names & _DECORATORS and "__init__" not in kind.members:
                kind.set_member("__init__", _init(kind))


def _classes(parent: griffe.Module | griffe.Class) -> Iterator[griffe.Class]:
    for member in list(parent.members.values()):
        if isinstance(member, griffe.Module):
            yield from _classes(member)
        elif isinstance(member, griffe.Class):
            yield member


def _init(kind: griffe.Class) -> griffe.Function:
    running = getattr(importlib.import_module(kind.module.path), kind.name)
    parameters = [griffe.Parameter("self", kind=griffe.ParameterKind.positional_or_keyword)]
    for name, one in inspect.signature(running).parameters.items():
        if name.startswith("_"):
            continue  # for the package itself
        field = _field(kind, name)
        default = None if one.default is one.empty else _default(field, one.default)
        parameters.append(
            griffe.Parameter(
                name,
                annotation=field.annotation if field else None,
                kind=griffe.ParameterKind(one.kind.description),
                default=default,
            )
        )
    return griffe.Function("__init__", parent=kind, parameters=griffe.Parameters(*parameters), returns="None")


def _field(kind: griffe.Class, name: str) -> griffe.Attribute | None:
    """Return the field of a parameter, of the class or of one that it inherits from."""
    for parent in [kind, *kind.mro()]:
        for spelling in (name, f"_{name}"):  # attrs removes the underscore of a private field
            field = parent.members.get(spelling)
            if isinstance(field, griffe.Attribute):
                return field
    return None


def _default(field: griffe.Attribute | None, value: object) -> str:
    """Return a default as the reader of a page needs it: no call of `attrs.field`, no factory."""
    if isinstance(value, str | int | float | bool | tuple | None):
        return repr(value)
    written = str(field.value) if field and field.value is not None else ""
    return written if written and "field(" not in written and "actory" not in written else "..."

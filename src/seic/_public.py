"""Public names look public (`seic.Token`, not `seic._model.token.Token`); public values are JSON without secrets."""

from __future__ import annotations

import datetime as dt
import functools
import math
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from types import FunctionType
from typing import Any, ForwardRef, cast

#: Annotations that need no module; typing compiles each of the others.
_BUILTIN = frozenset(f"{name}{optional}" for name in ("str", "bool", "int", "float") for optional in ("", " | None"))


def publish(module: str, names: Iterable[str], namespace: Mapping[str, object]) -> None:
    """Set `__module__` of the classes and functions that a module exports, and make its attrs values serializable.

    Tracebacks, `repr` and `help` then show the name that a user imports, and pickles survive a move of the private
    module. A name that another public module has already published keeps that module.

    Args:
        module: The public module.
        names: Its `__all__`.
        namespace: Its `globals()`.
    """
    for name in names:
        exported = namespace[name]
        if not isinstance(exported, type | FunctionType) or "._" not in exported.__module__:
            continue
        if isinstance(exported, type):
            _keep_annotations_resolvable(exported)
            if hasattr(exported, "__attrs_attrs__"):
                _make_serializable(exported)
                if (getter := vars(exported).get("__getattr__")) is not None:
                    # attrs compiles it without a module, which pydoc of Python 3.13 needs.
                    getter.__module__ = module
        exported.__module__ = module


def _keep_annotations_resolvable(kind: type) -> None:
    # typing.get_type_hints looks a class's names up in the module that `__module__` names.
    annotations = vars(kind).get("__annotations__", {})
    for name, annotation in annotations.items():
        if isinstance(annotation, str) and annotation not in _BUILTIN:
            annotations[name] = ForwardRef(annotation, is_argument=False, is_class=True, module=kind.__module__)


# --- values as JSON ---------------------------------------------------------------------------------------------------


def _make_serializable(kind: Any) -> None:
    """Let `dict(value)` return what the repr shows, and so FastAPI serialize a value that a handler returns."""
    kind.keys, kind.__getitem__ = _keys, _getitem
    # Without it, __getitem__ alone would make the value a sequence.
    kind.__iter__ = None
    kind.__get_pydantic_core_schema__ = classmethod(_core_schema)
    kind.__get_pydantic_json_schema__ = classmethod(_json_schema)
    # Pydantic asks the value itself if the annotation is `Any`.
    kind.__pydantic_serializer__ = property(_serializer)


def _keys(value: Any) -> list[str]:
    return list(_members(value))


def _getitem(value: Any, name: str) -> object:
    return _members(value)[name]


def _members(value: Any) -> dict[str, object]:
    """Return the attributes that the repr shows as JSON, secrets masked as there."""
    found: dict[str, object] = {}
    for field in type(value).__attrs_attrs__:
        if field.repr is False or field.name.startswith("_"):
            continue
        content = getattr(value, field.name)
        if field.repr is not True and content is not None:
            content = field.repr(content)
        if content is None or (content := _json(content)) is not None:
            found[field.name] = content
    return found


def _json(value: Any) -> object:
    """Return a value as JSON, None if it is none."""
    if isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value)):
        return str(value) if isinstance(value, str) else value
    if isinstance(value, dt.date | PurePath):
        return value.isoformat() if isinstance(value, dt.date) else str(value)
    if isinstance(value, Mapping):
        return {str(name): _json(each) for name, each in value.items()}
    if isinstance(value, tuple | list):
        return [_json(each) for each in value]
    if isinstance(value, frozenset | set):
        return sorted(map(str, value))
    return _members(value) if hasattr(type(value), "__attrs_attrs__") else None


def _core_schema(kind: type, _source: object, _handler: object) -> dict[str, object]:
    # As `pydantic_core.core_schema` builds it, without an import.
    return {"type": "is-instance", "cls": kind, "serialization": {"type": "function-plain", "function": _members}}


def _serializer(value: Any) -> object:
    kind: Any = type(value)
    return _serializer_of(kind)


@functools.cache
def _serializer_of(kind: type) -> object:
    from pydantic_core import SchemaSerializer

    return SchemaSerializer(cast("Any", _core_schema(kind, None, None)))


def _json_schema(kind: type, _schema: object, _handler: object) -> dict[str, object]:
    return {"title": kind.__name__, "type": "object", "additionalProperties": True}

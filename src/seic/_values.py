"""`frozen`: as `attrs.frozen`, with methods that all classes share.

attrs compiles `__repr__`, `__eq__` and `__hash__` for each class, which was a tenth of the time that a client's import
takes. They are the same here, but slower to call: a class that is compared in each request takes `attrs.frozen`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs

__all__ = ["frozen"]

if TYPE_CHECKING:
    from attrs import frozen
else:

    def frozen(kind: type | None = None, *, eq: bool = True, repr: bool = True, **options: Any) -> Any:  # noqa: A002
        """Make a class as `attrs.frozen` does."""
        if kind is None:
            return functools.partial(frozen, eq=eq, repr=repr, **options)
        own = vars(kind)
        methods = {}
        if repr and "__repr__" not in own:
            methods["__repr__"] = _repr
        if eq and "__eq__" not in own:
            methods["__eq__"] = _eq
            if "__hash__" not in own:
                methods["__hash__"] = _hash
        made = attrs.frozen(kind, eq=False, repr=False, **options)
        for name, method in methods.items():
            setattr(made, name, method)
        return made


def _repr(value: Any) -> str:
    shown = ", ".join(f"{name}={text(getattr(value, name))}" for name, text in _shown(value.__class__))
    return f"{type(value).__qualname__.rsplit('>.', 1)[-1]}({shown})"


def _eq(value: Any, other: Any) -> Any:
    if type(other) is not type(value):
        return NotImplemented
    fields = _compared(value.__class__)
    return _facts(value, fields) == _facts(other, fields)


def _hash(value: Any) -> int:
    return hash((type(value), *_facts(value, _hashed(value.__class__))))


def _facts(value: Any, fields: tuple[tuple[str, Callable[[Any], Any] | None], ...]) -> list[Any]:
    return [getattr(value, name) if key is None else key(getattr(value, name)) for name, key in fields]


@functools.cache
def _shown(kind: type) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
    fields = attrs.fields(kind)
    return tuple((field.name, field.repr if callable(field.repr) else repr) for field in fields if field.repr)


@functools.cache
def _compared(kind: type) -> tuple[tuple[str, Callable[[Any], Any] | None], ...]:
    return tuple((field.name, field.eq_key) for field in attrs.fields(kind) if field.eq)


@functools.cache
def _hashed(kind: type) -> tuple[tuple[str, Callable[[Any], Any] | None], ...]:
    return tuple(
        (field.name, field.eq_key) for field in attrs.fields(kind) if (field.eq if field.hash is None else field.hash)
    )

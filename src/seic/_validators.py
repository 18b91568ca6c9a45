"""Validators of the arguments of `Config`: texts, secrets, types, interfaces, numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import attrs

from seic._errors import ConfigurationError

Validator: TypeAlias = "Callable[[object, attrs.Attribute[Any], object], None]"


def is_text(_config: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Require a printable, non-empty string, or None if that is the default."""
    if value is None and attribute.default is None:
        return
    if not isinstance(value, str) or not value:
        raise ConfigurationError(f"{attribute.name}: must be a non-empty string", field=attribute.name)
    # The value can be sent in a header, and a control character could start another header.
    if not value.isprintable():
        raise ConfigurationError(
            f"{attribute.name}: contains a character that is not printable, such as a trailing line end; remove it",
            field=attribute.name,
        )


def is_secret(config: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Require what `is_text` requires, or a callable, which is not called here."""
    if not callable(value) or isinstance(value, type):
        is_text(config, attribute, value)


def is_a(*kinds: type, wanted: str) -> Validator:
    """Return a validator that requires one of the types; `wanted` describes them."""

    def check(_config: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if value is None and attribute.default is None:
            return
        if not isinstance(value, kinds):
            raise _unlike(attribute, value, wanted)

    return check


def offers(*methods: str, wanted: str) -> Validator:
    """Return a validator that requires an object with the methods; `wanted` describes it."""

    def check(_config: object, attribute: attrs.Attribute[Any], value: object) -> None:
        if value is None and attribute.default is None:
            return
        # A class has the methods too; it is passed by mistake if the parentheses are missing.
        if isinstance(value, type) or not all(callable(getattr(value, method, None)) for method in methods):
            raise _unlike(attribute, value, wanted)

    return check


def _unlike(attribute: attrs.Attribute[Any], value: object, wanted: str) -> ConfigurationError:
    # The value is not quoted, since it may be a secret in the wrong argument.
    actual = f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__
    return ConfigurationError(f"{attribute.name}: must be {wanted}, not {actual}", field=attribute.name)


def is_seconds(_config: object, attribute: attrs.Attribute[Any], value: object) -> None:
    """Require a number, or None if that is the default."""
    if value is None and attribute.default is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _unlike(attribute, value, "a number of seconds")

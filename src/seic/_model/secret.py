"""Secrets that a user states: as text, or as a callable that is asked each time one is needed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TypeAlias

from seic._errors import ConfigurationError

#: A text, or a plain function that returns one. The function is called by whatever thread renews the token, once for
#: each renewal: it should be quick, and it must not await.
Secret: TypeAlias = str | Callable[[], str]


def is_set(secret: object) -> bool:
    """Tell whether there is a secret at all: a text that is not empty, or a callable."""
    return callable(secret) or (isinstance(secret, str) and secret != "")


def reveal(secret: Secret, *, field: str) -> str:
    """Return the text, asking the callable for it.

    Args:
        secret: The text or the callable.
        field: The setting's name, for the error.

    Raises:
        ConfigurationError: The callable failed, or returned something else than a text; what it raised is the cause.
    """
    if isinstance(secret, str):
        return secret
    try:
        value: object = secret()
    except Exception as error:
        raise ConfigurationError(
            f"{field}: the callable that supplies it raised {type(error).__name__}", field=field
        ) from error
    if not isinstance(value, str) or not value:
        what = "an empty text" if value == "" else type(value).__name__
        raise ConfigurationError(
            f"{field}: the callable that supplies it must be a plain function that returns a text, not {what}",
            field=field,
        )
    return value


def digest(secret: object) -> str | None:
    """Return what tells one secret from another without giving it away; None for a callable.

    Only for what a machine made: the digest of a password could be guessed back.
    """
    content = secret.encode(errors="surrogatepass") if isinstance(secret, str) else secret
    return hashlib.sha256(content).hexdigest()[:16] if isinstance(content, bytes) else None

"""What tests of renewals begin with, and how far the clock goes on."""

from __future__ import annotations

from seic._model.grants import AuthorizationCode, Password
from seic._tokens.source import CachingTokenSource

LATER = 3_601.0
# In the advisory window of a token of an hour, and in none of the others.
SOON = 3_000.0


def code() -> AuthorizationCode:
    """A login of its own for each test."""
    return AuthorizationCode(code="code-1")


def password() -> Password:
    """A grant that can ask again."""
    return Password(username="u", password="p")


async def background(source: CachingTokenSource) -> None:
    """Wait until nothing is under way any more."""
    while (pending := source.cache.pending) is not None:
        await pending.future.wait()

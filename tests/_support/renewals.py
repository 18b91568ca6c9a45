"""Values and helpers for tests of renewals."""

from __future__ import annotations

from seic._model.login_grants import AuthorizationCode, Password
from seic._tokens.source import CachingTokenSource

LATER = 3_601.0
# In the advisory period of a token of an hour, and in no other.
SOON = 3_000.0


def code() -> AuthorizationCode:
    """Return a separate login for each test."""
    return AuthorizationCode(code="code-1")


def password() -> Password:
    """Return a grant that can request again."""
    return Password(username="u", password="p")


async def background(source: CachingTokenSource) -> None:
    """Wait until no background work remains."""
    while (pending := source.cache.pending) is not None:
        await pending.future.wait()

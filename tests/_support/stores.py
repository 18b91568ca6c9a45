"""A token store in place of a database: each process has its own object, and all of them the same tokens."""

from __future__ import annotations

import seic


class DatabaseStore:
    """A token store over a dict.

    Attributes:
        tokens: The tokens by key.
    """

    blocking = False

    def __init__(self, tokens: dict[str, seic.Token]) -> None:
        self.tokens = tokens

    def load(self, key: str) -> seic.Token | None:
        """Return the token of a key."""
        return self.tokens.get(key)

    def save(self, key: str, token: seic.Token) -> None:
        """Save the token of a key."""
        self.tokens[key] = token

    def delete(self, key: str) -> None:
        """Delete the token of a key."""
        self.tokens.pop(key, None)

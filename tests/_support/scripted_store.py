"""A user's store that behaves as a test says, and the tokens in it."""

from __future__ import annotations

import threading
from typing import Any

from seic import Token
from tests._support.gate import Gate
from tests._support.mocks import PATIENCE

WALL = 1_700_000_000.0


def token(**changes: Any) -> Token:
    """Return a new token of an hour, with changes that a store could make."""
    settings: dict[str, Any] = {"access_token": "stored", "obtained_at": WALL, "expires_in": 3600}
    return Token(**{**settings, **changes})


class Store:
    """A user's store with the behaviour of the test.

    Attributes:
        gates: Each operation waits for its gate.
        errors: Each operation raises its error.
        calls: The operations that started.
        threads: The names of the calling threads.
    """

    def __init__(self, held: Any = None, *, blocking: bool = True) -> None:
        self.blocking = blocking
        self.held = held
        self.gates: dict[str, Gate] = {}
        self.errors: dict[str, BaseException] = {}
        self.calls: list[str] = []
        self.threads: set[threading.Thread] = set()

    def load(self, key: str) -> Any:
        """Return the token."""
        self._enter("load")
        return self.held

    def save(self, key: str, token: Token) -> None:
        """Save a token."""
        self._enter("save")
        self.held = token

    def delete(self, key: str) -> None:
        """Delete the token."""
        self._enter("delete")
        self.held = None

    def hang(self, operation: str) -> Gate:
        """Let an operation wait; return its gate."""
        gate = self.gates[operation] = Gate()
        return gate

    def _enter(self, operation: str) -> None:
        self.calls.append(operation)
        self.threads.add(threading.current_thread())
        if operation in self.gates:
            assert self.gates[operation].wait(PATIENCE)
        if operation in self.errors:
            raise self.errors[operation]

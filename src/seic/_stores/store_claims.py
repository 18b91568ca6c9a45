"""`StoreClaims`: the numbers of the claims that this process holds, with which a store refuses an outdated write."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TypeAlias

from seic._model.token import Token

#: The process, since a fork copies the claims of its parent, and the name of the entry.
_Key: TypeAlias = tuple[int, str]


class StoreClaims:
    """The number of each claim of this process.

    Each claim has a greater number than those before it. A token is saved with the number of the claim under which it
    was requested, and a store refuses a save with a smaller number than that of the last one: a process that was
    frozen, while another took over, cannot overwrite the newer token.
    """

    def __init__(self) -> None:
        # Single operations of a dict or set are atomic.
        self._numbers: dict[_Key, int] = {}
        self._unsaved: set[_Key] = set()
        self._released: set[_Key] = set()

    def take(self, name: str, number: int) -> None:
        """Note a claim."""
        self._unsaved.discard(_key(name))
        self._released.discard(_key(name))
        self._numbers[_key(name)] = number

    def number(self, name: str) -> int | None:
        """Return the number of the claim; None if there is none."""
        return self._numbers.get(_key(name))

    def saving(self, name: str) -> None:
        """Note that a token is about to be saved; if that fails, it is saved again under the same claim."""
        if _key(name) in self._numbers:
            self._unsaved.add(_key(name))

    def saved(self, name: str) -> None:
        """Note that a token was saved, or that a newer one was there."""
        self._unsaved.discard(_key(name))
        if _key(name) in self._released:
            self.release(name)

    def release(self, name: str) -> int | None:
        """Forget a claim, unless its token is yet to be saved; return its number."""
        if _key(name) in self._unsaved:
            self._released.add(_key(name))
            return self._numbers.get(_key(name))
        self._released.discard(_key(name))
        return self._numbers.pop(_key(name), None)


def claim_all(names: Iterable[str], claim: Callable[[str], bool], release: Callable[[str], None]) -> bool:
    """Claim an entry under all of its names, or under none.

    While a key is being rotated, it has several, and other processes write it under another one. All claim them in the
    same order.
    """
    claimed: list[str] = []
    for name in sorted(names):
        if not claim(name):
            for one in claimed:
                release(one)
            return False
        claimed.append(name)
    return True


def newest(tokens: Iterable[Token]) -> Token | None:
    """Return the newest of the tokens under the names of an entry; an older one may have a used refresh token."""
    return max(tokens, key=lambda token: token.obtained_at, default=None)


def _key(name: str) -> _Key:
    return os.getpid(), name

"""`StoreClaims`: the numbers of the claims that this process holds, with which a store refuses an outdated write."""

from __future__ import annotations


class StoreClaims:
    """The number of each claim of this process.

    Each claim has a greater number than those before it. A token is saved with the number of the claim under which it
    was requested, and a store refuses a save with a smaller number than that of the last one: a process that was
    frozen, while another took over, cannot overwrite the newer token.
    """

    def __init__(self) -> None:
        # Single operations of a dict or set are atomic.
        self._numbers: dict[str, int] = {}
        self._unsaved: set[str] = set()
        self._released: set[str] = set()

    def take(self, key: str, number: int) -> None:
        """Note a claim."""
        self._unsaved.discard(key)
        self._released.discard(key)
        self._numbers[key] = number

    def number(self, key: str) -> int | None:
        """Return the number of the claim; None if there is none."""
        return self._numbers.get(key)

    def saving(self, key: str) -> None:
        """Note that a token is about to be saved; if that fails, it is saved again under the same claim."""
        if key in self._numbers:
            self._unsaved.add(key)

    def saved(self, key: str) -> None:
        """Note that a token was saved, or that a newer one was there."""
        self._unsaved.discard(key)
        if key in self._released:
            self.release(key)

    def release(self, key: str) -> int | None:
        """Forget a claim, unless its token is yet to be saved; return its number."""
        if key in self._unsaved:
            self._released.add(key)
            return self._numbers.get(key)
        self._released.discard(key)
        return self._numbers.pop(key, None)

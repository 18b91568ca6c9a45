"""One token request under way: who waits for it, and how it ended. It belongs to no task, thread or event loop."""

from __future__ import annotations

import itertools
import time

from seic._errors import SeicError, TokenEndpointUnavailable
from seic._runtime import Job, Latch
from seic._tokens.held import Held
from seic._tokens.outcomes import name_failure

_numbers = itertools.count(1)
#: How often a waiter elsewhere looks whether the one who fetches is still alive, in seconds.
_LOOK = 0.25


class Flight:
    """A fetch that many may wait for and that none of them owns.

    It ends in one of three ways: a token, an error for all who waited, or abandoned, after which the next caller
    starts anew.

    Args:
        host: The token endpoint, for the error.
        ahead: Whether it renews ahead while calls go on, so that nobody waits for it.
        force: Whether it passes over the store.
        patience: Seconds after which waiters stop believing in it, above everything that it may take by itself.
    """

    def __init__(self, *, host: str, ahead: bool, force: bool, patience: float) -> None:
        #: Tells this process's flights apart in events.
        self.number = next(_numbers)
        self.ahead = ahead
        self.force = force
        self.held: Held | None = None
        self.error: SeicError | None = None
        self.job: Job | None = None
        #: Whether its token came out of a store.
        self.stored = False
        self._host = host
        self._overdue_at = time.monotonic() + patience
        self._patience = patience
        self._latch = Latch()

    @property
    def ended(self) -> bool:
        """Whether it has ended, in whichever way."""
        return self._latch.is_set()

    @property
    def outcome(self) -> str:
        """How it ended, in the words of `TokenFetchEnded`."""
        if self.held is not None:
            return "stored" if self.stored else "acquired"
        return "abandoned" if self.error is None else name_failure(self.error)

    @property
    def tracking_id(self) -> str | None:
        """The provider's id of the call that ended it."""
        if self.held is not None:
            return self.held.token.tracking_id
        return getattr(self.error, "tracking_id", None)

    def is_stranded(self) -> bool:
        """Whether whatever ran it has died under it."""
        return not self.ended and self.job is not None and self.job.is_stranded()

    def land(self, held: Held) -> None:
        """End it with a token."""
        if not self.ended:
            self.held = held
            self._latch.set()

    def fail(self, error: SeicError) -> None:
        """End it with an error."""
        if not self.ended:
            self.error = error
            self._latch.set()

    def abandon(self) -> None:
        """End it with nothing: whoever waits starts anew."""
        self._latch.set()

    def overdue(self) -> TokenEndpointUnavailable | None:
        """Return the error to fail with if it has taken longer than it ever may, else None."""
        if time.monotonic() < self._overdue_at:
            return None
        return TokenEndpointUnavailable(f"{self._host}: the token endpoint gave no answer within {self._patience:g} s")

    def wait(self) -> bool:
        """Block for a moment; return whether it has ended."""
        return self._latch.wait(_LOOK)

    async def wait_async(self) -> bool:
        """Wait until it ends; return whether it has. Beside a foreign loop or thread, wait for a moment only."""
        here = self.job is not None and self.job.is_here()
        return await self._latch.wait_async(None if here else _LOOK)

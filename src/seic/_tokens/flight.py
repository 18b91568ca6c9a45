"""One fetch under way: who waits for it, and how it ended. It belongs to no task, thread or event loop."""

from __future__ import annotations

import itertools
import math
import random
import threading
import time

from seic._errors import SeicError, TokenEndpointUnavailable, TokenError
from seic._runtime import Job, Latch
from seic._tokens.held import Held
from seic._tokens.outcomes import name_failure
from seic._tokens.spending import Spending

_numbers = itertools.count(1)
#: How often a waiter elsewhere looks whether whatever runs the fetch still lives, in seconds: up to twice as long, by
#: chance, so that a thousand waiters do not look at one moment.
_LOOK = 0.25


def take_number() -> int:
    """Return a number that is greater than that of each flight before, and less than that of each one after."""
    return next(_numbers)


class Flight:
    """A fetch that many may wait for and that none of them owns.

    It ends in one of three ways: a token, an error for all who waited, or abandoned, after which whoever waits starts
    anew, unless it was closed.

    Args:
        host: The token endpoint, for the error.
        ahead: Whether it renews ahead while calls go on, so that nobody waits for it.
        force: Whether it passes over the store.
        patience: Seconds after which waiters stop believing in it: more than it may take by its own deadlines.
    """

    def __init__(self, *, host: str, ahead: bool, force: bool, patience: float) -> None:
        #: Tells this process's flights apart, and which was first.
        self.number = take_number()
        self.ahead = ahead
        self.force = force
        self.held: Held | None = None
        self.error: SeicError | None = None
        #: Whether its token came out of a store.
        self.stored = False
        #: What runs it; None for the moment before it starts.
        self.job: Job | None = None
        #: The refresh token or code that it has sent, and has no answer to yet.
        self.spending: Spending | None = None
        #: The thread in which it was decided on, and is to be started.
        self.begun_by = threading.get_ident()
        #: From when on, by the monotonic clock, whoever has a living token goes on with that.
        self.tries_patience_at = math.inf
        #: Whether it ends because its owner does, so that whoever waits starts nothing anew.
        self.closed = False
        #: Who waits for it; a set rather than a number, since adding and discarding are atomic.
        self.waiting: set[object] = set()
        self._host = host
        self._patience = patience
        self._overdue_at = time.monotonic() + patience
        self._latch = Latch()

    @property
    def ended(self) -> bool:
        """Whether it has ended, in whichever way."""
        return self._latch.is_set()

    @property
    def outcome(self) -> str:
        """How it ended, in the words of `TokenRefreshEnded`."""
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

    def spends(self, spending: Spending) -> None:
        """Note what it has sent that can be sent once only."""
        self.spending = spending

    @property
    def is_spending(self) -> bool:
        """Whether ending it now would lose the answer to what can be sent once only."""
        return self.spending is not None and not self.spending.ended.is_set()

    @property
    def is_wanted(self) -> bool:
        """Whether somebody would miss what it brings."""
        return self.is_spending or bool(self.waiting)

    def is_here(self) -> bool:
        """Whether it runs in the event loop of this very thread."""
        return self.job is not None and self.job.is_here()

    def land(self, held: Held, *, stored: bool) -> None:
        """End it with a token."""
        self.held = held
        self.stored = stored
        self._latch.set()

    def fail(self, error: SeicError) -> None:
        """End it with an error."""
        self.error = error
        self._latch.set()

    def abandon(self) -> None:
        """End it with nothing, or with an error where it was closed, and have what may still run of it ended."""
        if self.closed:
            self.error = TokenError(f"{self._host}: closed while a token was being fetched; later calls ask anew")
        self._latch.set()
        self.cancel()
        if self.spending is not None:
            # Nobody is left who would see the answer.
            self.spending.end()

    def cancel(self) -> None:
        """Have it ended from outside."""
        if self.job is not None:
            self.job.cancel()

    def close(self) -> None:
        """Have it ended because its owner ends; whoever waits gets an error, and asks for nothing more."""
        self.closed = bool(self.waiting)
        self.cancel()

    def overdue(self) -> TokenEndpointUnavailable | None:
        """Return the error to fail with if it has taken longer than it ever may, else None."""
        if time.monotonic() < self._overdue_at:
            return None
        return TokenEndpointUnavailable(f"{self._host}: the token endpoint gave no answer within {self._patience:g} s")

    def wait(self, seconds: float | None = None) -> bool:
        """Block for `seconds`, or for a moment; return whether it has ended."""
        return self._latch.wait(_a_moment() if seconds is None else seconds)

    async def wait_async(self, seconds: float | None = None) -> bool:
        """Wait for `seconds`, or until it ends; return whether it has. In a foreign loop, wait for a moment only."""
        if seconds is None and not self.is_here():
            seconds = _a_moment()
        return await self._latch.wait_async(seconds)


def _a_moment() -> float:
    return _LOOK * (1 + random.random())  # noqa: S311  # chance, no secret

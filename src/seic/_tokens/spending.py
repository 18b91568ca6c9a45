"""What can be spent once only, refresh tokens and codes: who spends one now, and how the spending ended.

A provider that sees one twice takes it for stolen, and ends every token that came of it (RFC 9700 §4.14.2, RFC 6749
§4.1.2). Nothing is sent here.
"""

from __future__ import annotations

import enum
import hashlib
import weakref

from seic._runtime import Latch, Lock

#: How many endings are remembered: each renewal adds one, and what is older than a few renewals comes from nowhere.
_REMEMBERED = 256


class Fate(enum.Enum):
    """How a spending ended."""

    #: The provider did not take it, and it is as good as before.
    UNSPENT = enum.auto()
    #: The provider took it, or will never take it.
    SPENT = enum.auto()
    #: It was sent, and no answer came back.
    IN_DOUBT = enum.auto()


class Spending:
    """One secret on its way to the provider; it ends once, and in doubt unless something better is known."""

    def __init__(self, spendings: Spendings, name: str) -> None:
        self._spendings = spendings
        self._name = name
        #: Set when it has ended.
        self.ended = Latch()

    def end(self, fate: Fate = Fate.IN_DOUBT) -> None:
        """End it; only the first time counts."""
        self._spendings.settle(self._name, self, fate)


class Spendings:
    """Every spending of those who might send the same secret: the sources of one store, or of one grant."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._running: dict[str, Spending] = {}
        # By digest: what is spent need not be kept.
        self._fates: dict[str, Fate] = {}

    def begin(self, secret: str) -> tuple[Spending, bool]:
        """Return the spending of a secret, and whether it begins here and now: if not, somebody else spends it."""
        name = _name(secret)
        with self._lock:
            running = self._running.get(name)
            if running is not None:
                return running, False
            spending = self._running[name] = Spending(self, name)
            return spending, True

    def fate(self, secret: str) -> Fate:
        """Return how the last spending of a secret ended; one that was never sent is unspent."""
        with self._lock:
            return self._fates.get(_name(secret), Fate.UNSPENT)

    def settle(self, name: str, spending: Spending, fate: Fate) -> None:
        """Remember how a spending ended, and wake who waits for it."""
        with self._lock:
            if self._running.get(name) is not spending:
                return
            del self._running[name]
            self._fates.pop(name, None)
            if fate is not Fate.UNSPENT:
                self._fates[name] = fate
            while len(self._fates) > _REMEMBERED:
                del self._fates[next(iter(self._fates))]
        spending.ended.set()

    def after_fork(self) -> None:
        """Begin anew in a forked child: what the parent was sending, the child must not send."""
        for spending in list(self._running.values()):
            spending.end()


# By identity: two grants that are equal need not be one login, and a store of the user's may have any equality.
_known: dict[int, tuple[weakref.ref[object], Spendings]] = {}
_known_lock = Lock()


def spendings_of(anchor: object) -> Spendings:
    """Return the spendings of all who share a store or a grant, for as long as it lives."""
    key = id(anchor)
    with _known_lock:
        if key in _known:
            return _known[key][1]
        spendings = Spendings()
        try:
            reference = weakref.ref(anchor, lambda _: _known.pop(key, None))
        except TypeError:  # an object of the user's that cannot be watched: whoever asks is alone
            return spendings
        _known[key] = (reference, spendings)
        return spendings


def _name(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()

"""What can be spent once only, refresh tokens and codes: who spends one now, and how the spending ended.

A provider that sees one twice takes it for stolen, and ends every token that came of it (RFC 9700 §4.14.2, RFC 6749
§4.1.2). What is known here is this process's: another one may send the same secret. Nothing is sent here.
"""

from __future__ import annotations

import enum
import hashlib

from seic._runtime import Latch, Lock

#: How many endings are remembered for each client, the latest ones: each renewal adds one, of about 150
#: bytes.
_REMEMBERED = 65_536


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

    def __init__(self, spendings: Spendings, name: bytes) -> None:
        self._spendings = spendings
        self._name = name
        #: Set when it has ended.
        self.ended = Latch()

    def end(self, fate: Fate = Fate.IN_DOUBT) -> None:
        """End it; only the first time counts."""
        self._spendings.settle(self._name, self, fate)


class Spendings:
    """Every spending of those who might send the same secret: all sources of this process for one client."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._running: dict[bytes, Spending] = {}
        # By digest: what is spent need not be kept.
        self._fates: dict[bytes, Fate] = {}

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

    def issued(self, secret: str) -> None:
        """Note that the provider has just handed a secret out: whatever was known of it, it is good."""
        with self._lock:
            self._fates.pop(_name(secret), None)

    def settle(self, name: bytes, spending: Spending, fate: Fate) -> None:
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


# For as long as the process lives: who spent a secret may be gone when somebody else is given the same.
_known: dict[str, Spendings] = {}


def spendings_of(client_id: str) -> Spendings:
    """Return the spendings of this process for one client, whichever host and store it uses.

    The provider does not count: it may be described in several ways, and no two of them hand out the same secret.
    """
    # One operation of a dict, which is atomic: a lock could be held by another thread when the process forks.
    return _known.setdefault(client_id, Spendings())


def _name(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).digest()

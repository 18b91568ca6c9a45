"""Refresh tokens and codes work only once: which ones were sent, and whether the provider used them.

A provider that sees one twice takes it for stolen, and revokes every token that came from it (RFC 9700 §4.14.2, RFC
6749 §4.1.2). The memory is that of a store key: it is shared by all that use the same store, or that send the same
login over the same connection at the same time. Another process may send the same secret. Nothing is sent here.
"""

from __future__ import annotations

import enum
import hashlib
import os
import weakref

from seic._concurrency import ForkSafeLock, OneShotEvent, current_loop

#: The number of used secrets that are remembered, the latest ones: each refresh adds one, of about 150 bytes.
_REMEMBERED = 65_536


class UseState(enum.Enum):
    """The state of a refresh token or code."""

    #: The provider did not take it, and it is as good as before.
    UNUSED = enum.auto()
    #: The provider took it, or will never take it.
    USED = enum.auto()
    #: It was sent, and no answer came back.
    UNKNOWN = enum.auto()


class SingleUse:
    """One secret on its way to the provider; it ends once, as UNKNOWN unless more is known."""

    def __init__(self, memory: SingleUseMemory, name: bytes) -> None:
        self._memory = memory
        self._name = name
        #: The event loop that waits for the answer.
        self.loop = current_loop()
        self.ended = OneShotEvent()

    def end(self, state: UseState = UseState.UNKNOWN) -> None:
        """End it; only the first time counts."""
        self._memory.end(self._name, self, state)


class SingleUseMemory:
    """The secrets of one login that were sent; `scope` is the login's store key, without the certificate."""

    def __init__(self, scope: str = "") -> None:
        self._scope = scope
        self._lock = ForkSafeLock()
        self._pid = os.getpid()
        self._running: dict[bytes, SingleUse] = {}
        # By digest: a used secret need not be kept.
        self._states: dict[bytes, UseState] = {}
        self._users: weakref.WeakSet[object] = weakref.WeakSet()

    def begin(self, secret: str) -> tuple[SingleUse, bool]:
        """Return the use of a secret, and whether it begins here and now: if not, another caller is sending it."""
        name = self._name(secret)
        with self._lock:
            self._reset_after_fork()
            if (running := self._running.get(name)) is not None:
                return running, False
            use = self._running[name] = SingleUse(self, name)
            return use, True

    def state(self, secret: str) -> UseState:
        """Return the state of a secret; one that was never sent is unused."""
        with self._lock:
            self._reset_after_fork()
            return self._states.get(self._name(secret), UseState.UNUSED)

    def issued(self, secret: str) -> None:
        """Note that the provider has just issued a secret: whatever was known of it, it is good."""
        with self._lock:
            self._states.pop(self._name(secret), None)

    def end(self, name: bytes, use: SingleUse, state: UseState) -> None:
        """Remember how a use ended, and wake all who wait for it."""
        with self._lock:
            if self._running.get(name) is not use:
                return
            del self._running[name]
            self._note(name, state)
        use.ended.set()

    def is_sending_here(self) -> bool:
        """Whether a secret is on its way in the caller's event loop, so that blocking that would hold the answer up."""
        here = current_loop()
        with self._lock:
            self._reset_after_fork()
            return here is not None and any(use.loop is here for use in self._running.values())

    def add_user(self, user: object) -> None:
        """Keep this memory for later clients until `user` is removed, or is gone."""
        with self._lock:
            self._users.add(user)

    def remove_user(self, user: object) -> None:
        """Let later clients without a store begin without this memory, if no other user of it is open."""
        with self._lock:
            self._users.discard(user)
            if self._users:
                return
        for key, memory in list(_of_clients.items()):
            if memory is self:
                _of_clients.pop(key, None)

    def _note(self, name: bytes, state: UseState) -> None:
        self._states.pop(name, None)
        if state is not UseState.UNUSED:
            self._states[name] = state
        while len(self._states) > _REMEMBERED:
            del self._states[next(iter(self._states))]

    def _reset_after_fork(self) -> None:
        # The child must not send what the parent was sending.
        if self._pid != os.getpid():
            self._pid = os.getpid()
            for name in self._running:
                self._note(name, UseState.UNKNOWN)
            self._running = {}

    def _name(self, secret: str) -> bytes:
        return hashlib.sha256(f"{self._scope}\0{secret}".encode(errors="surrogatepass")).digest()


#: The memories of a store, by its identity, for as long as the store lives; a store need not be hashable.
_of_stores: dict[int, dict[str, SingleUseMemory]] = {}
#: The stores that take no weak references, for as long as the process lives: another could have the identity later.
_kept_stores: dict[int, object] = {}
#: Those of clients without a store, for as long as one of them is open: by scope and transport.
_of_clients: weakref.WeakValueDictionary[tuple[str, int], SingleUseMemory] = weakref.WeakValueDictionary()


def shared_memory(scope: str, *, store: object | None, transport: object | None) -> SingleUseMemory:
    """Return the memory of a login that this process shares: with its store, or without one over its transport."""
    if store is None:
        key = (scope, id(transport) if transport is not None else 0)
        found = _of_clients.get(key)
        # setdefault of a WeakValueDictionary is not atomic: two first clients of one moment do not share it.
        return found if found is not None else _of_clients.setdefault(key, SingleUseMemory(scope))
    memories = _of_stores.get(id(store))
    if memories is None:
        memories = _of_stores.setdefault(id(store), {})
        try:
            weakref.finalize(store, _of_stores.pop, id(store), None)
        except TypeError:  # as of a dataclass with slots
            _kept_stores[id(store)] = store
    return memories.setdefault(scope, SingleUseMemory(scope))

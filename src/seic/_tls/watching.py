"""Who looks for new certificates, and how often: one daemon thread of the process, for all identities there are.

It starts with the first identity that is watched and ends with the last. Looking costs some `stat` calls; nothing on
the way of a request waits for it.
"""

from __future__ import annotations

import logging
import threading
import weakref
from typing import Protocol

from seic._runtime import Lock, survive_fork

_log = logging.getLogger("seic")
# Seconds between two looks. A swap on disk takes two, one that lets the files settle, and has to be served within a
# second by a process that is busy with calls. A look at two files costs some 20 µs.
_INTERVAL = 0.1


class Watched(Protocol):
    """What is watched: an `Identity`, or `Authorities`."""

    def look(self) -> object:
        """Take up what has changed; what may hang does so on a thread of its own."""
        ...


class Watcher:
    """The thread and what it looks after; what nobody else holds any more is forgotten.

    Args:
        interval: Seconds between two looks.
    """

    def __init__(self, interval: float = _INTERVAL) -> None:
        self._interval = interval
        self._lock = Lock()
        self._watched: weakref.WeakSet[Watched] = weakref.WeakSet()
        self._changed = threading.Event()
        self._thread: threading.Thread | None = None
        survive_fork(self)

    @property
    def thread(self) -> threading.Thread | None:
        """The thread that looks; None while there is nothing to look after."""
        return self._thread

    def add(self, identity: Watched) -> None:
        """Look after it from now on."""
        with self._lock:
            self._watched.add(identity)
            if self._thread is None or not self._thread.is_alive():
                self._start()

    def discard(self, identity: Watched) -> None:
        """Look after it no longer; the thread ends with the last."""
        with self._lock:
            self._watched.discard(identity)
            if not self._watched:
                self._changed.set()

    def after_fork(self) -> None:
        """Start anew in a forked child, which has the identities but not the thread."""
        self._watched = weakref.WeakSet(list(self._watched))
        self._changed = threading.Event()
        self._thread = None
        if self._watched:
            self._start()

    def _start(self) -> None:
        self._changed = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(self._changed,), name="seic-certificates", daemon=True)
        self._thread.start()

    def _run(self, changed: threading.Event) -> None:
        while True:
            changed.wait(self._interval)
            with self._lock:
                if not self._watched:
                    self._thread = None
                    return
                changed.clear()
            self._look()

    def _look(self) -> None:
        # A frame of its own: what this loop holds on to must not outlive it until the next look.
        with self._lock:
            identities = list(self._watched)
        for identity in identities:
            try:
                identity.look()
            except BaseException:  # noqa: BLE001 - a listener's own, SystemExit too: the others must not go without
                _log.exception("a listener to certificate events failed")


#: The one of this process.
WATCHER = Watcher()

"""One thread that checks the files of all identities of a process: more often while files change."""

from __future__ import annotations

import functools
import logging
import threading
import time
import weakref
from collections.abc import Callable
from typing import Protocol

from seic._tls.reload import FileState, file_state

# Seconds between two checks of files that do not change, for the process and for each identity, and of files that did
# until they are loaded. A swap on disk must be served within a second by a busy process; it takes one check of each
# kind. A check of two files takes about 10 µs; with the share of each identity, that is at most 2 % of a processor.
_CHECK_INTERVAL = 0.5
_CHECK_INTERVAL_OF_EACH = 0.001
_SETTLE_INTERVAL = 0.1


class MonitoredIdentity(Protocol):
    """An identity that the thread checks."""

    #: Whether the last check found files that have changed and were neither loaded nor refused.
    is_settling: bool

    def check_for_update(self, *, file_state: Callable[[str], FileState]) -> bool:
        """Read what has changed."""
        ...


class Watcher:
    """One daemon thread of the process checks all identities; it ends with the last one."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._watched: weakref.WeakSet[MonitoredIdentity] = weakref.WeakSet()
        #: Those that are checked more often, until their files are loaded or refused.
        self._settling: weakref.WeakSet[MonitoredIdentity] = weakref.WeakSet()
        self._thread: threading.Thread | None = None

    def add(self, identity: MonitoredIdentity) -> None:
        """Check an identity for as long as it lives."""
        with self._lock:
            self._watched.add(identity)
            if self._thread is None or not self._thread.is_alive():
                thread = threading.Thread(target=self._run, name="seic-certificates", daemon=True)
                thread.start()
                self._thread = thread

    def _run(self) -> None:
        left = 0.0
        while True:
            with self._lock:
                if not self._watched:
                    self._thread = None
                    return
                if left <= 0:
                    left = _CHECK_INTERVAL + _CHECK_INTERVAL_OF_EACH * len(self._watched)
            pause = min(left, _SETTLE_INTERVAL) if self._settling else left
            time.sleep(pause)
            left -= pause
            self._check(self._watched if left <= 0 else self._settling)

    def _check(self, which: weakref.WeakSet[MonitoredIdentity]) -> None:
        # In a frame of its own, so that the thread does not keep an identity alive until the next check.
        with self._lock:
            identities = list(which)
        # Many identities have one file of authorities.
        state = functools.cache(file_state)
        for identity in identities:
            try:
                identity.check_for_update(file_state=state)
            except BaseException:
                logging.getLogger("seic").exception("a listener to certificate events failed")
            if identity.is_settling:
                self._settling.add(identity)
            else:
                self._settling.discard(identity)

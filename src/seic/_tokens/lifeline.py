"""A way to end a blocking call from outside: at its deadline, or because nobody wants it any more.

A read timeout bounds one read, and a server that drips bytes outlives it: nothing but the end of its connection gets a
thread out of such a call.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Generator, Mapping
from typing import Any

from seic._runtime import Lock


class CallEnded(Exception):
    """The call was ended from outside."""


class Lifeline:
    """Ends the blocking calls of one thread, from any other."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._cut = threading.Event()
        self._expired = False
        self._socket: socket.socket | None = None
        self._stream: Any = None

    def cut(self) -> None:
        """End the call under way, and every later one."""
        with self._lock:
            self._cut.set()
            self._hang_up()

    def sleep(self, seconds: float) -> None:
        """Sleep.

        Raises:
            CallEnded: It was cut.
        """
        if self._cut.wait(seconds):
            raise CallEnded

    @contextlib.contextmanager
    def within(self, seconds: float) -> Generator[None, None, None]:
        """End the call in this block after `seconds`.

        Raises:
            TimeoutError: The time ran out.
            CallEnded: It was cut.
        """
        self._expired = False
        timer = threading.Timer(seconds, self._expire)
        timer.daemon = True
        # No new threads while the interpreter shuts down: then the timeouts of single reads have to do.
        with contextlib.suppress(RuntimeError):
            timer.start()
        try:
            yield
        except Exception:
            if self._cut.is_set():
                raise CallEnded from None
            if self._expired:
                raise TimeoutError from None
            raise
        finally:
            timer.cancel()
            self._stream = None
            with self._lock:
                self._let_go()

    def watch(self, event: str, info: Mapping[str, Any]) -> None:
        """Learn of the connection: httpcore calls this as its `trace` extension.

        Raises:
            CallEnded: The call was ended before its TLS handshake began; nobody would close a connection in between.
        """
        if event == "connection.connect_tcp.complete":
            self._stream = info["return_value"]
            with self._lock:
                self._let_go()
                # A duplicate, for TLS takes the socket itself away from its first owner.
                self._socket = self._stream.get_extra_info("socket").dup()
        elif event != "connection.start_tls.started":
            return
        if self._stream is not None and (self._expired or self._cut.is_set()):
            self._stream.close()
            raise CallEnded

    def _expire(self) -> None:
        with self._lock:
            self._expired = True
            self._hang_up()

    def _hang_up(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):  # the other side was faster
                self._socket.shutdown(socket.SHUT_RDWR)

    def _let_go(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

"""How far one call came on its connection, as httpcore's trace tells it. What a failure means is not decided here."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

import httpx

from seic._tls.explain import Stage

#: Who opens TLS with the provider, as httpcore names its rooms: the connection itself, or what holds the tunnel.
_STRAIGHT = ("connection",)
_TUNNELS = ("proxy", "socks")


class Attempt:
    """Watches one call.

    Attributes:
        handled: What the caller was handling when the call began; Python chains it to whatever the call raises.
    """

    def __init__(self) -> None:
        self.handled = sys.exc_info()[1]
        self._events: list[str] = []
        #: The provider's TLS: an SSLObject or an SSLSocket.
        self._tls: Any = None
        self._is_agreed = False

    def stage(self, *, tunnelled: bool) -> Stage | None:
        """Return how far the connection was; None where a proxy had not let TLS with the provider begin.

        Args:
            tunnelled: Whether there is a proxy.
        """
        if not self._events:
            return "later"
        rooms = _TUNNELS if tunnelled else _STRAIGHT
        if any(f"{room}.start_tls.complete" in self._events for room in rooms):
            return "agreed" if self._is_agreed else "first"
        return (
            "handshake" if not tunnelled or any(f"{room}.start_tls.started" in self._events for room in rooms) else None
        )

    @contextlib.contextmanager
    def watching(self, request: httpx.Request, *, blocking: bool) -> Iterator[None]:
        """Have the request report here, and to whoever watched it before."""
        before = request.extensions
        watcher = before.get("trace")

        def watch(event: str, info: dict[str, Any]) -> None:
            self._note(event, info)
            if watcher is not None:
                watcher(event, info)

        async def watch_async(event: str, info: dict[str, Any]) -> None:
            self._note(event, info)
            if watcher is not None:
                await watcher(event, info)

        request.extensions = {**before, "trace": watch if blocking else watch_async}
        try:
            yield
        finally:
            request.extensions = before

    def _note(self, event: str, info: dict[str, Any]) -> None:
        if event.endswith(".connect_tcp.started"):
            self._events, self._tls, self._is_agreed = [event], None, False
        elif self._events:
            # A connection that was not opened by this call has none.
            self._events.append(event)
            if event.endswith(".start_tls.complete"):
                self._tls = info["return_value"].get_extra_info("ssl_object")
                # Before TLS 1.3 a handshake ends when the server has judged our certificate.
                self._is_agreed = self._tls is not None and self._tls.version() == "TLSv1.2"
            elif self._tls is not None and event.endswith(".failed") and not self._is_agreed:
                # Over TLS 1.3 it hands out tickets once it has (RFC 8446 §4.6.1). Asked before the socket is closed.
                session = self._tls.session
                self._is_agreed = session is not None and session.has_ticket

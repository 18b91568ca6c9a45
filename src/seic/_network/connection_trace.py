"""How far one call came on its connection, as httpcore's trace tells it. What a failure means is not decided here."""

from __future__ import annotations

import sys
from typing import Any

import httpx

from seic._tls.diagnose import Stage

#: Who opens TLS with the provider, as httpcore names its rooms: the connection itself, or what holds the tunnel.
_STRAIGHT = ("connection",)
_TUNNELS = ("proxy", "socks")


class ConnectionTrace:
    """Watches one call, from its making to `end`, beside whoever watched the request before.

    On a connection that is open already there is nothing to see, and nothing of it is watched: a trace costs httpcore
    more than all that seic does for such a call.

    Attributes:
        handled: What the caller was handling when the call began; Python chains it to whatever the call raises.
    """

    __slots__ = ("_events", "_extensions", "_is_agreed", "_tls", "_watcher", "handled")

    def __init__(self, request: httpx.Request, *, blocking: bool) -> None:
        self.handled = sys.exc_info()[1]
        self._events: list[str] = []
        #: The provider's TLS: an SSLObject or an SSLSocket.
        self._tls: Any = None
        self._is_agreed = False
        # httpcore looks into the same dict at each step.
        self._extensions = request.extensions
        self._watcher = self._extensions.get("trace")
        self._extensions["trace"] = self._watch if blocking else self._watch_async

    def end(self) -> None:
        """Leave the request as it was; more than once is the same as once."""
        if self._watcher is not None:
            self._extensions["trace"] = self._watcher
        else:
            self._extensions.pop("trace", None)

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

    def _watch(self, event: str, info: dict[str, Any]) -> None:
        self._note(event, info)
        if self._watcher is not None:
            self._watcher(event, info)

    async def _watch_async(self, event: str, info: dict[str, Any]) -> None:
        self._note(event, info)
        if self._watcher is not None:
            await self._watcher(event, info)

    def _note(self, event: str, info: dict[str, Any]) -> None:
        if event.endswith(".connect_tcp.started"):
            self._events, self._tls, self._is_agreed = [event], None, False
        elif self._events:
            self._events.append(event)
            if event.endswith(".start_tls.complete"):
                self._tls = info["return_value"].get_extra_info("ssl_object")
                # Before TLS 1.3 a handshake ends when the server has judged our certificate.
                self._is_agreed = self._tls is not None and self._tls.version() == "TLSv1.2"
            elif self._tls is not None and event.endswith(".failed") and not self._is_agreed:
                # Over TLS 1.3 it hands out tickets once it has (RFC 8446 §4.6.1). Asked before the socket is closed.
                session = self._tls.session
                self._is_agreed = session is not None and session.has_ticket
        elif event.endswith(".send_request_headers.started"):
            # The connection was not opened by this call, and from here on none will be.
            self.end()

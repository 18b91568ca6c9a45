"""How far one call came on its connection, as httpcore's trace tells it. What a failure means is not decided here."""

from __future__ import annotations

import sys
from typing import Any

import httpx

from seic._tls.explain import Stage

#: Who opens TLS with the provider, as httpcore names its rooms: the connection itself, or what holds the tunnel.
_STRAIGHT = ("connection",)
_TUNNELS = ("proxy", "socks")


class Attempt:
    """Watches one call, from its making to `end`, beside whoever watched the request before.

    On a connection that is open already there is nothing to see, and nothing of it is watched: a trace costs httpcore
    more than all that seic does for such a call.

    Attributes:
        handled: What the caller was handling when the call began; Python chains it to whatever the call raises.
    """

    __slots__ = ("_events", "_extensions", "_watcher", "handled")

    def __init__(self, request: httpx.Request, *, blocking: bool) -> None:
        self.handled = sys.exc_info()[1]
        self._events: list[str] = []
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
        # Part of the request was taken: then it cannot be told to be the certificate that was refused.
        if not self._events or "send_request_body.failed" in {event.partition(".")[2] for event in self._events}:
            return "later"
        rooms = _TUNNELS if tunnelled else _STRAIGHT
        if any(f"{room}.start_tls.complete" in self._events for room in rooms):
            return "first"
        return (
            "handshake" if not tunnelled or any(f"{room}.start_tls.started" in self._events for room in rooms) else None
        )

    def _watch(self, event: str, info: dict[str, Any]) -> None:
        self._note(event)
        if self._watcher is not None:
            self._watcher(event, info)

    async def _watch_async(self, event: str, info: dict[str, Any]) -> None:
        self._note(event)
        if self._watcher is not None:
            await self._watcher(event, info)

    def _note(self, event: str) -> None:
        if event.endswith(".connect_tcp.started"):
            self._events = [event]
        elif self._events:
            self._events.append(event)
        elif event.endswith(".send_request_headers.started"):
            # The connection was not opened by this call, and from here on none will be.
            self.end()

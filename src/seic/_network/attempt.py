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

    @contextlib.contextmanager
    def watching(self, request: httpx.Request, *, blocking: bool) -> Iterator[None]:
        """Have the request report here, and to whoever watched it before."""
        before = request.extensions
        watcher = before.get("trace")

        def watch(event: str, info: dict[str, Any]) -> None:
            self._note(event)
            if watcher is not None:
                watcher(event, info)

        async def watch_async(event: str, info: dict[str, Any]) -> None:
            self._note(event)
            if watcher is not None:
                await watcher(event, info)

        request.extensions = {**before, "trace": watch if blocking else watch_async}
        try:
            yield
        finally:
            request.extensions = before

    def _note(self, event: str) -> None:
        if event.endswith(".connect_tcp.started"):
            self._events = [event]
        elif self._events:
            # A connection that was not opened by this call has none.
            self._events.append(event)

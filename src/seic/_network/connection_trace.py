"""Records how far a call got on its connection, from httpcore's trace. `seic._tls.diagnose` interprets failures."""

from __future__ import annotations

import contextlib
import socket
import sys
from typing import TYPE_CHECKING, Any

import anyio
import httpx

if TYPE_CHECKING:
    from seic._tls.diagnose import Stage

#: httpcore's names for the object that starts TLS with the provider: the connection, or the tunnel through a proxy.
_STRAIGHT = ("connection",)
_TUNNELS = ("proxy", "socks")


class ConnectionTrace:
    """Watches one call, from its creation to `end`, in addition to an existing trace of the request.

    Calls on an open connection are not traced: a trace costs httpcore more than seic's whole work for such a call.

    Attributes:
        handled: The exception that the caller was handling when the call began; Python chains it to errors of the call.
    """

    __slots__ = ("_events", "_extensions", "_is_agreed", "_stream", "_tls", "_watcher", "handled")

    def __init__(self, request: httpx.Request, *, blocking: bool) -> None:
        self.handled = sys.exc_info()[1]
        self._events: list[str] = []
        #: The connection, with TLS as soon as its handshake is done.
        self._stream: Any = None
        #: The TLS connection to the provider: an SSLObject or an SSLSocket.
        self._tls: Any = None
        self._is_agreed = False
        # httpcore reads the same dict at each step.
        self._extensions = request.extensions
        self._watcher = self._extensions.get("trace")
        self._extensions["trace"] = self._watch if blocking else self._watch_async

    def end(self) -> None:
        """Restore the request's own trace. Calling it again has no effect."""
        if self._watcher is not None:
            self._extensions["trace"] = self._watcher
        else:
            self._extensions.pop("trace", None)

    def shut_down(self) -> None:
        """End the connection, so that a read in another thread fails."""
        if self._stream is not None:
            with contextlib.suppress(OSError):
                self._stream.get_extra_info("socket").shutdown(socket.SHUT_RDWR)

    def stage(self, *, tunnelled: bool) -> Stage | None:
        """Return the stage of the connection; None if a proxy did not open the tunnel.

        Args:
            tunnelled: Whether there is a proxy.
        """
        if not self._events:
            return "later"
        sources = _TUNNELS if tunnelled else _STRAIGHT
        if any(f"{name}.start_tls.complete" in self._events for name in sources):
            return "agreed" if self._is_agreed else "first"
        has_started = any(f"{name}.start_tls.started" in self._events for name in sources)
        return "handshake" if has_started or not tunnelled else None

    def _watch(self, event: str, info: dict[str, Any]) -> None:
        self._note(event, info)
        if self._watcher is not None:
            self._watcher(event, info)

    async def _watch_async(self, event: str, info: dict[str, Any]) -> None:
        self._note(event, info)
        if event.endswith(".start_tls.failed") and not isinstance(info["exception"], Exception):
            # httpcore leaves the socket of a cancelled handshake open.
            with anyio.CancelScope(shield=True):
                await self._stream.aclose()
        if self._watcher is not None:
            await self._watcher(event, info)

    def _note(self, event: str, info: dict[str, Any]) -> None:
        if event.endswith(".connect_tcp.started"):
            self._events, self._tls, self._is_agreed = [event], None, False
        elif self._events:
            self._events.append(event)
            if event.endswith(".connect_tcp.complete"):
                self._stream = info["return_value"]
            elif event.endswith(".start_tls.complete"):
                self._stream = info["return_value"]
                self._tls = self._stream.get_extra_info("ssl_object")
                # Before TLS 1.3 a handshake ends after the server has verified the client certificate.
                self._is_agreed = self._tls is not None and self._tls.version() == "TLSv1.2"
            elif self._tls is not None and event.endswith(".failed") and not self._is_agreed:
                # Over TLS 1.3 the server sends tickets after it has (RFC 8446 §4.6.1). Checked before the socket is
                # closed.
                session = self._tls.session
                self._is_agreed = session is not None and session.has_ticket
        elif event.endswith(".send_request_headers.started"):
            # The connection was open already, so no further event of interest follows.
            self.end()

"""`ControlServer`: a plain HTTP host on loopback with the health of a sandbox."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from aiohttp import web

from seic.sandbox._peer import Peer
from seic.sandbox._sandbox import Sandbox
from seic.sandbox._server.loopback import LoopbackHost, LoopbackServer


class ControlServer:
    """Serves from `__enter__` to `__exit__`.

    Args:
        sandbox: The running sandbox.
        port: The port; 0 for any free one.
    """

    def __init__(self, sandbox: Sandbox, *, port: int = 0) -> None:
        self._sandbox = sandbox
        host = LoopbackHost(context=None, respond=self._respond, reject=_bad_request, connected=_nothing, port=port)
        self._server = LoopbackServer([host])
        self._port = 0

    def __enter__(self) -> Self:
        (self._port,) = self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.stop()

    @property
    def url(self) -> str:
        """The URL of the host."""
        return f"http://localhost:{self._port}"

    async def _respond(self, request: web.BaseRequest, _peer: Peer | None) -> web.StreamResponse:
        if (request.method, request.path) == ("GET", "/health"):
            # The media type and the word of draft-inadarei-api-health-check.
            return web.json_response({"status": "pass"}, content_type="application/health+json")
        return web.json_response({"error": "There is no such method or path."}, status=404)


def _bad_request() -> web.Response:
    return web.json_response({"error": "This is not HTTP."}, status=400)


def _nothing() -> None:
    """Connections of the control are not counted."""

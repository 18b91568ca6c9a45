"""`ControlServer`: the health, the control and the live page of a sandbox over plain HTTP on loopback.

The control is not for other web sites, which a browser on this machine may show: requests need the token of this run,
`Host` must name loopback (a name that an attacker's DNS resolves to 127.0.0.1 is refused), and `Origin`, if there is
one, must be the control's own.
"""

from __future__ import annotations

import hmac
import json
import secrets
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Self

import attrs
from aiohttp import hdrs, web

from seic.sandbox._control.control_page import PAGE, PAGE_HEADERS
from seic.sandbox._control.documents import describe_request, issue_token
from seic.sandbox._control.event_stream import stream_events
from seic.sandbox._control.fault_actions import apply_fault, clear, describe_faults
from seic.sandbox._peer import Peer
from seic.sandbox._sandbox import Sandbox
from seic.sandbox._server.loopback import LOOPBACK_NAMES, LoopbackHost, LoopbackServer

_FORM, _JSON = "application/x-www-form-urlencoded", "application/json"

#: They need no token: the page has no secret, since its own token is in the fragment of the URL.
_PUBLIC = {("GET", "/"), ("GET", "/health")}


class ControlServer:
    """Serves from `__enter__` to `__exit__`.

    Args:
        sandbox: The running sandbox.
        port: The port; 0 for any free one.
    """

    def __init__(self, sandbox: Sandbox, *, port: int = 0) -> None:
        self._sandbox = sandbox
        self.token: str = secrets.token_urlsafe(16)
        host = LoopbackHost(context=None, respond=self._respond, reject=_bad_request, connected=_nothing, port=port)
        self._server = LoopbackServer([host])
        self._hosts: set[str] = set()
        self._routes: dict[tuple[str, str], Callable[[web.BaseRequest], Awaitable[web.Response]]] = {
            ("GET", "/"): self._show_page,
            ("GET", "/health"): self._show_health,
            ("GET", "/faults"): self._show_faults,
            ("POST", "/faults"): self._inject,
            ("DELETE", "/faults"): self._clear,
            ("POST", "/tokens"): self._issue,
            ("GET", "/received"): self._show_received,
            ("DELETE", "/received"): self._forget_received,
            ("GET", "/counts"): self._show_counts,
            ("GET", "/events"): self._stream_events,
        }
        self._port = 0

    def __enter__(self) -> Self:
        (self._port,) = self._server.start()
        names = (f"[{name}]" if ":" in name else name for name in LOOPBACK_NAMES)
        self._hosts = {f"{name}:{self._port}" for name in names}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.stop()

    @property
    def url(self) -> str:
        """The URL of the host."""
        return f"http://localhost:{self._port}"

    @property
    def page_url(self) -> str:
        """The URL of the live page, with the token in its fragment."""
        return f"{self.url}/#{self.token}"

    async def _respond(self, request: web.BaseRequest, _peer: Peer | None) -> web.StreamResponse:
        route = (request.method, request.path)
        if (refusal := self._refuse(request, is_public=route in _PUBLIC)) is not None:
            return refusal
        if route not in self._routes:
            return _error(404, "There is no such method or path.")
        try:
            response = await self._routes[route](request)
        except (ValueError, web.HTTPRequestEntityTooLarge) as error:
            return _error(400, str(error))
        except RuntimeError as error:
            return _error(409, str(error))
        response.headers[hdrs.CACHE_CONTROL] = "no-store"
        return response

    def _refuse(self, request: web.BaseRequest, *, is_public: bool) -> web.Response | None:
        host, origin = request.headers.get(hdrs.HOST, ""), request.headers.get(hdrs.ORIGIN)
        if host not in self._hosts or origin not in (None, f"http://{host}"):
            return _error(403, "The control is only for this machine, by its own URL.")
        scheme, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        is_known = hmac.compare_digest(token.encode(errors="replace"), self.token.encode())
        if is_public or (scheme.lower() == "bearer" and is_known):
            return None
        return _error(401, "The header must be: Authorization: Bearer $SANDBOX_TOKEN")

    async def _show_page(self, _request: web.BaseRequest) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html", headers=PAGE_HEADERS)

    async def _show_health(self, _request: web.BaseRequest) -> web.Response:
        # The media type and the word of draft-inadarei-api-health-check.
        return web.json_response({"status": "pass"}, content_type="application/health+json")

    async def _show_faults(self, _request: web.BaseRequest) -> web.Response:
        return web.json_response(describe_faults(self._sandbox))

    async def _inject(self, request: web.BaseRequest) -> web.Response:
        apply_fault(self._sandbox, await _fields(request))
        return await self._show_faults(request)

    async def _clear(self, request: web.BaseRequest) -> web.Response:
        clear(self._sandbox, request.query.get("target"), request.query.get("fault"))
        return await self._show_faults(request)

    async def _issue(self, request: web.BaseRequest) -> web.Response:
        return web.json_response(issue_token(self._sandbox, await _json_object(request)))

    async def _show_received(self, request: web.BaseRequest) -> web.Response:
        query = request.query
        received = self._sandbox.received(path=query.get("path"), method=query.get("method"))
        return web.json_response({"received": [describe_request(each) for each in received]})

    async def _forget_received(self, _request: web.BaseRequest) -> web.Response:
        self._sandbox.clear_received()
        return web.Response(status=204)

    async def _show_counts(self, _request: web.BaseRequest) -> web.Response:
        return web.json_response(attrs.asdict(self._sandbox.counts))

    async def _stream_events(self, _request: web.BaseRequest) -> web.Response:
        return web.Response(body=stream_events(self._sandbox), content_type="text/event-stream")


async def _fields(request: web.BaseRequest) -> Mapping[str, str]:
    """Return the fields of a form or of a JSON object.

    Raises:
        ValueError: The body is neither.
    """
    if request.content_type == _FORM:
        return {name: str(value) for name, value in (await request.post()).items()}
    if request.content_type != _JSON:
        raise ValueError(f"Content-Type: must be {_FORM} or {_JSON}")
    fields = await _json_object(request)
    return {name: str(value) for name, value in fields.items() if value is not None}


async def _json_object(request: web.BaseRequest) -> dict[str, Any]:
    if request.content_type != _JSON:
        raise ValueError(f"Content-Type: must be {_JSON}")
    try:
        fields: Any = json.loads(await request.read())
    except ValueError:
        raise ValueError("body: must be JSON") from None
    if not isinstance(fields, dict):
        raise ValueError("body: must be a JSON object")  # noqa: TRY004 - one kind for all mistakes of a request
    return fields


def _error(status: int, message: str) -> web.Response:
    return web.json_response({"error": message}, status=status)


def _bad_request() -> web.Response:
    return _error(400, "This is not HTTP.")


def _nothing() -> None:
    """Connections of the control are not counted."""

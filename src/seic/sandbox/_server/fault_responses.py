"""The responses of faults."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Awaitable, Callable

from aiohttp import hdrs, web

from seic._http2_server import Http2Exchange
from seic.sandbox._error_responses import AUTHENTICATION_FAILURE, INTERNAL_ERROR, REQUEST_INVALID, ErrorCode
from seic.sandbox._server.fault import Fault

_PAGE = "<!doctype html><title>Maintenance</title><h1>We will be back soon.</h1>"
_UNAUTHORIZED, _TOO_MANY, _SERVER_ERROR = 401, 429, 500


async def respond_with_fault(
    fault: Fault,
    request: web.BaseRequest,
    *,
    respond: Callable[[], Awaitable[web.Response]],
    fail: Callable[[int], web.Response],
) -> web.StreamResponse:
    """Return the response of a fault.

    Args:
        fault: The fault.
        request: The request.
        respond: Returns the response without the fault.
        fail: Returns the error body of the dialect with a status.
    """
    if fault.name == "slow":
        await asyncio.sleep(fault.effective_seconds)
        return await respond()
    if fault.name == "truncated":
        return await _truncate(request, await respond())
    if fault.name == "no-expires-in":
        return _without_lifetime(await respond())
    if fault.name == "reset":
        _reset(request)
    return _instead(fault, request, fail)


def _instead(fault: Fault, request: web.BaseRequest, fail: Callable[[int], web.Response]) -> web.Response:
    """Return the response in place of the true one; after a reset it is not sent."""
    if fault.name in ("500", "503", "429"):
        response = fail(int(fault.name))
        if fault.name != "500":
            response.headers[hdrs.RETRY_AFTER] = f"{fault.effective_seconds:.0f}"
        return response
    if fault.name == "redirect":
        return web.Response(status=307, headers={hdrs.LOCATION: f"https://{_other_host(request)}{request.path_qs}"})
    if fault.name == "error-in-200":
        response = fail(500)
        response.set_status(200)
        return response
    if fault.name == "html":
        return web.Response(text=_PAGE, content_type="text/html")
    return web.Response(status=200)


def error_code_of(status: int) -> tuple[ErrorCode, bool]:
    """Return the error code of a planned failure, and whether it is transient."""
    transient = status >= _SERVER_ERROR or status == _TOO_MANY
    if status == _UNAUTHORIZED:
        return AUTHENTICATION_FAILURE, transient
    return (INTERNAL_ERROR if status >= _SERVER_ERROR else REQUEST_INVALID), transient


async def _truncate(request: web.BaseRequest, whole: web.Response) -> web.StreamResponse:
    body = whole.body if isinstance(whole.body, bytes) else b"\0" * 65536
    response = web.StreamResponse(status=whole.status, headers=whole.headers)
    response.content_length = len(body)
    response.force_close()
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response


def _without_lifetime(response: web.Response) -> web.Response:
    if response.status == 200 and response.content_type == "application/json":
        body = json.loads(response.text or "")
        body.pop("expires_in", None)
        response.text = json.dumps(body)
    return response


def _reset(request: web.BaseRequest) -> None:
    transport = request.transport
    if transport is None:
        return
    if not isinstance(transport, Http2Exchange):
        # Without lingering, the kernel sends RST and not FIN.
        no_linger = struct.pack("ii", 1, 0)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_linger)
    transport.abort()


def _other_host(request: web.BaseRequest) -> str:
    # Another host by its name, and still this machine: the certificate has both names.
    name, _, port = request.host.rpartition(":")
    return f"127.0.0.1:{port}" if name == "localhost" else f"localhost:{port}"

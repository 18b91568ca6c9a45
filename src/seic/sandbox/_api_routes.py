"""Routes of the API for transfers: pages by `Link`, uploads, downloads with ranges, slow and streamed responses."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from aiohttp import hdrs, web

from seic.sandbox._error_responses import ErrorResponse, InvalidField, JsonBody, invalid_request, unknown_resource
from seic.sandbox._server.received import keep_body

_PAGES, _PAGE_SIZE = 3, 2
_DOWNLOAD = re.compile(r"/v1/downloads/([0-9]{1,10})")
_MAX_DOWNLOAD = 1 << 30
#: The content of downloads, repeated; its length is prime, so that no offset looks like another one nearby.
_PATTERN = random.Random(0).randbytes(65521)  # noqa: S311 - content, not a secret
_MAX_SECONDS, _MAX_COUNT = 60.0, 10_000


def find_api_route(request: web.BaseRequest) -> Callable[[], Awaitable[JsonBody | web.Response]] | None:
    """Return the response of a method and path of this module, not yet begun."""
    is_get = request.method in (hdrs.METH_GET, hdrs.METH_HEAD)
    if is_get and (route := _GET_ROUTES.get(request.path)) is not None:
        return lambda: route(request)
    if is_get and (match := _DOWNLOAD.fullmatch(request.path)) is not None:
        return lambda: _download(request, int(match.group(1)))
    if request.path == "/v1/uploads" and request.method in (hdrs.METH_POST, hdrs.METH_PUT):
        return lambda: _upload(request)
    return None


async def _pages(request: web.BaseRequest) -> web.Response:
    """Return a list, with the next page in `Link` (RFC 8288)."""
    page = int(_number(request, "page", 1, _PAGES, least=1))
    items = [{"number": number} for number in range((page - 1) * _PAGE_SIZE + 1, page * _PAGE_SIZE + 1)]
    headers = {hdrs.LINK: f'<{request.path}?page={page + 1}>; rel="next"'} if page < _PAGES else {}
    return web.json_response(items, headers=headers)


async def _slow(request: web.BaseRequest) -> JsonBody:
    seconds = _number(request, "seconds", 2, _MAX_SECONDS)
    await asyncio.sleep(seconds)
    return {"seconds": seconds}


async def _stream(request: web.BaseRequest) -> web.Response:
    """Return lines of JSON, or events if the client accepts those (WHATWG HTML §9.2)."""
    count = int(_number(request, "count", 10, _MAX_COUNT))
    interval = _number(request, "interval", 0, _MAX_SECONDS)
    has_events = "text/event-stream" in request.headers.get(hdrs.ACCEPT, "")

    async def lines() -> AsyncIterator[bytes]:
        for number in range(1, count + 1):
            if number > 1:
                await asyncio.sleep(interval)
            line = json.dumps({"number": number})
            yield (f"data: {line}\n\n" if has_events else f"{line}\n").encode()

    kind = "text/event-stream" if has_events else "application/x-ndjson"
    return web.Response(body=lines(), content_type=kind, headers={hdrs.CACHE_CONTROL: "no-store"})


async def _upload(request: web.BaseRequest) -> JsonBody:
    length, digest = await read_digest(request)
    return {"length": length, "sha256": digest}


async def read_digest(request: web.BaseRequest) -> tuple[int, str]:
    """Read the body; return its length and its SHA-256."""
    digest = hashlib.sha256()
    length = 0
    async for chunk in request.content.iter_any():
        keep_body(chunk)
        digest.update(chunk)
        length += len(chunk)
    return length, digest.hexdigest()


async def _download(request: web.BaseRequest, size: int) -> web.Response:
    """Return content of a size, or the part of it that `Range` names (RFC 9110 §14)."""
    if size > _MAX_DOWNLOAD:
        raise unknown_resource(f"A download has at most {_MAX_DOWNLOAD} bytes.")
    tag = f'"{size}"'
    headers = {hdrs.ACCEPT_RANGES: "bytes", hdrs.ETAG: tag, hdrs.CACHE_CONTROL: "no-store"}
    start, end, status = 0, size, 200
    if hdrs.RANGE in request.headers and request.headers.get(hdrs.IF_RANGE, tag) == tag:
        try:
            part = request.http_range
        except ValueError:
            raise invalid_request(
                "The range is malformed.", InvalidField(hdrs.RANGE, "header", "is malformed")
            ) from None
        start, end, _ = part.indices(size)
        if start >= size:
            return web.Response(status=416, headers={**headers, hdrs.CONTENT_RANGE: f"bytes */{size}"})
        status = 206
        headers[hdrs.CONTENT_RANGE] = f"bytes {start}-{end - 1}/{size}"
    headers[hdrs.CONTENT_LENGTH] = str(end - start)
    return web.Response(
        status=status, body=_content(start, end), content_type="application/octet-stream", headers=headers
    )


async def _content(start: int, end: int) -> AsyncIterator[bytes]:
    while start < end:
        offset = start % len(_PATTERN)
        chunk = _PATTERN[offset : offset + end - start]
        yield chunk
        start += len(chunk)


def _number(request: web.BaseRequest, name: str, default: float, most: float, *, least: float = 0) -> float:
    try:
        value = float(request.query.get(name, default))
    except ValueError:
        value = -1.0
    if not least <= value <= most:
        raise _out_of_range(name, least, most)
    return value


def _out_of_range(name: str, least: float, most: float) -> ErrorResponse:
    return invalid_request(f"{name} is out of range.", InvalidField(name, "query", f"must be {least:g} to {most:g}"))


_GET_ROUTES: Mapping[str, Callable[[web.BaseRequest], Awaitable[Any]]] = {
    "/v1/pages": _pages,
    "/v1/slow": _slow,
    "/v1/stream": _stream,
}

"""`Forwarder`: send a request of a local program to the API with seic's client, and stream the response back."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

import attrs
import httpx
from aiohttp import hdrs, web

from seic._client import AsyncClient
from seic._config import Config
from seic._errors import SeicError
from seic._http2_server import Http2StreamWriter
from seic._version import user_agent
from seic.cli._proxy.access_check import AccessCheck, AccessRefused
from seic.cli._proxy.forwarded_headers import request_headers, response_headers
from seic.cli._proxy.proxy_errors import describe_failure, problem, sentence
from seic.cli._proxy.proxy_meter import METRICS_PATH, ProxyMeter

_LOGGER = logging.getLogger("seic.proxy")
#: Bytes of a request body that is kept in memory, so that it can be sent again with a new token or on a new connection.
KEPT_BODY = 64 * 1024
_SERVER_ERROR = 500
#: Types of errors (RFC 9209 §2.3).
_DENIED, _MALFORMED = "http_request_denied", "http_request_error"


@attrs.frozen(kw_only=True)
class ForwarderLimits:
    """The limits of forwarded requests.

    Args:
        timeout: Seconds without data from the API.
        connections: The number of connections to the API.
    """

    timeout: float
    connections: int


class Forwarder:
    """Answers each request.

    Args:
        client: Sends the requests.
        config: Its configuration.
        access: The check of each request.
        limits: The limits of the client, for messages.
    """

    def __init__(self, client: AsyncClient, config: Config, access: AccessCheck, limits: ForwarderLimits) -> None:
        self._client = client
        self._config = config
        self._access = access
        self._limits = limits
        self._url = httpx.URL(str(config.origin))
        self._meter = ProxyMeter(client)
        #: The requests in progress.
        self.running: set[asyncio.Task[object]] = set()
        #: Whether each response ends its connection.
        self.is_ending = False

    async def respond(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request.

        Raises:
            ConnectionResetError: The response is incomplete, as the API or the caller failed.
        """
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - for type checkers
        self.running.add(task)
        try:
            with self._meter.measure(request) as attributes:
                response = await self._respond(request)
                attributes["http.response.status_code"] = response.status
                if response.status >= _SERVER_ERROR:
                    attributes["error.type"] = str(response.status)
                # Here, so that a request counts until its response is sent.
                await response.prepare(request)
                await response.write_eof()
                return response
        except ConnectionError:
            raise
        except Exception as error:
            _LOGGER.info("a response failed", exc_info=error)
            _abort(request)
            raise ConnectionResetError("the response is incomplete") from error
        finally:
            self.running.discard(task)

    async def _respond(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            path = self._access.path(request)
        except AccessRefused as refusal:
            _LOGGER.info("refused with %d: %s", refusal.status, refusal.detail)
            return self._finish(request, problem(refusal.status, refusal.detail, refusal.headers, error=_DENIED))
        if path.partition("?")[0] == METRICS_PATH and request.method in (hdrs.METH_GET, hdrs.METH_HEAD):
            return self._meter.page()
        try:
            url = self._url.copy_with(raw_path=path.encode("ascii"))
        except (UnicodeEncodeError, httpx.InvalidURL):
            return self._finish(request, problem(400, "the path is not a valid one", error=_MALFORMED))
        return await self._forward(request, url)

    async def _forward(self, request: web.BaseRequest, url: httpx.URL) -> web.StreamResponse:
        headers = request_headers(request.raw_headers, user_agent=user_agent())
        try:
            outgoing = httpx.Request(request.method, url, headers=headers, content=await _content(request))
            incoming = await self._client.send(outgoing, stream=True)
        except ConnectionError:  # the caller is gone
            raise
        except web.RequestPayloadError:
            return self._finish(request, problem(400, "the body is not well-formed", error=_MALFORMED))
        except Exception as error:  # noqa: BLE001  # each becomes a sentence
            return self._fail(request, error)
        async with contextlib.aclosing(incoming):
            # Without the API's reason phrase, which may be any text, such as the token.
            response = web.StreamResponse(status=incoming.status_code)
            sent = incoming.request.headers.get("Authorization", "").partition(" ")[2]
            for name, value in response_headers(
                incoming.headers.raw,
                origin=str(self._config.origin),
                secrets=[sent.encode()],
                client_id_header=self._config.provider.client_id_header,
            ):
                response.headers.add(name, value)
            self._finish(request, response)
            await response.prepare(request)
            try:
                # As it was sent: neither decompressed nor collected.
                async for part in incoming.aiter_raw():
                    await response.write(part)
            except httpx.HTTPError as error:
                _LOGGER.info("the response of %s ended early: %s", self._config.origin, sentence(error))
                # The only way to say that it is incomplete.
                _abort(request)
                raise ConnectionResetError("the API's response is incomplete") from None
        return response

    def _fail(self, request: web.BaseRequest, error: Exception) -> web.StreamResponse:
        limits = self._limits
        status, detail, kind = describe_failure(
            error, origin=self._config.origin, timeout=limits.timeout, connections=limits.connections
        )
        # With -v or --debug; the traceback of a failure that nobody expects alone.
        is_expected = isinstance(error, (SeicError, httpx.HTTPError))
        _LOGGER.info("answered with %d: %s", status, detail, exc_info=None if is_expected else error)
        return self._finish(request, problem(status, detail, error=kind))

    def _finish(self, request: web.BaseRequest, response: web.StreamResponse) -> web.StreamResponse:
        # After a body that was not read, the rest of the connection cannot be told apart from it.
        response.headers.setdefault(hdrs.SERVER, "seic")
        if self.is_ending or (isinstance(response, web.Response) and not request.content.is_eof()):
            response.force_close()
        return response


async def _content(request: web.BaseRequest) -> bytes | AsyncIterator[bytes] | None:
    """Return the body: in memory if it is short, else as a stream."""
    # A request of HTTP/2 without a body names no length.
    if request.content.at_eof():
        return None
    length = request.content_length
    if length is None or length > KEPT_BODY:
        return _stream(request)
    return b"".join([part async for part in _stream(request)])


async def _stream(request: web.BaseRequest) -> AsyncIterator[bytes]:
    """Yield the body as it comes; the caller is asked for it when the API takes it (RFC 9110 §10.1.1)."""
    if request.headers.get(hdrs.EXPECT, "").lower() == "100-continue":
        await _send_continue(request)
    async for part in request.content.iter_any():
        yield part


async def _send_continue(request: web.BaseRequest) -> None:
    writer = request.writer
    if isinstance(writer, Http2StreamWriter):
        writer.send_continue()
        return
    await writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    writer.output_size = 0


def _abort(request: web.BaseRequest) -> None:
    if request.transport is not None:
        request.transport.abort()

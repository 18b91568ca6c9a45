"""Adapters of transports: requests of httpx through a transport of httpx2, and the other way round."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx

from seic._httpx import AsyncBaseTransport, BaseTransport, either, httpx_of, stream_class


def adapt(transport: Any, module: Any = httpx) -> Any:
    """Return a transport for requests of a module, httpx or httpx2: this one, or an adapter of it.

    Transports of seic send requests of both.
    """
    own = httpx_of(type(transport))
    serves_both = isinstance(transport, (AsyncBaseTransport, BaseTransport))
    return transport if own is module or serves_both else _TransportAdapter(transport, own, module)


class _TransportAdapter(AsyncBaseTransport, BaseTransport):
    def __init__(self, inner: Any, own: Any, module: Any) -> None:
        self._inner = inner
        self._own = own
        self._module = module

    async def handle_async_request(self, request: Any) -> Any:
        """Send the request."""
        try:
            return self._response(await self._inner.handle_async_request(self._request(request)))
        except self._own.TransportError as error:
            failure = self._failure(error, request)
        raise failure from failure.__cause__

    def handle_request(self, request: Any) -> Any:
        """Send the request, blocking."""
        try:
            return self._response(self._inner.handle_request(self._request(request)))
        except self._own.TransportError as error:
            failure = self._failure(error, request)
        raise failure from failure.__cause__

    async def aclose(self) -> None:
        """Close the transport."""
        await self._inner.aclose()

    def close(self) -> None:
        """Close the transport."""
        self._inner.close()

    def _request(self, request: Any) -> Any:
        return self._own.Request(
            request.method,
            str(request.url),
            headers=request.headers.raw,
            stream=_stream(request.stream, self._own),
            extensions=request.extensions,
        )

    def _response(self, response: Any) -> Any:
        return self._module.Response(
            response.status_code,
            headers=response.headers.raw,
            stream=_stream(response.stream, self._module),
            extensions=response.extensions,
        )

    def _failure(self, error: Exception, request: Any) -> Exception:
        failure: Exception = getattr(self._module, type(error).__name__)(str(error), request=request)
        failure.__cause__ = error
        return failure


def _stream(stream: Any, module: Any) -> Any:
    if isinstance(stream, either("ByteStream")):
        return module.ByteStream(b"".join(stream))
    return stream_class(_Stream, module)(stream)


class _Stream:
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        yield from self._stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._stream:
            yield part

    async def aclose(self) -> None:
        if hasattr(self._stream, "aclose"):
            await self._stream.aclose()

    def close(self) -> None:
        if hasattr(self._stream, "close"):
            self._stream.close()

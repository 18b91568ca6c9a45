"""httpx and httpx2 as equals: the one that an object belongs to, and base classes for both.

httpx2 is used only if the program has imported it. After `httpx2.alias_httpx()` the two are one module.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any, TypeAlias

import httpx

#: The extension of a request with a function that attaches the current token to a request of httpcore, after a wait.
REATTACH = "seic.reattach"
#: The extension with the token that was attached after a wait.
REATTACHED = "seic.reattached"
#: The extension with the signer of a request's DPoP proofs, which httpx copies to a redirect as it does the headers.
PROOFS = "seic.proofs"

if TYPE_CHECKING:
    import httpx2

    #: A transport of either library, for async clients, for blocking ones, and for both.
    AnyAsyncTransport: TypeAlias = httpx.AsyncBaseTransport | httpx2.AsyncBaseTransport
    AnyBlockingTransport: TypeAlias = httpx.BaseTransport | httpx2.BaseTransport
    AnyTransport: TypeAlias = AnyAsyncTransport | AnyBlockingTransport

    AnyLimits: TypeAlias = httpx.Limits | httpx2.Limits
    AnyProxy: TypeAlias = httpx.URL | httpx.Proxy | httpx2.URL | httpx2.Proxy

    class Auth(httpx.Auth, httpx2.Auth):
        """An auth of both libraries."""

        def auth_flow(self, request: Any) -> Generator[Any, Any, None]: ...

        def sync_auth_flow(self, request: Any) -> Generator[Any, Any, None]: ...

        def async_auth_flow(self, request: Any) -> Any: ...

    class AsyncBaseTransport(httpx.AsyncBaseTransport, httpx2.AsyncBaseTransport):
        """An async transport of both libraries."""

        def handle_async_request(  # pyright: ignore[reportIncompatibleMethodOverride]  # whose `async def` is one kind
            self, request: Any
        ) -> Coroutine[Any, Any, Any]: ...

        async def __aenter__(self) -> Any: ...

    class BaseTransport(httpx.BaseTransport, httpx2.BaseTransport):
        """A blocking transport of both libraries."""

        def handle_request(self, request: Any) -> Any: ...

        def __enter__(self) -> Any: ...

else:
    AnyAsyncTransport = httpx.AsyncBaseTransport
    AnyBlockingTransport = httpx.BaseTransport
    AnyTransport = AnyAsyncTransport | AnyBlockingTransport
    AnyLimits = httpx.Limits
    AnyProxy = httpx.URL | httpx.Proxy

    # Clients accept any object with the methods of a transport.
    class AsyncBaseTransport(httpx.AsyncBaseTransport):
        """An async transport for requests of both libraries."""

    class BaseTransport(httpx.BaseTransport):
        """A blocking transport for requests of both libraries."""

    class Auth(httpx.Auth):
        """An auth of both libraries: a client checks that an auth is an instance of its own library's class."""

        @property
        def __class__(self) -> type:
            return _auth_kind(type(self), sys.modules.get("httpx2"))


@functools.lru_cache(64)
def _auth_kind(kind: type, second: Any) -> type:
    return kind if second is None or issubclass(kind, second.Auth) else type(kind.__name__, (kind, second.Auth), {})


def _httpx_of(kind: type) -> Any:
    is_second = any(base.__module__.partition(".")[0] == "httpx2" for base in kind.__mro__)
    return sys.modules["httpx2"] if is_second else httpx


#: Returns the module that a class of requests, responses, transports or errors belongs to: httpx or httpx2.
httpx_of: Callable[[type], Any] = functools.lru_cache(256)(_httpx_of)


def httpcore_of(module: Any) -> Any:
    """Return the httpcore of a module, httpx or httpx2."""
    return importlib.import_module("httpcore2" if module.__name__ == "httpx2" else "httpcore")


def either(*names: str) -> Any:
    """Return a tuple of the classes with these names, of each library that the program has imported."""
    return _either(names, sys.modules.get("httpx2"))


@functools.lru_cache(64)
def _either(names: tuple[str, ...], second: Any) -> tuple[type[Any], ...]:
    modules = (httpx,) if second is None or second is httpx else (httpx, second)
    return tuple(getattr(module, name) for module in modules for name in names)


def _stream_class(base: type, module: Any) -> type[Any]:
    return type(base.__name__, (base, module.SyncByteStream, module.AsyncByteStream), {})


#: Returns a class of bodies as a subclass of a module's streams, which a client requires.
stream_class: Callable[[type, Any], type[Any]] = functools.lru_cache(64)(_stream_class)

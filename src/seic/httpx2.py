"""`AsyncClient` and `Client` for httpx2: httpx2's clients with the configuration's transport, auth and retries.

`seic.OAuth2Auth`, `seic.AsyncTransport`, `seic.Transport` and `seic.RetryTransport` serve both libraries.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypedDict, Unpack

import httpx2

from seic._api.retry import Retry
from seic._auth import OAuth2Auth
from seic._base_client import AsyncBaseClient, SyncBaseClient
from seic._config import Config, setting_names_of
from seic._httpx import AnyAsyncTransport, AnyBlockingTransport
from seic._listeners import Listener
from seic._model.secret import strip_frames
from seic._options import ConfigOptions, split_config_options
from seic._public import publish as _publish
from seic._tokens.clock import SYSTEM_CLOCK, Clock

if TYPE_CHECKING:
    from httpx2._types import CookieTypes, HeaderTypes, QueryParamTypes, TimeoutTypes
else:  # httpx2 may rename them
    CookieTypes = HeaderTypes = QueryParamTypes = TimeoutTypes = Any

__all__ = ["AsyncClient", "AsyncClientOptions", "Client", "ClientOptions"]


class _RequestOptions(TypedDict, total=False):
    http1: bool
    http2: bool
    limits: httpx2.Limits
    params: QueryParamTypes | None
    headers: HeaderTypes | None
    cookies: CookieTypes | None
    timeout: TimeoutTypes
    follow_redirects: bool
    max_redirects: int
    event_hooks: Mapping[str, list[Callable[..., Any]]] | None
    base_url: httpx2.URL | str
    default_encoding: str | Callable[[bytes], str]


class AsyncClientOptions(_RequestOptions, total=False):
    """The arguments of `httpx2.AsyncClient` that `Config` does not decide."""

    mounts: Mapping[str, AnyAsyncTransport | None] | None


class ClientOptions(_RequestOptions, total=False):
    """The arguments of `httpx2.Client` that `Config` does not decide."""

    mounts: Mapping[str, AnyBlockingTransport | None] | None


class AsyncClientSettings(AsyncClientOptions, ConfigOptions, total=False):
    """The arguments of `httpx2.AsyncClient` and of `Config` together."""


class ClientSettings(ClientOptions, ConfigOptions, total=False):
    """The arguments of `httpx2.Client` and of `Config` together."""


class AsyncClient(AsyncBaseClient, httpx2.AsyncClient):
    """An `httpx2.AsyncClient` with the certificate and the token of a configuration.

    It sends requests to the configuration's origin only; any other raises `HostNotAllowed`, after redirects too.

    Args:
        config: The configuration.
        auth: An `OAuth2Auth` whose token this client shares; by default the client has its own. Its configuration may
            differ in the times of refreshes and the route (`proxy`, `local_address`, `trust_env`) only.
        transport: The transport in place of the network, for tests; it carries token requests too, unless `auth` is
            given.
        on_event: A function or coroutine function that is called with each event until the client is closed; see
            `OAuth2Auth.listen`.
        retry: The policy for repeating idempotent requests; None repeats none.
        clock: The clocks of token lifetimes, for tests.
        options: Arguments of `httpx2.AsyncClient`, except those that the configuration decides: `verify`, `cert`,
            `proxy`, `trust_env`.

    Raises:
        ConfigurationError: An option contradicts the configuration.
    """

    _httpx: ClassVar[Any] = httpx2

    def __init__(
        self,
        config: Config,
        *,
        auth: OAuth2Auth | None = None,
        transport: AnyAsyncTransport | None = None,
        on_event: Listener | None = None,
        retry: Retry | None = None,
        clock: Clock = SYSTEM_CLOCK,
        **options: Unpack[AsyncClientOptions],
    ) -> None:
        parts = self._set_up(
            config, auth=auth, transport=transport, on_event=on_event, retry=retry, clock=clock, options=options
        )
        super().__init__(**parts)
        self._finish(self.headers, options)

    @classmethod
    @strip_frames
    def from_env(
        cls,
        environ: Mapping[str, str] | None = None,
        *,
        auth: OAuth2Auth | None = None,
        transport: AnyAsyncTransport | None = None,
        on_event: Listener | None = None,
        retry: Retry | None = None,
        clock: Clock = SYSTEM_CLOCK,
        **settings: Unpack[AsyncClientSettings],
    ) -> Self:
        """Return a client for the settings in the `SEIC_*` variables; see `Config.from_env` for their names.

        Args:
            environ: The variables; by default those of the process.
            auth: See the class.
            transport: See the class.
            on_event: See the class.
            retry: See the class.
            clock: See the class.
            settings: Arguments of `Config`, which replace variables, and arguments of `httpx2.AsyncClient`.

        Raises:
            ConfigurationError: A variable is missing or malformed; its `field` is the variable's name.
            CertificateError: The certificate that the variables name cannot be used.
        """
        changes, options = split_config_options(settings)
        config = Config.from_env(environ, **changes)
        return cls(config, auth=auth, transport=transport, on_event=on_event, retry=retry, clock=clock, **options)

    def pages(
        self,
        url: httpx2.URL | str,
        *,
        params: QueryParamTypes | None = None,
        headers: HeaderTypes | None = None,
    ) -> AsyncIterator[httpx2.Response]:
        """Request a collection page by page, for `async for`.

        The next page is in the reply's `Link` header, or has the cursor that `Provider.page_cursor_field` names. The
        iteration ends with an error if a page was there before.

        Args:
            url: The URL or path of the first page.
            params: The parameters of each request.
            headers: The headers of each request.

        Raises:
            ApiError: A page is an error.
            ConfigurationError: The cursor's name is wrong or missing, or a page was there before.
        """
        from seic._api.pages import async_pages

        config = self._oauth.config
        return async_pages(
            self,
            url,
            provider=config.provider,
            setting_names=setting_names_of(config),
            params=params,
            headers=headers,
        )


class Client(SyncBaseClient, httpx2.Client):
    """The blocking twin of `AsyncClient`, for scripts, Django and Celery.

    Args:
        config: The configuration.
        auth: As in `AsyncClient`.
        transport: As in `AsyncClient`.
        on_event: As in `AsyncClient`.
        retry: As in `AsyncClient`.
        clock: As in `AsyncClient`.
        options: Arguments of `httpx2.Client`, except those that the configuration decides.

    Raises:
        ConfigurationError: An option contradicts the configuration.
    """

    _httpx: ClassVar[Any] = httpx2

    def __init__(
        self,
        config: Config,
        *,
        auth: OAuth2Auth | None = None,
        transport: AnyBlockingTransport | None = None,
        on_event: Listener | None = None,
        retry: Retry | None = None,
        clock: Clock = SYSTEM_CLOCK,
        **options: Unpack[ClientOptions],
    ) -> None:
        parts = self._set_up(
            config, auth=auth, transport=transport, on_event=on_event, retry=retry, clock=clock, options=options
        )
        super().__init__(**parts)
        self._finish(self.headers, options)

    @classmethod
    @strip_frames
    def from_env(
        cls,
        environ: Mapping[str, str] | None = None,
        *,
        auth: OAuth2Auth | None = None,
        transport: AnyBlockingTransport | None = None,
        on_event: Listener | None = None,
        retry: Retry | None = None,
        clock: Clock = SYSTEM_CLOCK,
        **settings: Unpack[ClientSettings],
    ) -> Self:
        """Return a client for the settings in the `SEIC_*` variables; see `AsyncClient.from_env`."""
        changes, options = split_config_options(settings)
        config = Config.from_env(environ, **changes)
        return cls(config, auth=auth, transport=transport, on_event=on_event, retry=retry, clock=clock, **options)

    def pages(
        self,
        url: httpx2.URL | str,
        *,
        params: QueryParamTypes | None = None,
        headers: HeaderTypes | None = None,
    ) -> Iterator[httpx2.Response]:
        """Request a collection page by page; the blocking twin of `AsyncClient.pages`."""
        from seic._api.pages import blocking_pages

        config = self._oauth.config
        return blocking_pages(
            self,
            url,
            provider=config.provider,
            setting_names=setting_names_of(config),
            params=params,
            headers=headers,
        )


_publish(__name__, __all__, globals())

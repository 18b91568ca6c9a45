"""`AsyncClient` and `Client`: httpx's clients with the configuration's transport, auth and retries."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self, Unpack

import httpx

from seic._api.retry import Retry
from seic._auth import OAuth2Auth
from seic._base_client import AsyncBaseClient, SyncBaseClient
from seic._config import Config, setting_names_of
from seic._httpx import AnyAsyncTransport, AnyBlockingTransport
from seic._listeners import Listener
from seic._model.secret import strip_frames
from seic._options import (
    AsyncClientOptions,
    AsyncClientSettings,
    ClientOptions,
    ClientSettings,
    split_config_options,
)
from seic._public import publish
from seic._tokens.clock import SYSTEM_CLOCK, Clock

if TYPE_CHECKING:
    from httpx._types import HeaderTypes, QueryParamTypes
else:  # httpx may rename them
    HeaderTypes = QueryParamTypes = Any


class AsyncClient(AsyncBaseClient, httpx.AsyncClient):
    """An `httpx.AsyncClient` with the certificate and the token of a configuration.

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
        options: Arguments of `httpx.AsyncClient`, except those that the configuration decides: `verify`, `cert`,
            `proxy`, `trust_env`.

    Raises:
        ConfigurationError: An option contradicts the configuration.
    """

    _httpx: ClassVar[Any] = httpx

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
            settings: Arguments of `Config`, which replace variables, and arguments of `httpx.AsyncClient`.

        Raises:
            ConfigurationError: A variable is missing or malformed; its `field` is the variable's name.
            CertificateError: The certificate that the variables name cannot be used.
        """
        changes, options = split_config_options(settings)
        config = Config.from_env(environ, **changes)
        return cls(config, auth=auth, transport=transport, on_event=on_event, retry=retry, clock=clock, **options)

    def pages(
        self,
        url: httpx.URL | str,
        *,
        params: QueryParamTypes | None = None,
        headers: HeaderTypes | None = None,
    ) -> AsyncIterator[httpx.Response]:
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


class Client(SyncBaseClient, httpx.Client):
    """The blocking twin of `AsyncClient`, for scripts, Django and Celery.

    Args:
        config: The configuration.
        auth: As in `AsyncClient`.
        transport: As in `AsyncClient`.
        on_event: As in `AsyncClient`.
        retry: As in `AsyncClient`.
        clock: As in `AsyncClient`.
        options: Arguments of `httpx.Client`, except those that the configuration decides.

    Raises:
        ConfigurationError: An option contradicts the configuration.
    """

    _httpx: ClassVar[Any] = httpx

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
        url: httpx.URL | str,
        *,
        params: QueryParamTypes | None = None,
        headers: HeaderTypes | None = None,
    ) -> Iterator[httpx.Response]:
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


publish("seic", ["AsyncClient", "Client"], globals())

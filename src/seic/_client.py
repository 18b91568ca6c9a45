"""`AsyncClient` and `Client`: httpx's clients with the configuration's transport, auth and retries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self, Unpack

import httpx

from seic._api.retry import Retry, RetryTransport
from seic._auth import OAuth2Auth
from seic._config import Config, differing_setting
from seic._errors import ConfigurationError
from seic._listeners import Listener, Listeners
from seic._model.secret import strip_frames
from seic._model.token import Token
from seic._model.token_info import TokenInfo
from seic._options import (
    AsyncClientOptions,
    AsyncClientSettings,
    ClientOptions,
    ClientSettings,
    split_config_options,
)
from seic._public import publish
from seic._tls.certificate import ClientCertificate
from seic._tokens.cache import Stats
from seic._tokens.clock import SYSTEM_CLOCK, Clock
from seic._transport import DECIDED_BY_CONFIG, AsyncTransport, Transport
from seic._version import HTTPX_USER_AGENT, USER_AGENT

#: Arguments of a client that httpx passes to the transport that it creates.
_TRANSPORT_OPTIONS = ("http1", "http2", "limits")


def _transport_options(options: Mapping[str, Any]) -> dict[str, Any]:
    # The client gets them too: it checks that the package for `http2` is installed. None is httpx's default.
    names = (*_TRANSPORT_OPTIONS, *DECIDED_BY_CONFIG)
    return {name: options[name] for name in names if options.get(name) is not None}


def _client_options(config: Config, options: Mapping[str, Any], carry: Callable[[Any], Any]) -> dict[str, Any]:
    mounts = options.get("mounts") or {}
    wrapped = {pattern: None if transport is None else carry(transport) for pattern, transport in mounts.items()}
    return {"base_url": config.base_url, **options, "mounts": wrapped}


class _SeicClient:
    """The members of both clients that send nothing."""

    _oauth: OAuth2Auth
    _owns_auth: bool
    _listeners: Listeners
    _unsubscribe: Callable[[], None]

    def __repr__(self) -> str:
        kind = type(self)
        return f"<{kind.__module__}.{kind.__qualname__} {self._oauth.describe()}>"

    @property
    def certificate(self) -> ClientCertificate | None:
        """The current client certificate; see `OAuth2Auth.certificate`."""
        return self._oauth.certificate

    @property
    def stats(self) -> Stats:
        """A snapshot of the counters."""
        return self._oauth.stats

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call a listener for each event; see `OAuth2Auth.listen`."""
        return self._oauth.listen(listener)

    def _name_sender(self, headers: httpx.Headers) -> None:
        if headers.get("User-Agent", "").startswith(HTTPX_USER_AGENT):
            headers["User-Agent"] = USER_AGENT
        if self._owns_auth:
            self._oauth._name_sender(headers)  # noqa: SLF001 - not for users

    def _use_auth(
        self,
        auth: OAuth2Auth | None,
        config: Config,
        transport: httpx.AsyncBaseTransport | httpx.BaseTransport | None,
        on_event: Listener | None,
        clock: Clock,
    ) -> OAuth2Auth:
        if auth is not None:
            _check_auth(auth, config, clock)
        self._owns_auth = auth is None
        self._oauth = auth or OAuth2Auth(config, transport=transport, clock=clock)
        # Not the auth's own: closing waits for the listeners of this client only.
        self._listeners = Listeners(on_event)
        self._unsubscribe = self._oauth.listen(self._listeners.notify)
        return self._oauth


def _check_auth(auth: object, config: Config, clock: Clock) -> None:
    if not isinstance(auth, OAuth2Auth):
        raise ConfigurationError(
            f"auth: must be a seic.OAuth2Auth, not {type(auth).__name__}; pass another kind of auth to the single "
            "request",
            field="auth",
        )
    if (setting := differing_setting(auth.config, config)) is not None:
        raise ConfigurationError(
            f"auth: its {setting} differs from this client's; two identities never share a token, so create both "
            "from one Config",
            field="auth",
        )
    if clock is not SYSTEM_CLOCK:
        raise ConfigurationError(
            "clock: has no effect if auth is set, because the auth has its own; pass it to seic.OAuth2Auth(clock=...)",
            field="clock",
        )


class AsyncClient(_SeicClient, httpx.AsyncClient):
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

    def __init__(
        self,
        config: Config,
        *,
        auth: OAuth2Auth | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        on_event: Listener | None = None,
        retry: Retry | None = None,
        clock: Clock = SYSTEM_CLOCK,
        **options: Unpack[AsyncClientOptions],
    ) -> None:
        def carry(inner: httpx.AsyncBaseTransport | None, **options: Any) -> httpx.AsyncBaseTransport:
            carrier = AsyncTransport(config, transport=inner, **options)
            return carrier if retry is None else RetryTransport(carrier, retry, provider=config.provider)

        carrier = carry(transport, **_transport_options(options))
        oauth = self._use_auth(auth, config, transport, on_event, clock)
        super().__init__(auth=oauth, transport=carrier, **_client_options(config, options, carry))
        self._name_sender(self.headers)

    @classmethod
    @strip_frames
    def from_env(
        cls,
        environ: Mapping[str, str] | None = None,
        *,
        auth: OAuth2Auth | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
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

    async def token(self, *, force: bool = False) -> Token:
        """Return a valid token, and request one if necessary; see `OAuth2Auth.token`."""
        return await self._oauth.token(force=force)

    async def token_info(self) -> TokenInfo:
        """Ask the provider to describe the token; see `OAuth2Auth.token_info`."""
        return await self._oauth.token_info()

    async def revoke(self) -> None:
        """Revoke the token at the provider; see `OAuth2Auth.revoke`."""
        await self._oauth.revoke()

    async def reload_certificate(self) -> bool:
        """Read the certificate's files again now; see `OAuth2Auth.reload_certificate`."""
        return await self._oauth.reload_certificate()

    async def _leave(self) -> None:
        if self._owns_auth:
            await self._oauth.aclose()
        self._unsubscribe()
        await self._listeners.drain()

    async def aclose(self) -> None:
        """Close the connections, and stop background work unless the auth is shared."""
        try:
            await self._leave()
        finally:
            await super().aclose()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        """Close as `aclose` does."""
        try:
            await self._leave()
        finally:
            await super().__aexit__(exc_type, exc_value, traceback)


class Client(_SeicClient, httpx.Client):
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

    def __init__(
        self,
        config: Config,
        *,
        auth: OAuth2Auth | None = None,
        transport: httpx.BaseTransport | None = None,
        on_event: Listener | None = None,
        retry: Retry | None = None,
        clock: Clock = SYSTEM_CLOCK,
        **options: Unpack[ClientOptions],
    ) -> None:
        def carry(inner: httpx.BaseTransport | None, **options: Any) -> httpx.BaseTransport:
            carrier = Transport(config, transport=inner, **options)
            return carrier if retry is None else RetryTransport(carrier, retry, provider=config.provider)

        carrier = carry(transport, **_transport_options(options))
        oauth = self._use_auth(auth, config, transport, on_event, clock)
        super().__init__(auth=oauth, transport=carrier, **_client_options(config, options, carry))
        self._name_sender(self.headers)

    @classmethod
    @strip_frames
    def from_env(
        cls,
        environ: Mapping[str, str] | None = None,
        *,
        auth: OAuth2Auth | None = None,
        transport: httpx.BaseTransport | None = None,
        on_event: Listener | None = None,
        retry: Retry | None = None,
        clock: Clock = SYSTEM_CLOCK,
        **settings: Unpack[ClientSettings],
    ) -> Self:
        """Return a client for the settings in the `SEIC_*` variables; see `AsyncClient.from_env`."""
        changes, options = split_config_options(settings)
        config = Config.from_env(environ, **changes)
        return cls(config, auth=auth, transport=transport, on_event=on_event, retry=retry, clock=clock, **options)

    def token(self, *, force: bool = False) -> Token:
        """Return a valid token, and request one if necessary; see `OAuth2Auth.token`."""
        return self._oauth.token_sync(force=force)

    def token_info(self) -> TokenInfo:
        """Ask the provider to describe the token; see `OAuth2Auth.token_info`."""
        return self._oauth.token_info_sync()

    def revoke(self) -> None:
        """Revoke the token at the provider; see `OAuth2Auth.revoke`."""
        self._oauth.revoke_sync()

    def reload_certificate(self) -> bool:
        """Read the certificate's files again now; see `OAuth2Auth.reload_certificate`."""
        return self._oauth.reload_certificate_sync()

    def _leave(self) -> None:
        if self._owns_auth:
            self._oauth.close()
        self._unsubscribe()
        self._listeners.drain_sync()

    def close(self) -> None:
        """Close the connections, and stop background work unless the auth is shared."""
        try:
            self._leave()
        finally:
            super().close()

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        """Close as `close` does."""
        try:
            self._leave()
        finally:
            super().__exit__(exc_type, exc_value, traceback)


publish("seic", ["AsyncClient", "Client"], globals())

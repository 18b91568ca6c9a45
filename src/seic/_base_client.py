"""The members of the clients for httpx and httpx2: transport, auth, retries, tokens and closing."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, ClassVar, Self, cast

from seic._api.retry import Retry, RetryTransport
from seic._auth import OAuth2Auth
from seic._config import Config, differing_setting
from seic._errors import ConfigurationError
from seic._httpx import AnyTransport
from seic._listeners import Listener, Listeners
from seic._model.token import Token
from seic._model.token_info import TokenInfo
from seic._tls.certificate import ClientCertificate
from seic._tokens.cache import Stats
from seic._tokens.clock import SYSTEM_CLOCK, Clock
from seic._transport import DECIDED_BY_CONFIG, AsyncTransport, Transport
from seic._version import HTTPX_USER_AGENT, user_agent

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


@functools.lru_cache(2)
def _cookies_class(module: Any) -> Any:
    class Cookies(module.Cookies):  # type: ignore[misc]
        """The same cookies, without the search for them in responses that set none: a sixth of a call's time."""

        def extract_cookies(self, response: Any) -> None:
            if "set-cookie" in response.headers:
                super().extract_cookies(response)

    return Cookies


class BaseClient:
    """The members of all clients that send nothing."""

    #: httpx or httpx2.
    _httpx: ClassVar[Any]

    _oauth: OAuth2Auth
    _owns_auth: bool
    _listeners: Listeners
    _unsubscribe: Callable[[], None]
    _transport_kind: ClassVar[type[AsyncTransport | Transport]]

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

    def _set_up(
        self,
        config: Config,
        *,
        auth: OAuth2Auth | None,
        transport: Any,
        on_event: Listener | None,
        retry: Retry | None,
        clock: Clock,
        options: Mapping[str, Any],
    ) -> dict[str, Any]:
        """Connect the parts; return the arguments of the client of httpx."""

        def carry(inner: Any, **options: Any) -> Any:
            carrier = self._transport_kind(config, transport=inner, **options)
            return carrier if retry is None else RetryTransport(carrier, retry, provider=config.provider)

        carrier = carry(transport, **_transport_options(options))
        oauth = self._use_auth(auth, config, transport, on_event, clock)
        return {"auth": oauth, "transport": carrier, **_client_options(config, options, carry)}

    def _check_reopening(self) -> None:
        if cast("Any", self).is_closed:
            raise RuntimeError(
                "the client is closed and cannot be opened again; create another one, with auth=... of this one if "
                "the token is to be kept"
            )

    def _finish(self, headers: Any, options: Mapping[str, Any]) -> None:
        """Change what the client of httpx has set up."""
        # The property `cookies` returns it. If httpx renames it, responses without cookies cost more again.
        self._cookies = _cookies_class(self._httpx)(options.get("cookies"))
        if headers.get("User-Agent", "").startswith(HTTPX_USER_AGENT):
            headers["User-Agent"] = user_agent(self._httpx)
        if self._owns_auth:
            self._oauth._name_sender(headers)  # noqa: SLF001 - not for users

    def _use_auth(
        self,
        auth: OAuth2Auth | None,
        config: Config,
        transport: AnyTransport | None,
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


class AsyncBaseClient(BaseClient):
    """The members of the async clients of httpx and httpx2."""

    _transport_kind = AsyncTransport

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

    async def __aenter__(self) -> Self:
        """Open the client; raises RuntimeError if it is closed."""
        self._check_reopening()
        await super().__aenter__()  # type: ignore[misc]
        return self

    async def aclose(self) -> None:
        """Close the connections, and stop background work unless the auth is shared."""
        try:
            await self._leave()
        finally:
            await super().aclose()  # type: ignore[misc]

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
            await super().__aexit__(exc_type, exc_value, traceback)  # type: ignore[misc]


class SyncBaseClient(BaseClient):
    """The members of the blocking clients of httpx and httpx2."""

    _transport_kind = Transport

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

    def __enter__(self) -> Self:
        """Open the client; raises RuntimeError if it is closed."""
        self._check_reopening()
        super().__enter__()  # type: ignore[misc]
        return self

    def close(self) -> None:
        """Close the connections, and stop background work unless the auth is shared."""
        try:
            self._leave()
        finally:
            super().close()  # type: ignore[misc]

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
            super().__exit__(exc_type, exc_value, traceback)  # type: ignore[misc]

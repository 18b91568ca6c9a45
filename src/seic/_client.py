"""The ready clients: the only place that wires everything together."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import httpx

from seic._api.retry import Retry, RetryTransport
from seic._auth import OAuth2Auth
from seic._config import Config
from seic._errors import ConfigurationError
from seic._listeners import Listener, Listeners
from seic._model.token import Token
from seic._model.token_info import TokenInfo
from seic._tls.certificate import ClientCertificate
from seic._tokens.stats import Stats
from seic._transport import DECIDED_BY_CONFIG, AsyncTransport, Transport

#: Keywords of a client that httpx hands on to the transport that it makes itself.
_TRANSPORT_OPTIONS = ("http1", "http2", "limits")


def _for_transport(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that are the transport's.

    They stay among the client's, which checks them (is there a package for `http2`?) and makes nothing of them.
    """
    names = (*_TRANSPORT_OPTIONS, *DECIDED_BY_CONFIG)
    # None is httpx's own default.
    return {name: options[name] for name in names if options.get(name) is not None}


def _join_auth(
    config: Config,
    auth: OAuth2Auth | None,
    transport: httpx.AsyncBaseTransport | httpx.BaseTransport | None,
) -> OAuth2Auth:
    """Return a client's own auth, or the shared one after checking that it is of the same identity."""
    if auth is None:
        return OAuth2Auth(config, transport=transport)
    if not isinstance(auth, OAuth2Auth):
        raise ConfigurationError(
            f"auth: must be a seic.OAuth2Auth, whose token is shared, not {type(auth).__name__}; give another kind of "
            "auth to the single call",
            field="auth",
        )
    for fact in ("base_url", "client_id", "certificate"):
        if getattr(auth.config, fact) != getattr(config, fact):
            raise ConfigurationError(
                f"auth: its {fact} is another than this client's; a token is never shared between two identities, so "
                "make both of one Config",
                field="auth",
            )
    return auth


class AsyncClient(httpx.AsyncClient):
    """An `httpx.AsyncClient` that carries the identity and the token of a configuration.

    Calls go to the configuration's origin only: any other raises `HostNotAllowed`, on redirects too.

    Args:
        config: Who asks, where, and how.
        auth: An `OAuth2Auth` of the same identity, to share its token with other clients; None is one of its own.
        transport: What carries API calls in place of the network, for tests; token calls too, unless `auth` is given.
        on_event: A function or coroutine function of one event, told until the client is closed; see
            `OAuth2Auth.listen`.
        retry: How often idempotent calls are repeated when that may help; None is never.
        options: Keywords of `httpx.AsyncClient`, all but those that the configuration decides: `verify`,
            `cert`, `proxy`, `trust_env`.

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
        **options: Any,
    ) -> None:
        def carry(inner: httpx.AsyncBaseTransport | None, **options: Any) -> httpx.AsyncBaseTransport:
            carrier = AsyncTransport(config, transport=inner, **options)
            return carrier if retry is None else RetryTransport(carrier, retry, provider=config.provider)

        carrier = carry(transport, **_for_transport(options))
        self._owns_auth = auth is None
        self._oauth = _join_auth(config, auth, transport)
        self._listeners = Listeners(on_event)
        self._unsubscribe = self._oauth.listen(self._listeners.tell)
        options.setdefault("base_url", config.base_url)
        if mounts := options.get("mounts"):
            options["mounts"] = {pattern: None if mount is None else carry(mount) for pattern, mount in mounts.items()}
        super().__init__(auth=self._oauth, transport=carrier, **options)

    @classmethod
    def from_env(cls, **options: Any) -> Self:
        """Return a client for the settings in the `SEIC_*` variables; see `Config.from_env`."""
        return cls(Config.from_env(), **options)

    async def token(self, *, force: bool = False) -> Token:
        """Return a live token.

        Args:
            force: Fetch a new one although the old one is fresh.

        Raises:
            TokenError: No token could be had.
            CertificateError: The client certificate cannot work.
        """
        return await self._oauth.token(force=force)

    async def reload_certificate(self) -> bool:
        """Read the certificate again now, without waiting for the next look; return whether it was a new one.

        Raises:
            CertificateError: What is there now cannot work; the last good one stays in service.
            ConfigurationError: There is no certificate, or it was given as bytes.
        """
        return await self._oauth.reload_certificate()

    async def token_info(self) -> TokenInfo:
        """Ask the provider what the token is good for, getting one first if need be.

        Raises:
            ConfigurationError: The provider has no call that describes a token.
            TokenError: No token could be had, or the provider did not describe it.
        """
        return await self._oauth.token_info()

    async def revoke(self) -> None:
        """End the token's life at the provider; the next call gets a new one.

        Raises:
            TokenError: The provider did not end it; it is dropped here all the same.
            ConfigurationError: The provider has no way to.
        """
        await self._oauth.revoke()

    @property
    def certificate(self) -> ClientCertificate | None:
        """The client certificate in service; see `OAuth2Auth.certificate`."""
        return self._oauth.certificate

    @property
    def stats(self) -> Stats:
        """A snapshot of the counters."""
        return self._oauth.stats

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Tell a listener of each event from now on; see `OAuth2Auth.listen`."""
        return self._oauth.listen(listener)

    async def _leave(self) -> None:
        if self._owns_auth:
            await self._oauth.aclose()
        self._unsubscribe()
        await self._listeners.drain()

    async def aclose(self) -> None:
        """Close the connections, and end background work unless the auth is shared."""
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


class Client(httpx.Client):
    """The blocking twin of `AsyncClient`, for scripts, Django and Celery.

    Args:
        config: Who asks, where, and how.
        auth: An `OAuth2Auth` of the same identity, to share its token with other clients; None is one of its own.
        transport: What carries API calls in place of the network, for tests; token calls too, unless `auth` is given.
        on_event: A function or coroutine function of one event, told until the client is closed; see
            `OAuth2Auth.listen`.
        retry: How often idempotent calls are repeated when that may help; None is never.
        options: Keywords of `httpx.Client`, all but those that the configuration decides: `verify`,
            `cert`, `proxy`, `trust_env`.

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
        **options: Any,
    ) -> None:
        def carry(inner: httpx.BaseTransport | None, **options: Any) -> httpx.BaseTransport:
            carrier = Transport(config, transport=inner, **options)
            return carrier if retry is None else RetryTransport(carrier, retry, provider=config.provider)

        carrier = carry(transport, **_for_transport(options))
        self._owns_auth = auth is None
        self._oauth = _join_auth(config, auth, transport)
        self._listeners = Listeners(on_event)
        self._unsubscribe = self._oauth.listen(self._listeners.tell)
        options.setdefault("base_url", config.base_url)
        if mounts := options.get("mounts"):
            options["mounts"] = {pattern: None if mount is None else carry(mount) for pattern, mount in mounts.items()}
        super().__init__(auth=self._oauth, transport=carrier, **options)

    @classmethod
    def from_env(cls, **options: Any) -> Self:
        """Return a client for the settings in the `SEIC_*` variables; see `Config.from_env`."""
        return cls(Config.from_env(), **options)

    def token(self, *, force: bool = False) -> Token:
        """Return a live token; see `AsyncClient.token`."""
        return self._oauth.token_sync(force=force)

    def reload_certificate(self) -> bool:
        """Read the certificate again now; see `AsyncClient.reload_certificate`."""
        return self._oauth.reload_certificate_sync()

    def token_info(self) -> TokenInfo:
        """Ask the provider what the token is good for; see `AsyncClient.token_info`."""
        return self._oauth.token_info_sync()

    def revoke(self) -> None:
        """End the token's life at the provider; see `AsyncClient.revoke`."""
        self._oauth.revoke_sync()

    @property
    def certificate(self) -> ClientCertificate | None:
        """The client certificate in service; see `OAuth2Auth.certificate`."""
        return self._oauth.certificate

    @property
    def stats(self) -> Stats:
        """A snapshot of the counters."""
        return self._oauth.stats

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Tell a listener of each event from now on; see `OAuth2Auth.listen`."""
        return self._oauth.listen(listener)

    def _leave(self) -> None:
        if self._owns_auth:
            self._oauth.close()
        self._unsubscribe()
        self._listeners.drain_blocking()

    def close(self) -> None:
        """Close the connections, and end background work unless the auth is shared."""
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

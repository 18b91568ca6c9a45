"""The ready clients: the only place that wires everything together."""

from __future__ import annotations

from typing import Any, Self

import httpx

from seic._auth import OAuth2Auth
from seic._config import Config
from seic._errors import ConfigurationError
from seic._model.token import Token
from seic._tokens.stats import Stats
from seic._transport import AsyncTransport, Transport

#: Keywords that httpx would give to the transport that it builds itself.
_TRANSPORT_OPTIONS = ("http1", "http2", "limits")


def _take_transport_options(options: dict[str, Any]) -> dict[str, Any]:
    for name in ("verify", "cert"):
        if name in options:
            raise ConfigurationError(
                f"{name}: whom to trust and which certificate to present stand in seic.Config (ca, certificate)",
                field=name,
            )
    return {name: options.pop(name) for name in _TRANSPORT_OPTIONS if name in options}


class AsyncClient(httpx.AsyncClient):
    """An `httpx.AsyncClient` that carries the identity and the token of a configuration.

    Calls go to the configuration's origin only: any other raises `HostNotAllowed`, on redirects too.

    Args:
        config: Who asks, where, and how.
        auth: An `OAuth2Auth` to share its token with other clients; None is one of its own.
        transport: What carries API and token calls in place of the network, for tests.
        options: Keywords of `httpx.AsyncClient`.
    """

    def __init__(
        self,
        config: Config,
        *,
        auth: OAuth2Auth | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        **options: Any,
    ) -> None:
        self._owns_auth = auth is None
        self._oauth = OAuth2Auth(config, transport=transport) if auth is None else auth
        carrier = AsyncTransport(config, transport=transport, **_take_transport_options(options))
        options.setdefault("base_url", config.base_url)
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
        return await self._oauth.source.token(force=force)

    @property
    def stats(self) -> Stats:
        """A snapshot of the counters."""
        return self._oauth.stats

    async def aclose(self) -> None:
        """Close the connections, and end background work unless the auth is shared."""
        if self._owns_auth:
            self._oauth.close()
        await super().aclose()

    async def __aexit__(self, *exc_info: object) -> None:
        if self._owns_auth:
            self._oauth.close()
        await super().__aexit__(*exc_info)


class Client(httpx.Client):
    """The blocking twin of `AsyncClient`, for scripts, Django and Celery.

    Args:
        config: Who asks, where, and how.
        auth: An `OAuth2Auth` to share its token with other clients; None is one of its own.
        transport: What carries API and token calls in place of the network, for tests.
        options: Keywords of `httpx.Client`.
    """

    def __init__(
        self,
        config: Config,
        *,
        auth: OAuth2Auth | None = None,
        transport: httpx.BaseTransport | None = None,
        **options: Any,
    ) -> None:
        self._owns_auth = auth is None
        self._oauth = OAuth2Auth(config, transport=transport) if auth is None else auth
        carrier = Transport(config, transport=transport, **_take_transport_options(options))
        options.setdefault("base_url", config.base_url)
        super().__init__(auth=self._oauth, transport=carrier, **options)

    @classmethod
    def from_env(cls, **options: Any) -> Self:
        """Return a client for the settings in the `SEIC_*` variables; see `Config.from_env`."""
        return cls(Config.from_env(), **options)

    def token(self, *, force: bool = False) -> Token:
        """Return a live token; see `AsyncClient.token`."""
        return self._oauth.source.token_sync(force=force)

    @property
    def stats(self) -> Stats:
        """A snapshot of the counters."""
        return self._oauth.stats

    def close(self) -> None:
        """Close the connections, and end background work unless the auth is shared."""
        if self._owns_auth:
            self._oauth.close()
        super().close()

    def __exit__(self, *exc_info: object) -> None:
        if self._owns_auth:
            self._oauth.close()
        super().__exit__(*exc_info)

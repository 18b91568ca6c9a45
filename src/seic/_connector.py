"""The way to the token endpoint: a connection of its own for each call, with the identity in service."""

from __future__ import annotations

import httpx

from seic._config import Config
from seic._errors import ConfigurationError
from seic._model.hosts import Origin
from seic._network.failures import TokenCallFailures
from seic._network.pools import AsyncPools, Pools


class TokenConnector:
    """Opens what carries a token call: the network with the configuration's identity, or a test's transport.

    Args:
        config: Whose identity it is.
        transport: What to send through in place of the network, for tests.
    """

    def __init__(self, config: Config, transport: httpx.AsyncBaseTransport | httpx.BaseTransport | None = None) -> None:
        self._presenter = config.presenter
        self._transport = transport
        url = httpx.URL(config.token_url)
        # A provider's whole URL may lead to another host than the API calls.
        origin = Origin.parse(
            f"{url.scheme}://{url.netloc.decode('ascii')}", field="provider.token_url", allow_http_on_loopback=True
        )
        self._failures = TokenCallFailures(origin=origin, network=config.network)

    @property
    def owned(self) -> bool:
        """Whether the transport is closed after the call: a test's is the test's."""
        return self._transport is None

    async def open_async(self) -> httpx.AsyncBaseTransport:
        """Return a transport for one call in the running event loop."""
        if self._transport is None:
            return AsyncPools(self._presenter, self._failures)
        if isinstance(self._transport, httpx.AsyncBaseTransport):
            return self._transport
        raise ConfigurationError(
            f"transport: {type(self._transport).__name__} is for blocking clients only", field="transport"
        )

    def open_sync(self) -> httpx.BaseTransport:
        """Return a transport for one call in this thread."""
        if self._transport is None:
            return Pools(self._presenter, self._failures)
        if isinstance(self._transport, httpx.BaseTransport):
            return self._transport
        raise ConfigurationError(
            f"transport: {type(self._transport).__name__} is for async clients only", field="transport"
        )

"""Keyword arguments that constructors pass on, as typed dictionaries, so that type checkers find a misspelt one."""

# Annotations are evaluated: typing compiles those that are text, which takes longer than all else here.
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypedDict

import httpx

from seic._httpx import AnyLimits, AnyTransport
from seic._model.grant_parameters import Grant
from seic._model.hosts import Hosts
from seic._model.provider import Provider
from seic._model.secret import Secret
from seic._network.proxies import ProxyLike
from seic._oauth.dpop import DPoP
from seic._public import publish
from seic._tls.context import CertificateSource
from seic._tls.trust import CaSource
from seic._tokens.refresh_policy import Margin
from seic._tokens.store import TokenStore

if TYPE_CHECKING:
    from httpx._types import CookieTypes, HeaderTypes, QueryParamTypes, TimeoutTypes
else:  # httpx may rename them
    CookieTypes = HeaderTypes = QueryParamTypes = TimeoutTypes = Any


class ConfigOptions(TypedDict, total=False):
    """The arguments of `Config`."""

    provider: Provider
    environment: str
    hosts: Hosts | None
    client_id: str
    client_secret: Secret | None
    grant: Grant
    certificate: CertificateSource | None
    dpop: DPoP | None
    ca: CaSource | None
    store: TokenStore | None
    advisory_refresh: Margin | None
    mandatory_refresh: Margin | None
    token_timeout: float
    rate_limit_timeout: float | None
    proxy: ProxyLike | None
    local_address: str | None
    strict_common_name: bool
    probe_rotation: bool
    trust_env: bool


class DiscoveryOptions(TypedDict, total=False):
    """The arguments of `discover` that concern the connection and the cache."""

    ca: CaSource | None
    certificate: CertificateSource | None
    proxy: ProxyLike | None
    local_address: str | None
    trust_env: bool
    transport: AnyTransport | None
    allow_http_on_loopback: bool
    max_age: float
    clock: Callable[[], float]


class TransportOptions(TypedDict, total=False):
    """The arguments of httpx's transports that `Config` does not decide."""

    http1: bool
    http2: bool
    limits: AnyLimits
    retries: int
    socket_options: Iterable[tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]]


class _RequestOptions(TypedDict, total=False):
    http1: bool
    http2: bool
    limits: httpx.Limits
    params: QueryParamTypes | None
    headers: HeaderTypes | None
    cookies: CookieTypes | None
    timeout: TimeoutTypes
    follow_redirects: bool
    max_redirects: int
    event_hooks: Mapping[str, list[Callable[..., Any]]] | None
    base_url: httpx.URL | str
    default_encoding: str | Callable[[bytes], str]


class AsyncClientOptions(_RequestOptions, total=False):
    """The arguments of `httpx.AsyncClient` that `Config` does not decide."""

    mounts: Mapping[str, httpx.AsyncBaseTransport | None] | None


class ClientOptions(_RequestOptions, total=False):
    """The arguments of `httpx.Client` that `Config` does not decide."""

    mounts: Mapping[str, httpx.BaseTransport | None] | None


class AsyncClientSettings(AsyncClientOptions, ConfigOptions, total=False):
    """The arguments of `httpx.AsyncClient` and of `Config` together."""


class ClientSettings(ClientOptions, ConfigOptions, total=False):
    """The arguments of `httpx.Client` and of `Config` together."""


def split_config_options(settings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the arguments of `Config`, and the others."""
    of_config = ConfigOptions.__optional_keys__
    return (
        {name: value for name, value in settings.items() if name in of_config},
        {name: value for name, value in settings.items() if name not in of_config},
    )


publish(
    "seic", ["AsyncClientOptions", "ClientOptions", "ConfigOptions", "DiscoveryOptions", "TransportOptions"], globals()
)

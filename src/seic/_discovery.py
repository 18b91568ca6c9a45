"""`discover`: fetch an issuer's metadata, and cache it; `_oauth.metadata` parses it.

`with_metadata` does that for a configuration which knows its provider by the issuer only.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias, Unpack

import attrs
import httpx

from seic._concurrency import ForkSafeLock, run_in_thread
from seic._config import Config, setting_names_of
from seic._errors import ConfigurationError, InvalidTokenResponse, SeicError, TokenEndpointUnavailable
from seic._httpx import AnyTransport
from seic._identity import Identity, shared_identity
from seic._model.provider import ClientAuthentication, Provider
from seic._network.proxies import Network, ProxyLike
from seic._network.transport_factory import TransportFactory
from seic._oauth.metadata import metadata_urls, parse_metadata
from seic._oauth.reply import Reply
from seic._options import DiscoveryOptions
from seic._portal import run
from seic._public import publish
from seic._setting_errors import SettingNames
from seic._tls.context import CertificateSource, check_source
from seic._tls.trust import CaSource, authority_parts
from seic._tokens.clock import SYSTEM_CLOCK
from seic._tokens.exchange import exchange, in_two_attempts, without_frames

#: Seconds for which metadata is cached: endpoints change rarely, and with notice.
_MAX_AGE = 3600.0
_TIMEOUT = 10.0
#: Client errors that do not mean that there is no metadata.
_TEMPORARY = frozenset({httpx.codes.REQUEST_TIMEOUT, httpx.codes.TOO_MANY_REQUESTS})

_Transport: TypeAlias = AnyTransport


@attrs.frozen
class _CacheEntry:
    body: bytes
    expires_at: float


#: By issuer, CA, and the thumbprint of the client certificate.
_cache: dict[tuple[str, tuple[Any, ...], str | None], _CacheEntry] = {}
_lock = ForkSafeLock()


@attrs.frozen(kw_only=True)
class _Discovery:
    """One discovery: the issuer, and the settings of its requests."""

    issuer: str
    ca: CaSource | None
    identity: Identity
    network: Network
    transport: _Transport | None
    allow_http_on_loopback: bool
    max_age: float
    clock: Callable[[], float]

    @property
    def transports(self) -> TransportFactory:
        """The factory of the transport of each request."""
        return TransportFactory(
            self.issuer, identity=self.identity, network=self.network, transport=self.transport, field="issuer"
        )

    def thumbprint(self) -> str | None:
        """Return the thumbprint of the client certificate; this calls the user's callable, which may block."""
        return None if self.transport is not None else self.identity.thumbprint

    async def _ask(self, url: str, seconds: float) -> Reply:
        request = httpx.Request("GET", url, headers={"Accept": "application/json"})
        return await exchange(self.transports, request, seconds=seconds)

    async def run(self, parse: Callable[[bytes], Provider], thumbprint: str | None) -> Provider:
        """Return the provider that `parse` makes of the document; a document that it refuses is not cached."""
        urls = metadata_urls(self.issuer, allow_http_on_loopback=self.allow_http_on_loopback)
        key = self.issuer, authority_parts(self.ca), thumbprint
        with _lock:
            cached = _cache.get(key) if self.transport is None else None
        if cached is not None and self.clock() < cached.expires_at:
            return parse(cached.body)
        problem: SeicError | None = None
        for url in urls:
            reply = await in_two_attempts(partial(self._ask, url), _TIMEOUT)
            if reply.status == httpx.codes.OK:
                try:
                    provider = parse(reply.body)
                except InvalidTokenResponse as error:
                    if not _is_page(reply.body):
                        raise
                    problem = problem or error.fresh()
                    continue
                if self.transport is None:
                    with _lock:
                        _cache[key] = _CacheEntry(reply.body, self.clock() + self.max_age)
                return provider
            if httpx.codes.is_redirect(reply.status):
                why = "; redirects are not followed, because metadata decides where secrets are sent"
                problem = problem or _unavailable(url, reply, why)
            elif reply.status in _TEMPORARY or not httpx.codes.is_client_error(reply.status):
                raise _unavailable(url, reply, "; try again later")
        if problem is not None:
            raise problem
        raise ConfigurationError(
            f"issuer: {self.issuer} has no metadata at {' or '.join(urls)}; check its spelling, or set the endpoints "
            "with seic.Provider(token_url=...)",
            field="issuer",
        )


def _is_page(body: bytes) -> bool:
    """Whether a reply is an HTML page, which many sites return for unknown addresses."""
    return body.lstrip().startswith(b"<")


def _unavailable(url: str, reply: Reply, advice: str) -> TokenEndpointUnavailable:
    return TokenEndpointUnavailable(
        f"{httpx.URL(url).host}: answered {reply.status} when asked for its metadata{advice}", status=reply.status
    )


async def discover(
    issuer: str,
    *,
    base: Provider | None = None,
    client_authentication: ClientAuthentication | None = None,
    **options: Unpack[DiscoveryOptions],
) -> Provider:
    """Fetch an issuer's metadata (RFC 8414, OpenID Connect Discovery) and return the provider that it describes.

    The document is cached for an hour. It is accepted only if it names exactly this issuer, and if its endpoints are
    public https URLs. Metadata has no hosts for API requests: set `Config(hosts=...)`.

    Args:
        issuer: The issuer's https URL, exactly as the provider writes it, with or without a slash at the end.
        base: A provider whose other settings are kept, such as `tracking_header`.
        client_authentication: The client authentication; None chooses one that the provider offers.
        options: `ca`, `certificate`, `proxy`, `local_address` and `trust_env`, as in `Config`; `max_age`, seconds for
            which the document is cached; `allow_http_on_loopback`, for tests on this machine; `transport`, in place of
            the network, for tests: nothing is cached then.

    Raises:
        ConfigurationError: The issuer is not an https URL, has no metadata, or does not offer the client
            authentication; or an option is malformed, and `field` is its name.
        CertificateError: The client certificate or the CA cannot be used, or the server refuses the certificate.
        InvalidTokenResponse: The document is malformed; `problem` names the member.
        TokenEndpointUnavailable: There was no reply.
    """
    discovery, parse = _discovery(issuer, base, client_authentication, **options)
    return await without_frames(discovery.run(parse, await run_in_thread(discovery.thumbprint)))


def discover_sync(
    issuer: str,
    *,
    base: Provider | None = None,
    client_authentication: ClientAuthentication | None = None,
    **options: Unpack[DiscoveryOptions],
) -> Provider:
    """Fetch an issuer's metadata, blocking; see `discover`."""
    discovery, parse = _discovery(issuer, base, client_authentication, **options)
    thumbprint = discovery.thumbprint()
    return run(lambda: without_frames(discovery.run(parse, thumbprint)))


async def with_metadata(config: Config, *, transport: _Transport | None = None) -> Config:
    """Return a configuration whose provider has the endpoints of its issuer's metadata.

    Args:
        config: A configuration whose provider has an issuer and no token endpoint.
        transport: The transport in place of the network, for tests.

    Raises:
        SeicError: As for `discover`, and as for `Config`: the provider does not offer the grant, or the client
            authentication needs another setting.
    """
    discovery, parse = _discovery(
        config.token_url,
        config.provider,
        None,
        certificate=config.certificate,
        ca=config.ca,
        proxy=config.proxy,
        local_address=config.local_address,
        trust_env=config.trust_env,
        transport=transport,
        allow_http_on_loopback=config.origin.scheme == "http",
        setting_names=setting_names_of(config),
    )
    try:
        provider = await without_frames(discovery.run(parse, await run_in_thread(discovery.thumbprint)))
    except InvalidTokenResponse as error:
        failure = error.fresh()
        failure.message = setting_names_of(config).in_advice(error.message)
        failure.args = (failure.message,)
    else:
        return attrs.evolve(config, provider=provider)
    raise failure


def _discovery(
    issuer: str,
    base: Provider | None,
    client_authentication: ClientAuthentication | None,
    *,
    ca: CaSource | None = None,
    certificate: CertificateSource | None = None,
    proxy: ProxyLike | None = None,
    local_address: str | None = None,
    trust_env: bool = True,
    transport: _Transport | None = None,
    allow_http_on_loopback: bool = False,
    max_age: float = _MAX_AGE,
    clock: Callable[[], float] = SYSTEM_CLOCK.monotonic,
    setting_names: SettingNames | None = None,
) -> tuple[_Discovery, Callable[[bytes], Provider]]:
    check_source(certificate)
    discovery = _Discovery(
        issuer=issuer,
        ca=ca,
        identity=shared_identity(certificate, ca=ca),
        network=Network.of(
            proxy=proxy,
            local_address=local_address,
            trust_env=trust_env,
            setting_names=None if setting_names is None else setting_names.arguments,
        ),
        transport=transport,
        allow_http_on_loopback=allow_http_on_loopback,
        max_age=max_age,
        clock=clock,
    )

    def parse(body: bytes) -> Provider:
        return parse_metadata(
            body,
            issuer=issuer,
            base=base,
            client_authentication=client_authentication,
            allow_http_on_loopback=allow_http_on_loopback,
        )

    return discovery, parse


publish("seic", ["discover", "discover_sync"], globals())

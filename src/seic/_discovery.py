"""Discovery: fetches, validates and caches an issuer's metadata, which `_oauth.metadata` parses."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeAlias, Unpack

import attrs
import httpx

from seic._concurrency import ForkSafeLock, run_in_thread
from seic._errors import ConfigurationError, InvalidTokenResponse, SeicError, TokenEndpointUnavailable
from seic._identity import Identity, shared_identity
from seic._model.provider import ClientAuthentication, Provider
from seic._network.proxies import Network, ProxyLike
from seic._network.transport_factory import TransportFactory
from seic._oauth.metadata import metadata_urls, parse_metadata
from seic._oauth.reply import Reply
from seic._options import DiscoveryOptions
from seic._portal import run
from seic._tls.context import CertificateSource, check_source
from seic._tls.credential_files import Material
from seic._tokens.exchange import exchange, without_frames

#: Seconds for which metadata is cached: endpoints change rarely, and are announced.
_MAX_AGE = 3600.0
_TIMEOUT = 10.0
#: Client errors that do not mean that there is no metadata.
_NOT_NOW = frozenset({httpx.codes.REQUEST_TIMEOUT, httpx.codes.TOO_MANY_REQUESTS})

_Transport: TypeAlias = httpx.AsyncBaseTransport | httpx.BaseTransport


@attrs.frozen
class _Known:
    body: bytes
    until: float


#: By issuer, trust and client certificate.
_known: dict[tuple[str, Material | None, str | None], _Known] = {}
_lock = ForkSafeLock()


@attrs.frozen(kw_only=True)
class _Question:
    """The issuer, and the settings of the connection."""

    issuer: str
    ca: Material | None
    identity: Identity
    network: Network
    transport: _Transport | None
    allow_http_on_loopback: bool
    max_age: float
    clock: Callable[[], float]

    @property
    def transports(self) -> TransportFactory:
        """Returns a transport for each request."""
        return TransportFactory(
            self.issuer, identity=self.identity, network=self.network, transport=self.transport, field="issuer"
        )

    def asker(self) -> str | None:
        """Return the thumbprint of the client certificate; this calls a callback, so it can block."""
        return None if self.transport is not None else self.identity.thumbprint

    async def ask(self, read: Callable[[bytes], Provider], asker: str | None) -> Provider:
        """Return the result of `read` for the document; a document that it refuses is not cached."""
        urls = metadata_urls(self.issuer, allow_http_on_loopback=self.allow_http_on_loopback)
        key = self.issuer, self.ca, asker
        with _lock:
            known = _known.get(key) if self.transport is None else None
        if known is not None and self.clock() < known.until:
            return read(known.body)
        problem: SeicError | None = None
        for url in urls:
            request = httpx.Request("GET", url, headers={"Accept": "application/json"})
            reply = await exchange(self.transports, request, seconds=_TIMEOUT)
            if reply.status == httpx.codes.OK:
                try:
                    provider = read(reply.body)
                except InvalidTokenResponse as error:
                    if not _is_page(reply.body):
                        raise
                    problem = problem or error.fresh()
                    continue
                if self.transport is None:
                    with _lock:
                        _known[key] = _Known(reply.body, self.clock() + self.max_age)
                return provider
            if httpx.codes.is_redirect(reply.status):
                why = "; redirects are not followed, since metadata decides where secrets are sent"
                problem = problem or _unavailable(url, reply, why)
            elif reply.status in _NOT_NOW or not httpx.codes.is_client_error(reply.status):
                raise _unavailable(url, reply, "; try again later")
        if problem is not None:
            raise problem
        raise ConfigurationError(
            f"issuer: {self.issuer} has no metadata at {' or '.join(urls)}; check its spelling, or set the "
            "endpoints: seic.Provider(token_url=...)",
            field="issuer",
        )


def _is_page(body: bytes) -> bool:
    """Return whether a response is for browsers: many sites return one, or redirect to one, for unknown addresses."""
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
    """Request an issuer's metadata (RFC 8414, OpenID Connect Discovery), and return the provider that it describes.

    The metadata is cached for an hour. It must name exactly this issuer, and its endpoints must be valid https URLs. It
    has no hosts for API calls: set `Config(hosts=...)`.

    Args:
        issuer: The issuer's https URL, exactly as the provider writes it, including a trailing slash.
        base: A provider with further settings to keep, such as `tracking_header`.
        client_authentication: The client authentication; None selects one that the provider offers.
        options: `ca`, `certificate`, `proxy`, `local_address` and `trust_env`, as in `Config`; `max_age`, the
            seconds for
            which metadata is cached; `allow_http_on_loopback`, for tests on this machine; `transport`, instead
            of the
            network, for tests, without caching.

    Raises:
        ConfigurationError: The issuer is not an https URL or has no metadata, or does not support the client
            authentication; or an option is malformed, and `field` names it.
        CertificateError: The client certificate or the authorities cannot be used, or the server refuses the
            certificate.
        InvalidTokenResponse: The metadata cannot be used; `problem` names the member.
        TokenEndpointUnavailable: There was no response.
    """
    question, read = _question(issuer, base, client_authentication, **options)
    return await without_frames(question.ask(read, await run_in_thread(question.asker)))


def discover_sync(
    issuer: str,
    *,
    base: Provider | None = None,
    client_authentication: ClientAuthentication | None = None,
    **options: Unpack[DiscoveryOptions],
) -> Provider:
    """Request an issuer's metadata; the blocking twin of `discover`."""
    question, read = _question(issuer, base, client_authentication, **options)
    asker = question.asker()
    return run(lambda: without_frames(question.ask(read, asker)))


def _question(
    issuer: str,
    base: Provider | None,
    client_authentication: ClientAuthentication | None,
    *,
    ca: Material | None = None,
    certificate: CertificateSource | None = None,
    proxy: ProxyLike | None = None,
    local_address: str | None = None,
    trust_env: bool = True,
    transport: _Transport | None = None,
    allow_http_on_loopback: bool = False,
    max_age: float = _MAX_AGE,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[_Question, Callable[[bytes], Provider]]:
    check_source(certificate)
    question = _Question(
        issuer=issuer,
        ca=ca,
        identity=shared_identity(certificate, ca=ca),
        network=Network.of(proxy=proxy, local_address=local_address, trust_env=trust_env),
        transport=transport,
        allow_http_on_loopback=allow_http_on_loopback,
        max_age=max_age,
        clock=clock,
    )

    def read(body: bytes) -> Provider:
        return parse_metadata(
            body,
            issuer=issuer,
            base=base,
            client_authentication=client_authentication,
            allow_http_on_loopback=allow_http_on_loopback,
        )

    return question, read

"""Discovery: an issuer's metadata is fetched, checked and remembered; what it may say stands in `_oauth.metadata`."""

from __future__ import annotations

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
from seic._tokens.clock import SYSTEM_CLOCK
from seic._tokens.exchange import exchange, without_frames

#: Seconds for which metadata is remembered: endpoints move rarely, and with notice.
_MAX_AGE = 3600.0
_TIMEOUT = 10.0
#: Client errors that say nothing of what is there.
_NOT_NOW = frozenset({httpx.codes.REQUEST_TIMEOUT, httpx.codes.TOO_MANY_REQUESTS})

_Transport: TypeAlias = httpx.AsyncBaseTransport | httpx.BaseTransport


@attrs.frozen
class _Known:
    body: bytes
    until: float


#: By issuer and by who was trusted to speak for it.
_known: dict[tuple[str, Material | None, str | None], _Known] = {}
_lock = ForkSafeLock()


@attrs.frozen(kw_only=True)
class _Question:
    """One issuer, and how it is asked."""

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
        """What opens a transport for each call."""
        return TransportFactory(
            self.issuer, identity=self.identity, network=self.network, transport=self.transport, field="issuer"
        )

    def asker(self) -> str | None:
        """Return who asks, by the certificate's thumbprint; a callback is called for it, so this may block."""
        return None if self.transport is not None else self.identity.thumbprint

    async def ask(self, read: Callable[[bytes], Provider], asker: str | None) -> Provider:
        """Return what `read` makes of the document; what it refuses is not remembered."""
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
                why = "; redirects are not followed, for the metadata decides where secrets go"
                problem = problem or _unavailable(url, reply, why)
            elif reply.status in _NOT_NOW or not httpx.codes.is_client_error(reply.status):
                raise _unavailable(url, reply, "; try again later")
        if problem is not None:
            raise problem
        raise ConfigurationError(
            f"issuer: {self.issuer} has no metadata at {' or '.join(urls)}; check its spelling, or name the endpoints "
            "yourself: seic.Provider(token_url=...)",
            field="issuer",
        )


def _is_page(body: bytes) -> bool:
    """Tell whether an answer is for people: many sites show one, or redirect to one, at addresses they do not know."""
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
    """Ask an issuer for its metadata (RFC 8414, OpenID Connect Discovery) and return the provider that it describes.

    The answer is remembered for an hour. It is taken only where it names exactly this issuer, and where its endpoints
    are https URLs that can be meant. It has no hosts for API calls: those stay `Config(hosts=...)`.

    Args:
        issuer: The issuer's https URL, exactly as the provider writes it: a slash at the end counts.
        base: A provider whose other settings are kept, such as `tracking_header`.
        client_authentication: How the client proves itself; None takes one that the provider offers.
        options: `ca`, `certificate`, `proxy`, `local_address` and `trust_env`, as in `Config`; `max_age`, seconds for
            which the answer is remembered; `allow_http_on_loopback`, for tests on this machine; `transport`, in place
            of the network, for tests: nothing is remembered then.

    Raises:
        ConfigurationError: The issuer is no https URL or has no metadata, or does not take the client authentication;
            or an option is malformed, and `field` names it.
        CertificateError: The client certificate or the authorities cannot work, or the server refuses the certificate.
        InvalidTokenResponse: The answer cannot be used; `problem` names the member.
        TokenEndpointUnavailable: There was none.
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
    """Ask an issuer for its metadata, blocking; see `discover`."""
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
    clock: Callable[[], float] = SYSTEM_CLOCK.monotonic,
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

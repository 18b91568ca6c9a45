"""`OAuth2Auth`: the wiring of a configuration's tokens, and the methods for users; `_auth_flow` handles requests."""

from __future__ import annotations

import dataclasses
import re
import ssl
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import attrs
import httpx

from seic._auth_flow import AuthFlow
from seic._concurrency import ForkSafeLock, run_in_thread
from seic._config import Config, network_of, refresh_policy_of, setting_names_of
from seic._errors import ConfigurationError, HostNotAllowed
from seic._event_types import CertificateRotated, Event
from seic._httpx import AnyTransport
from seic._listeners import Listener, Listeners
from seic._model.provider import Provider
from seic._model.token import Token
from seic._model.token_info import TokenInfo
from seic._model.token_parameters import EXTENSION_NAMES, TokenParameters
from seic._model.token_source import TokenSource
from seic._public import publish
from seic._tls.certificate import ClientCertificate
from seic._tokens.cache import Stats
from seic._tokens.clock import SYSTEM_CLOCK, Clock
from seic._tokens.refresh_policy import CachedToken
from seic._transport import identity_of, rate_limit_of, require_config

if TYPE_CHECKING:
    from seic._tokens.source import CachingTokenSource

#: The most tokens of single requests that are kept, by scope, audience and resource; those used last.
_MAX_TOKENS = 64


class OAuth2Auth(AuthFlow):
    """An `httpx.Auth` that attaches a valid token, refreshes it, and retries a request once after a 401.

    One instance serves any number of clients, tasks, threads and event loops, and all of them share one token. It is
    an `httpx2.Auth` too, if httpx2 is installed.

    A custom client that follows redirects should have `transport=AsyncTransport(config)` (or `Transport`), which
    refuses other origins. With httpx's own transports, token and client id are still sent to the origin only, but the
    target of a redirect sees the client certificate that `verify=` presents. A transport without httpcore's `trace`
    extension sends the client id to that target before `HostNotAllowed` is raised. With DPoP, only these two
    transports sign each request of a redirect chain.

    Args:
        config: The configuration.
        transport: The transport of token requests in place of the network, for tests.
        on_event: A function or coroutine function that is called with each event; see `listen`.
        clock: The clocks for token lifetimes, for tests.
    """

    def __init__(
        self,
        config: Config,
        *,
        transport: AnyTransport | None = None,
        on_event: Listener | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        require_config(config)
        self._connect(config, Listeners(on_event), transport, clock)

    @classmethod
    def _of_parameters(
        cls, config: Config, listeners: Listeners, transport: AnyTransport | None, clock: Clock
    ) -> OAuth2Auth:
        """Return the auth of requests with a token of their own."""
        self = OAuth2Auth.__new__(OAuth2Auth)
        self._connect(config, listeners, transport, clock)
        return self

    def _connect(self, config: Config, listeners: Listeners, transport: AnyTransport | None, clock: Clock) -> None:
        # Here, since a program that only imports the class needs none of it.
        from seic._network.transport_factory import TransportFactory
        from seic._tokens.endpoint import TokenEndpoint
        from seic._tokens.single_use import shared_memory
        from seic._tokens.source import CachingTokenSource

        self._listeners, self._transport, self._clock = listeners, transport, clock
        self._lock = ForkSafeLock()
        self._others: OrderedDict[TokenParameters, OAuth2Auth] = OrderedDict()
        provider = config.provider
        identity = identity_of(config)
        transports = TransportFactory(
            config.token_url, identity=identity, network=network_of(config), transport=transport
        )
        endpoint = TokenEndpoint(
            provider=provider,
            url=config.token_url,
            client_id=config.client_id,
            client_secret=config.client_secret,
            grant=config.grant,
            transports=transports,
            timeout=config.token_timeout,
            clock=clock,
            emit=self._listeners.emit,
            certificate=partial(attrgetter("certificate"), identity),
            dpop=config.dpop,
            hint=identity.hint,
            replace_certificate=transports.replace_certificate if transport is None and config.certificate else None,
            setting_names=setting_names_of(config),
        )

        async def read_metadata() -> tuple[Provider, str]:
            from seic._discovery import with_metadata

            found = await with_metadata(config, transport=transport)
            transports.move_to(found.token_url)
            return found.provider, found.token_url

        if provider.token_url is None:
            endpoint.metadata = read_metadata
        if transport is None:
            identity.prepare()
        identity.add_listener(self._listeners)
        self._rate_limit = rate_limit_of(config, transport)
        if self._rate_limit is not None:
            self._rate_limit.add_listener(self._listeners)
        self._unfollow = self._listeners.add(self._follow_rotation, kind=CertificateRotated)
        source = CachingTokenSource(
            endpoint,
            policy=refresh_policy_of(config),
            idle_lifetime=provider.idle_lifetime,
            store=config.store,
            store_key=config.store_key,
            identity=partial(attrgetter("thumbprint"), identity),
            memory=shared_memory(config.store_key(None), store=config.store, transport=transport),
        )
        self._init_flow(config, source=source, identity=identity, emit=self._listeners.emit, clock=clock)
        self._name_sender = transports.name_sender

    def __repr__(self) -> str:
        kind = type(self)
        return f"<{kind.__module__}.{kind.__qualname__} {self.describe()}>"

    def describe(self) -> str:
        """Return host, state of the token and certificate in one line, without secrets; it never blocks."""
        through = network_of(self.config).describe(self.config.origin, errors=False)
        parts = (f"{self.config.base_url} token={self._describe_token()}", self._describe_certificate(), through)
        return "; ".join(filter(None, parts))

    def _describe_token(self) -> str:
        if (token := self.current) is None:
            return "none"
        cached, now, wall = self._cache.token, self._monotonic(), self._wall()
        is_due = now >= cached.renew_at or now >= cached.idle_at or wall >= cached.wall_until
        state, ends_at = "due for refresh" if is_due else "fresh", token.expires_at
        return state if ends_at is None else f"{state}, expires in {_span(ends_at.timestamp() - wall)}"

    def _describe_certificate(self) -> str:
        if not self._identity.is_ready:
            return "certificate not loaded yet"
        if (certificate := self._identity.certificate) is None:
            return "no certificate"
        return f"certificate {certificate.leaf.name}, {certificate.days_left():.0f} days left"

    @property
    def certificate(self) -> ClientCertificate | None:
        """The current client certificate; the first access calls a certificate callback."""
        return self._identity.certificate

    @property
    def source(self) -> TokenSource:
        """This object as a `TokenSource`, for code that needs tokens and sends requests by other means."""
        return self

    @property
    def current(self) -> Token | None:
        """The token if it is still valid, else None; access sends nothing and does not count as use."""
        return self._source.current

    async def token(self, *, force: bool = False) -> Token:
        """Return a valid token, and request one if necessary.

        Args:
            force: Request a new token even if the current one is valid.

        Raises:
            TokenError: No token could be obtained.
            CertificateError: The client certificate cannot be used.
        """
        await self._identity.ready()
        return await self._source.token(force=force)

    def token_sync(self, *, force: bool = False) -> Token:
        """Return a valid token; the blocking twin of `token`."""
        return self._source.token_sync(force=force)

    async def headers(self, url: str) -> dict[str, str]:
        """Return the headers for a request that another library sends: `Authorization`, and the provider's key header.

        After a 401, call `token(force=True)` and this again. Handing a token out does not count as its use.

        Args:
            url: The URL of the request; `wss` and `ws` count as `https` and `http`.

        Raises:
            HostNotAllowed: The URL is not in the origin of the configuration.
            ConfigurationError: Tokens are bound to a key (`dpop`), and each request needs a proof of its own.
            TokenError: No token could be obtained.
            CertificateError: The client certificate cannot be used.
        """
        self._check_url(url)
        await self._identity.ready()
        return self._headers_of(await self._source.get())

    def headers_sync(self, url: str) -> dict[str, str]:
        """Return the headers for a request that another library sends; the blocking twin of `headers`."""
        self._check_url(url)
        return self._headers_of(self._source.get_sync())

    def ssl_context(self) -> ssl.SSLContext:
        """Return a new TLS context with the certificate and the trust in use, for another library.

        The context keeps them: after the event `CertificateRotated` or `TrustStoreReloaded`, get another one. The first
        call reads the files, unless a request did.

        Raises:
            CertificateError: The client certificate or the authorities cannot be used.
        """
        from seic._tls.context import build_context

        credential = self._identity.current()
        return build_context(credential.certificate, credential.trust)

    def _check_url(self, url: str) -> None:
        if self.config.dpop is not None:
            raise ConfigurationError(
                "dpop: each request needs a proof of its own, so there are no headers for another library; send the "
                "request with a client of seic",
                field="dpop",
            )
        try:
            parsed = httpx.URL(url)
        except (httpx.InvalidURL, TypeError) as error:
            raise HostNotAllowed(
                f"the URL is malformed; pass a full URL below {self.config.origin}", host=""
            ) from error
        # Another library sends it: in `https://evil.example\\@api.example` it may find another host than httpx does.
        if not re.match(r"[A-Za-z]+://[A-Za-z0-9.:\[\]_-]*(?:[/?#]|$)", str(url)) and parsed.host:
            raise HostNotAllowed(
                "the URL must have a host and a port only before its path, without a user name or characters that "
                f"libraries read differently; pass a full URL below {self.config.origin}",
                host="",
            )
        if parsed.scheme in ("ws", "wss"):
            parsed = parsed.copy_with(scheme=f"http{parsed.scheme[2:]}")
        self._guard.check(parsed)

    def _headers_of(self, cached: CachedToken) -> dict[str, str]:
        headers: dict[str, str] = {"Authorization": cached.authorization}
        if self._id_header is not None:
            headers[self._id_header] = self._client_id
        return headers

    async def token_info(self) -> TokenInfo:
        """Ask the provider to describe the token; request a token first if necessary.

        Raises:
            ConfigurationError: The provider has no endpoint that describes tokens.
            TokenError: No token could be obtained, or the provider did not describe it.
        """
        await self._identity.ready()
        return await self._source.token_info()

    def token_info_sync(self) -> TokenInfo:
        """Ask the provider to describe the token; the blocking twin of `token_info`."""
        return self._source.token_info_sync()

    async def revoke(self) -> None:
        """Revoke the token at the provider, and those of requests with their own; the next request obtains a new one.

        Raises:
            TokenError: The provider did not revoke it; the token is dropped here nevertheless.
            ConfigurationError: The provider has no revocation endpoint.
        """
        await self._identity.ready()
        for source in self._sources():
            await source.revoke()

    def revoke_sync(self) -> None:
        """Revoke the token at the provider; the blocking twin of `revoke`."""
        for source in self._sources():
            source.revoke_sync()

    async def reload_certificate(self) -> bool:
        """Read the certificate's files again now, without waiting for the next check.

        Returns:
            Whether the certificate is a new one.

        Raises:
            CertificateError: The new certificate cannot be used; the previous one stays in use.
            ConfigurationError: There is no certificate, or it was given as bytes.
        """
        return await run_in_thread(self._identity.reload)

    def reload_certificate_sync(self) -> bool:
        """Read the certificate's files again now; the blocking twin of `reload_certificate`."""
        return self._identity.reload()

    @property
    def stats(self) -> Stats:
        """A snapshot of the counters; tokens of single requests count too, while they are kept."""
        if not self._others:
            return self._cache.stats
        kept = [dataclasses.asdict(source.cache.stats) for source in self._sources()]
        return Stats(**{name: sum(one[name] for one in kept) for name in kept[0]})

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call a listener for each event; `seic.events` has their classes.

        A function is called in the thread and task of the event, so it should return at once. A coroutine function runs
        as a task of the event loop of the event, and closing waits for it, for 5 seconds at most; in a thread without
        an event loop it is run to its end. The first exception of a listener is logged; none affects a request.

        Args:
            listener: A function or coroutine function with one parameter, the event.

        Returns:
            A function that removes the listener.
        """
        return self._listeners.add(listener)

    async def aclose(self) -> None:
        """Stop background work, and wait for running listeners; later requests start it again."""
        for source in self._sources():
            await source.aclose()
        await self._listeners.drain()

    def close(self) -> None:
        """Stop background work; the blocking twin of `aclose`."""
        for source in self._sources():
            source.close()
        self._listeners.drain_sync()

    def _auth_for(self, request: Any) -> OAuth2Auth:
        parameters = TokenParameters.of(request.extensions)
        if not any(parameters):
            return self
        with self._lock:
            if (found := self._others.get(parameters)) is not None:
                self._others.move_to_end(parameters)
                return found
        with EXTENSION_NAMES.rename_errors():
            config = attrs.evolve(self.config, grant=parameters.apply(self.config.grant))
        other = self._of_parameters(config, self._listeners, self._transport, self._clock)
        with self._lock:
            found = self._others.setdefault(parameters, other)
            dropped = [other] if found is not other else []
            while len(self._others) > _MAX_TOKENS:
                dropped.append(self._others.popitem(last=False)[1])
        for each in dropped:
            each._unfollow()  # noqa: SLF001 - of this class
        return found

    def _sources(self) -> list[CachingTokenSource]:
        return [each._source for each in (*self._others.values(), self)]  # noqa: SLF001 - of this class

    def _follow_rotation(self, _event: Event) -> None:
        # The token was bound to the old certificate (RFC 8705 §3).
        self._cache.expire_soon()


def _span(seconds: float) -> str:
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


publish("seic", ["OAuth2Auth"], globals())

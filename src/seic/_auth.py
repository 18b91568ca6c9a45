"""`OAuth2Auth`: attach the token, refuse other origins, retry once after a 401.

It requests no token itself. No lock is held across a `yield`, since httpx may close the generator from another task.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any, Literal

import attrs
import httpx

from seic._api.body_prefix import discard, discard_sync, read_prefix, read_prefix_sync
from seic._api.dpop_signer import DPoPSigner
from seic._api.replay import NOT_REPLAYED, ReplayableBody
from seic._concurrency import run_in_thread
from seic._config import Config, network_of, refresh_policy_of
from seic._events import CertificateRotated, Event, RequestNotRetried, RequestRetried
from seic._listeners import Listener, Listeners
from seic._model.token import Token
from seic._model.token_info import TokenInfo
from seic._model.token_source import TokenSource
from seic._network.transport_factory import TransportFactory
from seic._oauth.challenges import is_token_rejected
from seic._oauth.redact import credentials_of, find_tracking_id
from seic._tls.certificate import ClientCertificate
from seic._tokens.cache import Stats
from seic._tokens.clock import SYSTEM_CLOCK, Clock
from seic._tokens.endpoint import TokenEndpoint
from seic._tokens.refresh_policy import CachedToken
from seic._tokens.single_use import shared_memory
from seic._tokens.source import CachingTokenSource
from seic._transport import AsyncTrace, BlockingTrace, HopTrace, guard_of, identity_of, require_config

#: Request streams in memory: they can always be sent again, so no position is saved.
_IN_MEMORY: set[type] = {httpx.ByteStream}

if TYPE_CHECKING:
    _Auth = httpx.Auth
else:
    try:
        import httpx2
    except ModuleNotFoundError:
        _Auth = httpx.Auth
    else:
        _IN_MEMORY.add(httpx2.ByteStream)

        class _Auth(httpx.Auth, httpx2.Auth):
            """A base class for both libraries: each checks only that its own `Auth` is among the base classes."""


_UNAUTHORIZED = 401
#: From this status on, a proxy may have answered that never saw the token, so it does not count as use.
_SERVER_ERROR = 500
_logger = logging.getLogger("seic.api")


@attrs.define(eq=False, repr=False)
class _Attached:
    """The headers of the last request, before and after the token was attached.

    Most requests have the same headers, and a copy is cheaper than to set each header again, which would be the largest
    part of the work for a request with a fresh token. It is never changed; a frozen class would take longer to create.
    """

    cached: CachedToken | None = None
    before: list[tuple[bytes, bytes]] | None = None
    after: Any = None


class OAuth2Auth(_Auth):
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
        transport: httpx.AsyncBaseTransport | httpx.BaseTransport | None = None,
        on_event: Listener | None = None,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        require_config(config)
        provider = config.provider
        self.config = config
        identity = self._identity = identity_of(config)
        self._listeners = Listeners(on_event)
        self._emit = self._listeners.emit
        transports = self._transports = TransportFactory(
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
            emit=self._emit,
            certificate=lambda: identity.certificate,
            dpop=config.dpop,
            hint=identity.hint,
        )
        identity.add_listener(self._listeners)
        self._listeners.add(self._follow_rotation)
        self._source = CachingTokenSource(
            endpoint,
            policy=refresh_policy_of(config),
            idle_lifetime=provider.idle_lifetime,
            store=config.store,
            store_key=config.store_key,
            identity=lambda: identity.thumbprint,
            memory=shared_memory(config.store_key(None), store=config.store, transport=transport),
        )
        self._cache = self._source.cache
        self._monotonic = clock.monotonic
        self._wall = clock.wall
        self._guard = guard_of(config.origin)
        self._async_trace, self._blocking_trace = AsyncTrace(self._guard), BlockingTrace(self._guard)
        self._id_header = provider.client_id_header
        self._client_id = config.client_id
        self._attached = _Attached()
        if config.dpop is not None:
            self._sign_requests(DPoPSigner(config.dpop, clock.wall))

    def __repr__(self) -> str:
        kind = type(self)
        return f"<{kind.__module__}.{kind.__qualname__} {self.describe()}>"

    def describe(self) -> str:
        """Return host, state of the token and certificate in one line, without secrets; it never blocks."""
        return f"{self.config.base_url} token={self._describe_token()}; {self._describe_certificate()}"

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
        """Revoke the token at the provider; the next request obtains a new one.

        Raises:
            TokenError: The provider did not revoke it; the token is dropped here nevertheless.
            ConfigurationError: The provider has no revocation endpoint.
        """
        await self._identity.ready()
        await self._source.revoke()

    def revoke_sync(self) -> None:
        """Revoke the token at the provider; the blocking twin of `revoke`."""
        self._source.revoke_sync()

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
        """A snapshot of the counters."""
        return self._cache.stats

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

    async def async_auth_flow(self, request: Any) -> AsyncGenerator[Any, Any]:
        """Send one request of an async client; httpx calls this."""
        self._guard.check(request.url)
        cached = self._cache.token
        now, wall = self._monotonic(), self._wall()
        if now >= cached.renew_at or now >= cached.idle_at or wall >= cached.wall_until:
            cached = await self._get(request.headers)
        self._attach(request, cached, self._async_trace)
        body = None
        if request.stream.__class__ not in _IN_MEMORY:
            body = ReplayableBody(request.stream)
            await body.save_position()
        response = yield request
        self._check_hops(request, response)
        if response.status_code != _UNAUTHORIZED:
            if response.status_code < _SERVER_ERROR:
                cached.mark_used(now, wall)
            if _logger.isEnabledFor(logging.INFO):
                self._log(response)
            return
        prefix = await read_prefix(response)
        if not self._should_replay(response, prefix, cached, body):
            return
        cached = await self._source.get()
        if body is not None:
            await body.rewind()
        if (replay := self._replay(response, cached, body, self._async_trace)) is None:
            return
        if prefix is None:
            await discard(response)
        now, wall = self._monotonic(), self._wall()
        response = yield replay
        self._check_hops(replay, response)
        self._after_replay(response, cached, now, wall)

    async def _get(self, headers: Mapping[str, str]) -> CachedToken:
        self.name_sender(headers)
        # The store key of the token includes the certificate.
        await self._identity.ready()
        return await self._source.get()

    def sync_auth_flow(self, request: Any) -> Generator[Any, Any, None]:
        """Send one request of a blocking client; httpx calls this."""
        self._guard.check(request.url)
        cached = self._cache.token
        now, wall = self._monotonic(), self._wall()
        if now >= cached.renew_at or now >= cached.idle_at or wall >= cached.wall_until:
            self.name_sender(request.headers)
            cached = self._source.get_sync()
        self._attach(request, cached, self._blocking_trace)
        body = None
        if request.stream.__class__ not in _IN_MEMORY:
            body = ReplayableBody(request.stream)
            body.save_position_sync()
        response = yield request
        self._check_hops(request, response)
        if response.status_code != _UNAUTHORIZED:
            if response.status_code < _SERVER_ERROR:
                cached.mark_used(now, wall)
            if _logger.isEnabledFor(logging.INFO):
                self._log(response)
            return
        prefix = read_prefix_sync(response)
        if not self._should_replay(response, prefix, cached, body):
            return
        cached = self._source.get_sync()
        if body is not None:
            body.rewind_sync()
        if (replay := self._replay(response, cached, body, self._blocking_trace)) is None:
            return
        if prefix is None:
            discard_sync(response)
        now, wall = self._monotonic(), self._wall()
        response = yield replay
        self._check_hops(replay, response)
        self._after_replay(response, cached, now, wall)

    def name_sender(self, headers: Mapping[str, str]) -> None:
        """Send the `User-Agent` of these headers with token requests too; the clients of seic call this."""
        self._transports.name_sender(headers)

    async def aclose(self) -> None:
        """Stop background work, and wait for running listeners; later requests start it again."""
        await self._source.aclose()
        await self._listeners.drain()

    def close(self) -> None:
        """Stop background work; the blocking twin of `aclose`."""
        self._source.close()
        self._listeners.drain_sync()

    def _sign_requests(self, signer: DPoPSigner) -> None:
        """Sign each request. Only this instance is changed, so that requests without DPoP cost nothing more."""
        attach, flow, blocking_flow = self._attach, self.async_auth_flow, self.sync_auth_flow

        def attach_and_sign(request: Any, cached: CachedToken, trace: HopTrace) -> None:
            attach(request, cached, trace)
            signer.prove(request)

        self._attach = attach_and_sign  # type: ignore[method-assign]

        def sign_async(request: Any) -> AsyncGenerator[Any, Any]:
            return signer.drive(flow(request), request)

        def sign_sync(request: Any) -> Generator[Any, Any, None]:
            return signer.drive_sync(blocking_flow(request), request)

        self.async_auth_flow = sign_async  # type: ignore[method-assign]
        self.sync_auth_flow = sign_sync  # type: ignore[method-assign]

    def _follow_rotation(self, event: Event) -> None:
        if isinstance(event, CertificateRotated):
            # The token is bound to the old certificate (RFC 8705 §3).
            self._cache.expire_soon()

    def _attach(self, request: Any, cached: CachedToken, trace: HopTrace) -> None:
        headers, last = request.headers, self._attached
        before = headers.raw
        is_repeated = before == last.before and cached is last.cached
        if is_repeated and type(headers) is type(last.after):
            request.headers = last.after.copy()
        else:
            headers["Authorization"] = cached.authorization
            if self._id_header is not None:
                headers[self._id_header] = self._client_id
            if _is_ascii(before):
                # It is valid UTF-8, so httpx need not detect the encoding for each request.
                headers.encoding = "utf-8"
                # Copied only if two requests were equal: the copy costs as much as it saves for one request.
                self._attached = _Attached(cached, before, headers.copy() if is_repeated else None)
        if self._id_header is not None:
            # httpx removes the token from a redirect to another origin, but not this header.
            if "trace" in request.extensions:
                trace.watch(request)
            else:
                request.extensions["trace"] = trace

    def _check_hops(self, request: Any, response: Any) -> None:
        """Refuse the response of another origin, for transports that ignored the trace."""
        if self._id_header is not None and response.request is not request:
            for hop in (*response.history, response):
                self._guard.check(hop.request.url)

    def _should_replay(
        self, response: Any, prefix: bytes | None, cached: CachedToken, body: ReplayableBody | None
    ) -> bool:
        """Return whether to retry after a 401 with a new token; if not, add the reason to the response."""
        self._log(response)
        if not self._guard.allows(response.request.url):
            return self._give_up_retry(response, "the request was redirected, and another origin answered")
        if not is_token_rejected(provider=self.config.provider, headers=response.headers, body=prefix or b""):
            return self._give_up_retry(response, "the response does not reject the token")
        if not self._cache.may_refresh_after_401(cached):
            return self._give_up_retry(
                response, "the API rejects new tokens as well as old ones; refreshes are suspended"
            )
        cached.invalidate()
        if body is not None and body.stream is response.request.stream and body.problem is not None:
            return self._give_up_retry(response, f"{body.problem}; the next request gets a new token")
        return True

    def _replay(self, response: Any, cached: CachedToken, body: ReplayableBody | None, trace: HopTrace) -> Any | None:
        """Return the request to send again; None if its body cannot be sent again."""
        # The last request of a redirect chain: those before it succeeded and must not be repeated.
        request = response.request
        if body is not None and body.stream is request.stream and body.problem is not None:
            self._give_up_retry(response, body.problem)
            return None
        self._attach(request, cached, trace)
        self._cache.count(replays=1)
        self._emit(RequestRetried(host=_host(response), tracking_id=self._tracking_id(response)))
        return request

    def _after_replay(self, response: Any, cached: CachedToken, now: float, wall: float) -> None:
        self._log(response)
        if response.status_code == _UNAUTHORIZED:
            self._give_up_retry(response, "it was retried with a new token, which was rejected too")
        elif response.status_code < _SERVER_ERROR:
            cached.mark_used(now, wall)

    def _give_up_retry(self, response: Any, reason: str) -> Literal[False]:
        response.extensions[NOT_REPLAYED] = reason
        self._emit(RequestNotRetried(host=_host(response), reason=reason, tracking_id=self._tracking_id(response)))
        return False

    def _tracking_id(self, response: Any) -> str | None:
        header = self.config.provider.tracking_header
        return find_tracking_id(response.headers, header, secrets=credentials_of(response))

    def _log(self, response: Any) -> None:
        hops = [response]
        for hop in reversed(response.history):
            if hop.status_code == _UNAUTHORIZED:  # this one and those before it are already in the log
                break
            hops.append(hop)
        for hop in reversed(hops):
            self._log_hop(hop)

    def _log_hop(self, response: Any) -> None:
        request = response.request
        # Without query and user: they may contain secrets.
        path = request.url.raw_path.partition(b"?")[0].decode("ascii")
        _logger.info(
            "%s %s://%s%s %s tracking_id=%s",
            request.method,
            request.url.scheme,
            _host(response),
            path,
            response.status_code,
            self._tracking_id(response),
        )


def _host(response: Any) -> str:
    host: str = response.request.url.netloc.decode("ascii")
    return host


def _span(seconds: float) -> str:
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _is_ascii(headers: list[tuple[bytes, bytes]]) -> bool:
    return b"".join(map(b"".join, headers)).isascii()

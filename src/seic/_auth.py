"""The auth flow: attach the token, guard the origin, replay one 401. It fetches nothing itself.

No lock is held across a `yield`: httpx may close the generator from another task.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Generator
from typing import TYPE_CHECKING, Any, Literal

import attrs
import httpx

from seic._api.body_prefix import discard, discard_sync, read_prefix, read_prefix_sync
from seic._api.dpop_signer import DPoPSigner
from seic._api.replay import NOT_REPLAYED, ReplayableBody
from seic._config import Config, network_of, refresh_policy_of
from seic._events import CertificateRotated, Event, RequestNotRetried, RequestRetried
from seic._listeners import Listener, Listeners
from seic._model.token import Token
from seic._model.token_info import TokenInfo
from seic._model.token_source import TokenSource
from seic._network.transport_factory import TransportFactory
from seic._oauth.challenges import is_token_rejected
from seic._oauth.redact import credentials_of, find_tracking_id
from seic._runtime import in_thread
from seic._tls.certificate import ClientCertificate
from seic._tokens.clock import SYSTEM_CLOCK, Clock
from seic._tokens.endpoint import TokenEndpoint
from seic._tokens.held import Held
from seic._tokens.sending import Sender
from seic._tokens.source import TokenSource as _TokenSource
from seic._tokens.stats import Stats
from seic._transport import AsyncTrace, BlockingTrace, HopTrace, guard_of, identity_of, require_config

#: The streams whose bytes are in memory: they can always be sent again, and nothing needs to be noted of them.
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
            """One base for both kinds of client: each asks only whether its own Auth is among the bases."""


_UNAUTHORIZED = 401
#: From here on an answer may come from something before the API that never saw the token: no use of it is noted.
_SERVER_ERROR = 500
_logger = logging.getLogger("seic.api")


@attrs.define(eq=False, repr=False)
class _Attached:
    """What attaching a token made of the headers of the last call: most calls bring the same, and a copy is cheap.

    Setting each header anew would cost more than all the rest that is done to a call whose token is fresh. It is never
    changed, and yet not frozen: to make one that is takes longer, and calls that are all different each make one.
    """

    held: Held | None = None
    before: list[tuple[bytes, bytes]] | None = None
    after: Any = None


class OAuth2Auth(_Auth):
    """Attaches a live token to each call of the configured origin, renews it, and replays a call once on a 401.

    One instance serves any number of clients, tasks, threads and event loops, and all of them share one token.

    A client of your own that follows redirects should have `transport=AsyncTransport(config)` (or `Transport`), which
    refuses to leave the origin. Without it, token and client id stay at home all the same where httpx's own transports
    send; but a server to which a redirect leads sees the client certificate, if `verify=` presents one, and a transport
    that does not know httpcore's `trace` extension sends the client id along, which comes to light only afterwards, as
    HostNotAllowed. With DPoP, it is that transport that proves each further hop; others repeat the first one's proof.

    Args:
        config: Who asks, where, and how.
        transport: What carries the token calls in place of the network, for tests.
        on_event: A function or coroutine function of one event; see `listen`.
        clock: The two clocks that lifetimes are counted by, for tests.
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
        transports = TransportFactory(
            config.token_url, identity=identity, network=network_of(config), transport=transport
        )
        endpoint = TokenEndpoint(
            provider=provider,
            url=config.token_url,
            client_id=config.client_id,
            client_secret=config.client_secret,
            grant=config.grant,
            sender=Sender(transports, tracking_header=provider.tracking_header),
            timeout=config.token_timeout,
            certificate=lambda: identity.certificate,
            dpop=config.dpop,
            hint=identity.hint,
        )
        identity.add_listener(self._listeners)
        self._listeners.add(self._follow_rotation)
        self._source = _TokenSource(
            endpoint,
            windows=refresh_policy_of(config),
            idle_lifetime=provider.idle_lifetime,
            store=config.store,
            key=config.store_key,
            identity=lambda: identity.thumbprint,
            emit=self._emit,
            clock=clock,
        )
        self._state = self._source.state
        self._monotonic = clock.monotonic
        self._wall = clock.wall
        self._guard = guard_of(config.origin)
        self._async_trace, self._blocking_trace = AsyncTrace(self._guard), BlockingTrace(self._guard)
        self._id_header = provider.client_id_header
        self._client_id = config.client_id
        self._attached = _Attached()
        if config.dpop is not None:
            self._prove_calls(DPoPSigner(config.dpop, clock.wall))

    def __repr__(self) -> str:
        kind = type(self)
        return f"<{kind.__module__}.{kind.__qualname__} {self.describe()}>"

    def describe(self) -> str:
        """Return host, state of the token and certificate in one line, without secrets; it blocks on nothing."""
        through = self.config.network.describe(self.config.origin, errors=False)
        parts = (f"{self.config.base_url} token={self._describe_token()}", self._describe_certificate(), through)
        return "; ".join(filter(None, parts))

    def _describe_token(self) -> str:
        if (token := self.current) is None:
            return "none"
        held, now, wall = self._state.held, self._monotonic(), self._wall()
        is_due = now >= held.renew_at or now >= held.idle_at or wall >= held.wall_until
        left = (
            "no known expiry"
            if token.expires_at is None
            else f"expires in {_span(token.expires_at.timestamp() - wall)}"
        )
        return f"{'due for refresh' if is_due else 'fresh'}, {left}"

    def _describe_certificate(self) -> str:
        if not self._identity.is_ready:
            return "certificate not loaded yet"
        if (certificate := self._identity.certificate) is None:
            return "no certificate"
        return f"certificate {certificate.leaf.name}, {certificate.days_left():.0f} days left"

    @property
    def certificate(self) -> ClientCertificate | None:
        """The client certificate in service; the first look at one from a callback calls it."""
        return self._identity.certificate

    @property
    def source(self) -> TokenSource:
        """This object as a `TokenSource`, for code that needs tokens and sends its requests by other means."""
        return self

    @property
    def current(self) -> Token | None:
        """The token if it is still valid, else None; reading it sends nothing and is no use of the token."""
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
        return await in_thread(self._identity.reload)

    def reload_certificate_sync(self) -> bool:
        """Read the certificate's files again now; the blocking twin of `reload_certificate`."""
        return self._identity.reload()

    @property
    def stats(self) -> Stats:
        """A snapshot of the counters."""
        return self._state.stats

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Tell a listener of each event of this token from now on; the events stand in `seic.events`.

        A function is called in place, where the event happens, so it should return at once. A coroutine function runs
        beside, in the event loop where the event happens, and closing waits for it, for 5 seconds at most; in a thread
        without one it is run to its end there. What a listener raises is logged once and never reaches a call.

        Args:
            listener: A function or coroutine function of one event.

        Returns:
            What ends it.
        """
        return self._listeners.add(listener)

    async def async_auth_flow(self, request: Any) -> AsyncGenerator[Any, Any]:
        """Drive one call of an async client; httpx calls this."""
        self._guard.check(request.url)
        held = self._state.held
        now, wall = self._monotonic(), self._wall()
        if now >= held.renew_at or now >= held.idle_at or wall >= held.wall_until:
            held = await self._obtain()
        self._attach(request, held, self._async_trace)
        body = None
        if request.stream.__class__ not in _IN_MEMORY:
            body = ReplayableBody(request.stream)
            await body.save_position()
        response = yield request
        self._check_hops(request, response)
        if response.status_code != _UNAUTHORIZED:
            if response.status_code < _SERVER_ERROR:
                held.used(now, wall)
            if _logger.isEnabledFor(logging.INFO):
                self._log(response)
            return
        said = await read_prefix(response)
        if not self._should_replay(response, said, held, body):
            return
        held = await self._source.obtain()
        if body is not None:
            await body.rewind()
        if (replay := self._replay(response, held, body, self._async_trace)) is None:
            return
        if said is None:
            await discard(response)
        now, wall = self._monotonic(), self._wall()
        response = yield replay
        self._check_hops(replay, response)
        self._after_replay(response, held, now, wall)

    async def _obtain(self) -> Held:
        # The token's key needs the certificate.
        await self._identity.ready()
        return await self._source.obtain()

    def sync_auth_flow(self, request: Any) -> Generator[Any, Any, None]:
        """Drive one call of a blocking client; httpx calls this."""
        self._guard.check(request.url)
        held = self._state.held
        now, wall = self._monotonic(), self._wall()
        if now >= held.renew_at or now >= held.idle_at or wall >= held.wall_until:
            held = self._source.obtain_sync()
        self._attach(request, held, self._blocking_trace)
        body = None
        if request.stream.__class__ not in _IN_MEMORY:
            body = ReplayableBody(request.stream)
            body.save_position_sync()
        response = yield request
        self._check_hops(request, response)
        if response.status_code != _UNAUTHORIZED:
            if response.status_code < _SERVER_ERROR:
                held.used(now, wall)
            if _logger.isEnabledFor(logging.INFO):
                self._log(response)
            return
        said = read_prefix_sync(response)
        if not self._should_replay(response, said, held, body):
            return
        held = self._source.obtain_sync()
        if body is not None:
            body.rewind_sync()
        if (replay := self._replay(response, held, body, self._blocking_trace)) is None:
            return
        if said is None:
            discard_sync(response)
        now, wall = self._monotonic(), self._wall()
        response = yield replay
        self._check_hops(replay, response)
        self._after_replay(response, held, now, wall)

    async def aclose(self) -> None:
        """End what runs in the background, and wait for listeners that have begun; later calls start it anew."""
        await self._source.aclose()
        await self._listeners.drain()

    def close(self) -> None:
        """End what runs in the background, blocking; see `aclose`."""
        self._source.close()
        self._listeners.drain_sync()

    def _prove_calls(self, signer: DPoPSigner) -> None:
        """Have each call carry a proof. Done to this instance, so that the way of calls without proofs is untouched."""
        attach, flow, blocking_flow = self._attach, self.async_auth_flow, self.sync_auth_flow

        def attach_and_prove(request: Any, held: Held, trace: HopTrace) -> None:
            attach(request, held, trace)
            signer.prove(request)

        self._attach = attach_and_prove  # type: ignore[method-assign]

        def prove_async(request: Any) -> AsyncGenerator[Any, Any]:
            return signer.drive(flow(request), request)

        def prove_blocking(request: Any) -> Generator[Any, Any, None]:
            return signer.drive_sync(blocking_flow(request), request)

        self.async_auth_flow = prove_async  # type: ignore[method-assign]
        self.sync_auth_flow = prove_blocking  # type: ignore[method-assign]

    def _follow_rotation(self, event: Event) -> None:
        if isinstance(event, CertificateRotated):
            # The token was bound to the old certificate (RFC 8705 §3).
            self._source.renew()

    def _attach(self, request: Any, held: Held, trace: HopTrace) -> None:
        headers, last = request.headers, self._attached
        before = headers.raw
        is_repeated = before == last.before and held is last.held
        if is_repeated and type(headers) is type(last.after):
            request.headers = last.after.copy()
        else:
            headers["Authorization"] = held.authorization
            if self._id_header is not None:
                headers[self._id_header] = self._client_id
            if _is_ascii(before):
                # It reads the same as UTF-8, and httpx need not find that out on each call.
                headers.encoding = "utf-8"
                # Kept for later calls only where two have been alike, since it costs as much as it then spares one.
                self._attached = _Attached(held, before, headers.copy() if is_repeated else None)
        if self._id_header is not None:
            # httpx takes the token off a redirect to another origin, but not this header.
            if "trace" in request.extensions:
                trace.watch(request)
            else:
                request.extensions["trace"] = trace

    def _check_hops(self, request: Any, response: Any) -> None:
        """Refuse the answer of a foreign origin, for transports that did not heed the trace."""
        if self._id_header is not None and response.request is not request:
            for hop in (*response.history, response):
                self._guard.check(hop.request.url)

    def _should_replay(self, response: Any, said: bytes | None, held: Held, body: ReplayableBody | None) -> bool:
        """Tell whether a 401 is worth a new token and a second call; where it is not, the response says why."""
        self._log(response)
        if not self._guard.allows(response.request.url):
            return self._hand_on(response, "the call was redirected, and another origin answered")
        if not is_token_rejected(provider=self.config.provider, headers=response.headers, body=said or b""):
            return self._hand_on(response, "the answer does not speak of the token")
        if not self._state.may_replace(held):
            return self._hand_on(response, "the API rejects new tokens as well as old ones; renewals pause")
        held.reject()
        if body is not None and body.stream is response.request.stream and body.problem is not None:
            return self._hand_on(response, f"{body.problem}; the next call gets a new token")
        return True

    def _replay(self, response: Any, held: Held, body: ReplayableBody | None, trace: HopTrace) -> Any | None:
        """Return the request to send again; None where its body turned out to be lost."""
        # The one that was answered: after a redirect, what came before it has been done and must not be done twice.
        request = response.request
        if body is not None and body.stream is request.stream and body.problem is not None:
            self._hand_on(response, body.problem)
            return None
        self._attach(request, held, trace)
        self._state.count(replays=1)
        self._emit(RequestRetried(host=_host(response), tracking_id=self._tracking_id(response)))
        return request

    def _after_replay(self, response: Any, held: Held, now: float, wall: float) -> None:
        self._log(response)
        if response.status_code == _UNAUTHORIZED:
            self._hand_on(response, "it was replayed with a new token, which was rejected too")
        elif response.status_code < _SERVER_ERROR:
            held.used(now, wall)

    def _hand_on(self, response: Any, reason: str) -> Literal[False]:
        response.extensions[NOT_REPLAYED] = reason
        self._emit(RequestNotRetried(host=_host(response), reason=reason, tracking_id=self._tracking_id(response)))
        return False

    def _tracking_id(self, response: Any) -> str | None:
        header = self.config.provider.tracking_header
        return find_tracking_id(response.headers, header, secrets=credentials_of(response))

    def _log(self, response: Any) -> None:
        hops = [response]
        for hop in reversed(response.history):
            if hop.status_code == _UNAUTHORIZED:  # that one and what came before it stand in the log already
                break
            hops.append(hop)
        for hop in reversed(hops):
            self._log_hop(hop)

    def _log_hop(self, response: Any) -> None:
        request = response.request
        # Without query and user: what callers put there is theirs.
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

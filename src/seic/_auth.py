"""The auth flow: attach the token, guard the origin, replay one 401. It fetches nothing itself.

No lock is held across a `yield`: httpx may close the generator from another task.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Generator
from typing import TYPE_CHECKING, Any

import attrs
import httpx

from seic._config import Config
from seic._events import CallNotReplayed, CallReplayed
from seic._listeners import Listener, Listeners
from seic._oauth.challenges import speaks_of_token
from seic._tls.certificate import ClientCertificate
from seic._tokens.endpoint import TokenEndpoint
from seic._tokens.held import Held
from seic._tokens.sending import Sender
from seic._tokens.source import TokenSource
from seic._tokens.stats import Stats
from seic._transport import AsyncTrace, BlockingTrace, HopTrace, OriginGuard, TokenConnector

if TYPE_CHECKING:
    _Auth = httpx.Auth
else:
    try:
        import httpx2
    except ModuleNotFoundError:
        _Auth = httpx.Auth
    else:

        class _Auth(httpx.Auth, httpx2.Auth):
            """One base for both kinds of client: each asks only whether its own Auth is among the bases."""


_UNAUTHORIZED = 401
_logger = logging.getLogger("seic.api")


@attrs.frozen(eq=False, repr=False)
class _Attached:
    """What attaching a token made of the headers of the last call: most calls bring the same, and a copy is cheap.

    Setting each header anew would cost more than all the rest that is done to a call whose token is fresh.
    """

    held: Held | None = None
    before: list[tuple[bytes, bytes]] | None = None
    after: Any = None


class OAuth2Auth(_Auth):
    """Attaches a live token to each call of the configured origin, renews it, and replays a call once on a 401.

    One instance serves any number of clients, tasks, threads and event loops, and all of them share one token.

    Args:
        config: Who asks, where, and how.
        transport: What carries the token calls in place of the network, for tests.
        on_event: A function or coroutine function of one event; see `listen`.
    """

    def __init__(
        self,
        config: Config,
        *,
        transport: httpx.AsyncBaseTransport | httpx.BaseTransport | None = None,
        on_event: Listener | None = None,
    ) -> None:
        provider = config.provider
        self.config = config
        self._listeners = Listeners(on_event)
        self._emit = self._listeners.emit
        endpoint = TokenEndpoint(
            provider=provider,
            url=config.token_url,
            client_id=config.client_id,
            client_secret=config.client_secret,
            grant=config.grant,
            sender=Sender(TokenConnector(config, transport)),
            timeout=config.token_timeout,
        )
        thumbprint = None if config.certificate is None else config.certificate.thumbprint
        #: Where tokens come from.
        self.source = TokenSource(
            endpoint,
            windows=config.windows,
            idle_lifetime=provider.idle_lifetime,
            store=config.store,
            key=config.store_key,
            identity=lambda: thumbprint,
            emit=self._emit,
        )
        self._state = self.source.state
        self._monotonic = self.source.clock.monotonic
        self._wall = self.source.clock.wall
        self._guard = OriginGuard(config.origin)
        self._async_trace, self._blocking_trace = AsyncTrace(self._guard), BlockingTrace(self._guard)
        self._id_header = provider.client_id_header
        self._client_id = config.client_id
        self._attached = _Attached()

    def __repr__(self) -> str:
        return f"OAuth2Auth({self.config.base_url}, client_id={self.config.client_id!r})"

    @property
    def certificate(self) -> ClientCertificate | None:
        """The client certificate in use."""
        return self.config.certificate

    @property
    def stats(self) -> Stats:
        """A snapshot of the counters."""
        return self._state.stats

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Tell a listener of each event of this token from now on; the events stand in `seic.events`.

        A function is called in place, where the event happens, so it should return at once. A coroutine function runs
        beside, in the event loop where the event happens; in a thread without one it is run to its end there. What a
        listener raises is logged once and never reaches a call.

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
            held = await self.source.obtain()
        self._attach(request, held, self._async_trace)
        response = yield request
        self._check_hops(request, response)
        if response.status_code != _UNAUTHORIZED:
            held.used(now, wall)
            if _logger.isEnabledFor(logging.INFO):
                self._log(response)
            return
        await response.aread()
        if not self._should_replay(request, response, held):
            return
        held = await self.source.obtain(rejected=held)
        self._attach(request, held, self._async_trace)
        self._state.count(replays=1)
        response = yield request
        self._check_hops(request, response)
        self._after_replay(response, held)

    def sync_auth_flow(self, request: Any) -> Generator[Any, Any, None]:
        """Drive one call of a blocking client; httpx calls this."""
        self._guard.check(request.url)
        held = self._state.held
        now, wall = self._monotonic(), self._wall()
        if now >= held.renew_at or now >= held.idle_at or wall >= held.wall_until:
            held = self.source.obtain_sync()
        self._attach(request, held, self._blocking_trace)
        response = yield request
        self._check_hops(request, response)
        if response.status_code != _UNAUTHORIZED:
            held.used(now, wall)
            if _logger.isEnabledFor(logging.INFO):
                self._log(response)
            return
        response.read()
        if not self._should_replay(request, response, held):
            return
        held = self.source.obtain_sync(rejected=held)
        self._attach(request, held, self._blocking_trace)
        self._state.count(replays=1)
        response = yield request
        self._check_hops(request, response)
        self._after_replay(response, held)

    async def aclose(self) -> None:
        """End what runs in the background; calls that come later start it anew."""
        await self.source.aclose()

    def close(self) -> None:
        """End what runs in the background, blocking; see `aclose`."""
        self.source.close()

    def _attach(self, request: Any, held: Held, trace: HopTrace) -> None:
        headers, last = request.headers, self._attached
        before = headers.raw
        if before == last.before and held is last.held and type(headers) is type(last.after):
            request.headers = last.after.copy()
        else:
            headers["Authorization"] = held.authorization
            if self._id_header is not None:
                headers[self._id_header] = self._client_id
            if _is_ascii(before):
                # It reads the same as UTF-8, and httpx need not find that out on each call.
                headers.encoding = "utf-8"
                self._attached = _Attached(held, before, headers.copy())
        if self._id_header is not None:
            # httpx takes the token off a redirect to another origin, but not this header.
            trace.watch(request)

    def _check_hops(self, request: Any, response: Any) -> None:
        """Refuse the answer of a foreign origin, for transports that did not heed the trace."""
        if self._id_header is not None and response.request is not request:
            for hop in (*response.history, response):
                self._guard.check(hop.request.url)

    def _should_replay(self, request: Any, response: Any, held: Held) -> bool:
        self._log(response)
        reason = None
        if not self._guard.allows(response.request.url):
            reason = "another origin answered, to which a redirect led"
        elif not speaks_of_token(provider=self.config.provider, headers=response.headers, body=response.content):
            reason = "the answer does not speak of the token"
        elif not _is_repeatable(request):
            reason = "the body was a stream and cannot be sent again"
        elif not self._state.may_replace(held):
            reason = "a new token was rejected just as the old one"
        if reason is not None:
            self._emit(
                CallNotReplayed(host=self._host(request), reason=reason, tracking_id=self._tracking_id(response))
            )
            return False
        self._emit(CallReplayed(host=self._host(request), tracking_id=self._tracking_id(response)))
        return True

    def _after_replay(self, response: Any, held: Held) -> None:
        if response.status_code != _UNAUTHORIZED:
            held.used(self._monotonic(), self._wall())
        self._log(response)

    def _tracking_id(self, response: Any) -> str | None:
        header = self.config.provider.tracking_header
        return None if header is None else response.headers.get(header)

    @staticmethod
    def _host(request: Any) -> str:
        host: str = request.url.netloc.decode("ascii")
        return host

    def _log(self, response: Any) -> None:
        request = response.request
        # Without query and user: what callers put there is theirs.
        path = request.url.raw_path.partition(b"?")[0].decode("ascii")
        _logger.info(
            "%s %s://%s%s %s tracking_id=%s",
            request.method,
            request.url.scheme,
            self._host(request),
            path,
            response.status_code,
            self._tracking_id(response),
        )


def _is_ascii(headers: list[tuple[bytes, bytes]]) -> bool:
    return b"".join(map(b"".join, headers)).isascii()


def _is_repeatable(request: Any) -> bool:
    try:
        request.content  # noqa: B018  # it raises where the body was never held in memory
    except RuntimeError:
        return False
    return True

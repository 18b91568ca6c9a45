"""`AuthFlow`: the part of an auth that httpx calls for each request.

It attaches the token, refuses other origins, and retries once after a 401. It requests no token itself. No lock is held
across a `yield`, since httpx may close the generator from another task.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any, Literal

import httpx

from seic._api.body_prefix import discard, discard_sync, read_prefix, read_prefix_sync
from seic._api.httpx_log import IN_REQUEST, LOGGER
from seic._api.replayable_body import NOT_REPLAYED, ReplayableBody
from seic._config import Config
from seic._event_types import Emit, RequestNotRetried, RequestRetried
from seic._httpx import REATTACH, REATTACHED, Auth, either
from seic._identity import Identity
from seic._model.token_parameters import USUAL_EXTENSIONS
from seic._oauth.redact import credentials_of, find_tracking_id
from seic._tokens.clock import Clock
from seic._tokens.refresh_policy import CachedToken
from seic._transport import AsyncTrace, BlockingTrace, HopTrace, guard_of

if TYPE_CHECKING:
    from seic._api.dpop_signer import DPoPSigner
    from seic._tokens.source import CachingTokenSource

_UNAUTHORIZED = 401
#: From this status on, a proxy may have answered that never saw the token, so it does not count as use.
_SERVER_ERROR = 500


class _Attached:
    """The headers of the last request, before and after the token was attached.

    Most requests have the same headers, and a copy is cheaper than to set each header again, which would be the largest
    part of the work for a request with a fresh token. It is never changed; a frozen class would take longer to create.
    """

    __slots__ = ("after", "before", "cached")

    def __init__(
        self, cached: CachedToken | None = None, before: list[tuple[bytes, bytes]] | None = None, after: Any = None
    ) -> None:
        self.cached, self.before, self.after = cached, before, after


class AuthFlow(Auth):
    """Attaches tokens to requests, and decides which request to retry."""

    #: Has token requests send the `User-Agent` of a request.
    _name_sender: Callable[[Mapping[str, str]], None]

    # Not a constructor: its private types would be part of the public interface of a subclass.
    def _init_flow(
        self, config: Config, *, source: CachingTokenSource, identity: Identity, emit: Emit, clock: Clock
    ) -> None:
        self.config: Config = config
        self._source = source
        self._identity = identity
        self._emit = emit
        self._cache = source.cache
        self._monotonic = clock.monotonic
        self._wall = clock.wall
        self._guard = guard_of(config.origin)
        self._async_trace, self._blocking_trace = AsyncTrace(self._guard), BlockingTrace(self._guard)
        self._id_header = config.provider.client_id_header
        self._client_id = config.client_id
        self._attached = _Attached()
        if config.dpop is not None:
            from seic._api.dpop_signer import DPoPSigner

            self._sign_requests(DPoPSigner(config.dpop, clock.wall))

    async def async_auth_flow(self, request: Any) -> AsyncGenerator[Any, Any]:
        """Send one request of an async client; httpx calls this."""
        self._guard.check(request.url)
        # All below is that of another auth, for a request with a token of its own.
        self = self if USUAL_EXTENSIONS.issuperset(request.extensions) else self._auth_for(request)  # noqa: PLW0642
        cached = self._cache.token
        now, wall = self._monotonic(), self._wall()
        if now >= cached.renew_at or now >= cached.idle_at or wall >= cached.wall_until:
            cached = await self._get(request.headers)
        self._attach(request, cached, self._async_trace)
        body = None
        stream = request.stream.__class__
        # One in memory can always be sent again.
        if stream is not httpx.ByteStream and stream not in either("ByteStream"):
            body = ReplayableBody(request.stream)
            await body.save_position()
        IN_REQUEST.set(True)
        try:
            response = yield request
        finally:
            IN_REQUEST.set(False)
        cached = request.extensions.pop(REATTACHED, cached)
        self._check_hops(request, response)
        if response.status_code != _UNAUTHORIZED:
            if response.status_code < _SERVER_ERROR:
                cached.mark_used(now, wall)
            if LOGGER.isEnabledFor(logging.INFO):
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
        IN_REQUEST.set(True)
        try:
            response = yield replay
        finally:
            IN_REQUEST.set(False)
        cached = replay.extensions.pop(REATTACHED, cached)
        self._check_hops(replay, response)
        self._after_replay(response, cached, now, wall)

    def _auth_for(self, request: Any) -> AuthFlow:
        """Return the auth of a request with a token of its own."""
        raise NotImplementedError

    async def _get(self, headers: Mapping[str, str]) -> CachedToken:
        self._name_sender(headers)
        # The store key of the token includes the certificate.
        await self._identity.ready()
        return await self._source.get()

    def sync_auth_flow(self, request: Any) -> Generator[Any, Any, None]:
        """Send one request of a blocking client; httpx calls this."""
        self._guard.check(request.url)
        self = self if USUAL_EXTENSIONS.issuperset(request.extensions) else self._auth_for(request)  # noqa: PLW0642
        cached = self._cache.token
        now, wall = self._monotonic(), self._wall()
        if now >= cached.renew_at or now >= cached.idle_at or wall >= cached.wall_until:
            self._name_sender(request.headers)
            cached = self._source.get_sync()
        self._attach(request, cached, self._blocking_trace)
        body = None
        stream = request.stream.__class__
        # One in memory can always be sent again.
        if stream is not httpx.ByteStream and stream not in either("ByteStream"):
            body = ReplayableBody(request.stream)
            body.save_position_sync()
        IN_REQUEST.set(True)
        try:
            response = yield request
        finally:
            IN_REQUEST.set(False)
        cached = request.extensions.pop(REATTACHED, cached)
        self._check_hops(request, response)
        if response.status_code != _UNAUTHORIZED:
            if response.status_code < _SERVER_ERROR:
                cached.mark_used(now, wall)
            if LOGGER.isEnabledFor(logging.INFO):
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
        IN_REQUEST.set(True)
        try:
            response = yield replay
        finally:
            IN_REQUEST.set(False)
        cached = replay.extensions.pop(REATTACHED, cached)
        self._check_hops(replay, response)
        self._after_replay(response, cached, now, wall)

    def _sign_requests(self, signer: DPoPSigner) -> None:
        """Sign each request. Only this instance is changed, so that requests without DPoP cost nothing more."""
        attach, flow, blocking_flow = self._attach, self.async_auth_flow, self.sync_auth_flow

        def attach_and_sign(request: Any, cached: CachedToken, trace: HopTrace) -> None:
            attach(request, cached, trace)
            # The proof is bound to this token.
            del request.extensions[REATTACH]
            signer.prove(request)

        self._attach = attach_and_sign  # type: ignore[method-assign]

        def sign_async(request: Any) -> AsyncGenerator[Any, Any]:
            return signer.drive(flow(request), request)

        def sign_sync(request: Any) -> Generator[Any, Any, None]:
            return signer.drive_sync(blocking_flow(request), request)

        self.async_auth_flow = sign_async  # type: ignore[method-assign]
        self.sync_auth_flow = sign_sync  # type: ignore[method-assign]

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
        request.extensions[REATTACH] = self._reattach
        if self._id_header is not None:
            # httpx removes the token from a redirect to another origin, but not this header.
            if "trace" in request.extensions:
                trace.watch(request)
            else:
                request.extensions["trace"] = trace

    def _reattach(self, request: Any) -> None:
        """Replace the token of a request that waited for a connection, if another one is current now."""
        cached = self._cache.token
        if self._monotonic() < cached.renew_at:
            value = cached.authorization.encode("ascii")
            request.headers = [
                (name, value if name.lower() == b"authorization" else old) for name, old in request.headers
            ]
            request.extensions[REATTACHED] = cached

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
        from seic._oauth.challenges import is_token_rejected

        if not is_token_rejected(provider=self.config.provider, headers=response.headers, body=prefix or b""):
            return self._give_up_retry(response, "the response does not reject the token")
        if not self._cache.may_refresh_after_401(cached, _method_and_path(response)):
            return self._give_up_retry(
                response, "the API rejects new tokens as well as old ones; refreshes are suspended"
            )
        cached.invalidate()
        if body is not None and body.stream is response.request.stream and body.problem is not None:
            self._cache.retry_rejected(cached, _method_and_path(response))
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
        self._cache.count("replays")
        self._emit(RequestRetried(host=_host(response), tracking_id=self._tracking_id(response)))
        return request

    def _after_replay(self, response: Any, cached: CachedToken, now: float, wall: float) -> None:
        self._log(response)
        if response.status_code == _UNAUTHORIZED:
            self._cache.retry_rejected(cached, _method_and_path(response))
            self._give_up_retry(response, "it was retried with a new token, which was rejected too")
        elif response.status_code < _SERVER_ERROR:
            cached.mark_used(now, wall)
            self._cache.retry_accepted(_method_and_path(response))

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
        url = f"{request.url.scheme}://{_host(response)}{path}"
        facts = {"method": request.method, "url": url, "status": response.status_code}
        facts["tracking_id"] = self._tracking_id(response)
        LOGGER.info("%s %s %s tracking_id=%s", *facts.values(), extra=facts)


def _host(response: Any) -> str:
    host: str = response.request.url.netloc.decode("ascii")
    return host


def _method_and_path(response: Any) -> str:
    return f"{response.request.method} {response.request.url.path}"


def _is_ascii(headers: list[tuple[bytes, bytes]]) -> bool:
    return b"".join(map(b"".join, headers)).isascii()

"""`SandboxControls`: counts, revocation and faults of a running sandbox."""

from __future__ import annotations

import email.utils
import hashlib
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

import attrs

from seic._model.token import Token
from seic.sandbox._certificates import IssuedCertificate
from seic.sandbox._server.counts import Counts, RequestCounter
from seic.sandbox._server.fault import Fault, FaultName, FaultTarget
from seic.sandbox._server.fault_injection import FaultInjector, Hold, InjectedFailure
from seic.sandbox._server.received import ReceivedRequest, RequestKind, RequestRecorder
from seic.sandbox._server.refused_certificates import RefusedCertificates
from seic.sandbox._token_registry import Dialect, TokenRegistry


@attrs.frozen(kw_only=True)
class ActiveToken:
    """An access token that is active.

    Args:
        digest: The first 8 hexadecimal digits of its SHA-256.
        dialect: The dialect that issued it.
        seconds_left: Seconds until it expires.
        lifetime: Seconds from its issue to its expiry.
        thumbprint: SHA-256 of the client certificate that it is bound to, base64url; None without one.
    """

    digest: str
    dialect: Dialect
    seconds_left: float
    lifetime: float
    thumbprint: str | None


class SandboxControls:
    """The base of `Sandbox`; its methods may be used from any thread."""

    _registry: TokenRegistry
    _counter: RequestCounter
    _faults: FaultInjector
    _recorder: RequestRecorder
    _refused: RefusedCertificates | None
    _client_certificate: IssuedCertificate
    _issued: list[IssuedCertificate]

    @property
    def counts(self) -> Counts:
        """The counts since the start, at this moment."""
        return self._counter.snapshot()

    @property
    def token_requests(self) -> int:
        """The number of token requests, at both hosts."""
        return self.counts.token_requests

    def received(
        self, *, path: str | None = None, method: str | None = None, kind: RequestKind | None = None
    ) -> list[ReceivedRequest]:
        """Return the last 1,000 requests to both hosts, the oldest first.

            (request,) = sandbox.received(path="/v1/orders", method="POST")
            assert request.headers["Idempotency-Key"]

        Args:
            path: Only those with this path.
            method: Only those with this method.
            kind: Only `token`, `api`, `login`, `revocation` or `info` requests.
        """
        return [
            each
            for each in self._recorder.snapshot()
            if path in (None, each.path) and method in (None, each.method) and kind in (None, each.kind)
        ]

    def on_received(self, listener: Callable[[ReceivedRequest], object]) -> Callable[[], None]:
        """Call a listener for each request, on its arrival and when its status is known; return the end of that.

        Args:
            listener: Called in the sandbox's thread; it must return soon.
        """
        return self._recorder.listen(lambda record: listener(record.snapshot()))

    @property
    def active_tokens(self) -> list[ActiveToken]:
        """The access tokens that are active, the newest first, by their digests."""
        return [
            ActiveToken(
                digest=hashlib.sha256(token.encode()).hexdigest()[:8],
                dialect=record.family.dialect,
                seconds_left=record.seconds_left,
                lifetime=self._registry.active_lifetime,
                thumbprint=record.family.thumbprint,
            )
            for token, record in self._registry.active()
        ]

    def clear_received(self) -> None:
        """Forget the requests of `received`; `counts` and their numbers go on."""
        self._recorder.clear()

    def revoke(self, token: Token | str) -> bool:
        """Revoke an access token without telling its client; return whether there was one."""
        return self._registry.revoke(token.access_token if isinstance(token, Token) else token)

    def revoke_all(self) -> int:
        """Revoke every token without telling the clients; return the number of access tokens."""
        return self._registry.revoke_all()

    def expire_all(self) -> int:
        """Let every active access token expire now; return their number."""
        return self._registry.expire_all()

    def idle_out_all(self) -> int:
        """Let every access token of the gateway be unused for too long; return their number."""
        return self._registry.idle_out_all()

    @property
    def clock_skew(self) -> float:
        """Seconds by which the hosts' wall clock is wrong, in `Date` and in tokens; 0 by default."""
        return self._registry.skew

    @clock_skew.setter
    def clock_skew(self, seconds: float) -> None:
        self._registry.skew = seconds

    def _date(self) -> str | None:
        skew = self._registry.skew
        return email.utils.formatdate(time.time() + skew, usegmt=True) if skew else None

    def refuse_certificate(self, certificate: IssuedCertificate | None = None) -> None:
        """Refuse a client certificate by a TLS alert from now on, and close its connections.

        Args:
            certificate: One of `issue_certificate`; by default the service account's.

        Raises:
            RuntimeError: There is no mtls host, because the sandbox is not running or is behind a proxy.
        """
        self._refused_certificates().refuse(certificate or self._client_certificate)

    def accept_certificates(self, *certificates: IssuedCertificate) -> None:
        """Accept client certificates again; without arguments, all.

        Raises:
            RuntimeError: As for `refuse_certificate`.
        """
        self._refused_certificates().accept(certificates)

    @property
    def refused_certificates(self) -> frozenset[str]:
        """The thumbprints of the refused client certificates (`x5t#S256` of RFC 8705 §3.1)."""
        return frozenset() if self._refused is None else self._refused.thumbprints()

    @property
    def issued_certificates(self) -> list[IssuedCertificate]:
        """The client certificates of this sandbox: the service account's and those of `issue_certificate`."""
        return [*self._issued]

    def _refused_certificates(self) -> RefusedCertificates:
        if self._refused is None:
            raise RuntimeError("there is no mtls host: the sandbox is not running, or is behind a proxy")
        return self._refused

    def inject(
        self, fault: FaultName, *, target: FaultTarget = "token", times: int | None = 1, seconds: float | None = None
    ) -> None:
        """Answer the next requests with a fault, after the faults planned before.

            sandbox.inject("503", seconds=7)
            sandbox.inject("truncated", target="api", times=2)

        Args:
            fault: `500`; `503` and `429` with `Retry-After`; `slow`; `reset`: the connection is reset; `truncated`:
                half of the body; `html`: a page with status 200; `empty`: status 200 without a body; `no-expires-in`: a
                token without a lifetime; `error-in-200`: an error body with status 200; `redirect`: 307 to the same
                path of another host.
            target: `token` for token requests, `api` for API requests.
            times: The number of requests; None for all others until `clear_faults`, in place of an earlier such fault.
            seconds: `Retry-After` of `503` and `429`, and the delay of `slow`; None for 5.

        Raises:
            ValueError: A value is out of range, or the fault does not have it.
        """
        self._faults.inject(Fault(name=fault, target=target, times=times, seconds=seconds))

    def clear_faults(self, target: FaultTarget | None = None, *, fault: FaultName | None = None) -> None:
        """Drop faults that have not been applied, and without `fault` the failures of `fail_tokens`.

        Args:
            target: Only those of this target.
            fault: Only those with this name.
        """
        self._faults.clear(target, fault)

    @property
    def faults(self) -> list[Fault]:
        """The faults of `inject` that are left."""
        return self._faults.snapshot()

    def fail_tokens(
        self, status: int = 503, *, times: int = 1, headers: Mapping[str, str] | None = None, body: str | None = None
    ) -> None:
        """Answer the next token requests with a failure, after the failures planned before.

        Args:
            status: The HTTP status.
            times: The number of requests.
            headers: Further headers, such as `Retry-After`; they replace the sandbox's headers of the same name.
            body: The body; by default the error body of the dialect.
        """
        self._faults.plan(InjectedFailure(status=status, headers=dict(headers or {}), body=body), times)

    @property
    def token_latency(self) -> float:
        """Seconds by which each token response is delayed; 0 by default."""
        return self._faults.token_latency

    @token_latency.setter
    def token_latency(self, seconds: float) -> None:
        self._faults.token_latency = seconds

    def hold_tokens(self) -> AbstractContextManager[Hold]:
        """Hold every token response until the block ends.

            with sandbox.hold_tokens() as hold:
                ...
                hold.wait_for(1)

        Raises:
            RuntimeError: On entry, if they are already held.
        """
        return self._faults.hold()

"""`SandboxControls`: counts, revocation and faults of a running sandbox."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager

from seic._model.token import Token
from seic.sandbox._server.counts import Counts, RequestCounter
from seic.sandbox._server.fault_injection import FaultInjector, Hold, InjectedFailure
from seic.sandbox._token_registry import TokenRegistry


class SandboxControls:
    """The base of `Sandbox`; its methods may be used from any thread."""

    _registry: TokenRegistry
    _counter: RequestCounter
    _faults: FaultInjector

    @property
    def counts(self) -> Counts:
        """The counts since the start, at this moment."""
        return self._counter.snapshot()

    def revoke(self, token: Token | str) -> bool:
        """Revoke an access token without telling its client; return whether there was one."""
        return self._registry.revoke(token.access_token if isinstance(token, Token) else token)

    def revoke_all(self) -> int:
        """Revoke every token without telling the clients; return the number of access tokens."""
        return self._registry.revoke_all()

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

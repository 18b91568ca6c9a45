"""What else is asked of a provider about a token that is in hand: its end, and what it is good for."""

from __future__ import annotations

import contextlib

import attrs

from seic._errors import TokenRequestRefused
from seic._events import Emit, TokenNotBound
from seic._model.token import Token
from seic._model.token_info import TokenInfo
from seic._oauth.binding import is_bound_as_it_should
from seic._tokens.clock import Clock
from seic._tokens.endpoint import TokenEndpoint
from seic._tokens.fetch import Send, Steps
from seic._tokens.held import Freshness, Held
from seic._tokens.keeping import Keeper
from seic._tokens.state import TokenState


def revocation(
    endpoint: TokenEndpoint, state: TokenState, keeper: Keeper | None, key: str, clock: Clock, *, before: Held
) -> Steps[bool]:
    """Yield the steps that end the token in hand, or else the stored one, and its refresh token where that is possible.

    It is dropped here and in the store first, so that no call takes it up while the provider is told. A fetch under way
    would undo that: where there is one, nothing is done.

    Args:
        endpoint: The provider's ways to end a token.
        state: What is in hand.
        keeper: Where tokens are kept, or None.
        key: What the store keeps this token under.
        clock: The two clocks.
        before: What was in hand when the revocation was asked for. A renewal since has replaced it and not ended it.

    Returns:
        Whether it is done; False where another token came, or is on its way.

    Raises:
        ConfigurationError: The provider has no way to end it; it stays in use.
        TokenError: It did not end it.
    """
    held = state.held
    token = held.token if held.token.access_token else None
    if token is None and keeper is not None:
        token = yield from keeper.load(key)
    if token is None:
        return state.forget(held)
    requests = endpoint.build_revocations(token, now=clock.wall())
    if not state.forget(held):
        return False
    if keeper is not None:
        keeper.delete(key)
    for request in requests:
        reply = yield Send(request, endpoint.timeout)
        endpoint.parse_revocation(reply, now=clock.wall())
    if before is not held and before.freshness(clock.monotonic(), clock.wall()) is not Freshness.DEAD:
        # Of its refresh token came the one that has just been ended.
        replaced = attrs.evolve(before.token, refresh_token=None)
        for request in endpoint.build_revocations(replaced, now=clock.wall()):
            reply = yield Send(request, endpoint.timeout)
            # Refused where the renewal ended it.
            with contextlib.suppress(TokenRequestRefused):
                endpoint.parse_revocation(reply, now=clock.wall())
    return True


def description(endpoint: TokenEndpoint, token: Token, clock: Clock, emit: Emit) -> Steps[TokenInfo]:
    """Yield the steps that have a token described, and return the description.

    Raises:
        ConfigurationError: The provider has no call for it.
        TokenError: It did not describe it, or describes one that is bound to another certificate.
    """
    certificate = endpoint.certificate()
    reply = yield Send(endpoint.build_token_info(token, now=clock.wall()), endpoint.timeout)
    info = endpoint.parse_token_info(reply, now=clock.wall())
    # The platform's call knows no confirmation; only introspection does (RFC 8705 §3.2).
    if info.active and endpoint.provider.token_info_url is None:
        is_bound = is_bound_as_it_should(
            info.extra, provider=endpoint.provider, certificate=certificate, host=endpoint.host
        )
        if not is_bound:
            emit(TokenNotBound(host=endpoint.host, tracking_id=info.tracking_id))
    return info

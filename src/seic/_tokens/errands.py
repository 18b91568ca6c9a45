"""What else is asked of a provider about a token that is in hand: its end, and what it is good for."""

from __future__ import annotations

from seic._events import Emit, TokenNotBound
from seic._model.token import Token
from seic._model.token_info import TokenInfo
from seic._oauth.binding import is_bound_as_it_should
from seic._tokens.clock import Clock
from seic._tokens.endpoint import TokenEndpoint
from seic._tokens.fetch import Send, Steps
from seic._tokens.keeping import Keeper
from seic._tokens.state import TokenState


def revocation(
    endpoint: TokenEndpoint, state: TokenState, keeper: Keeper | None, key: str, clock: Clock
) -> Steps[None]:
    """Yield the steps that end the token in hand, or else the stored one, and its refresh token where that is possible.

    It is dropped here and in the store first, so that no call takes it up while the provider is told.

    Raises:
        ConfigurationError: The provider has no way to end it; it stays in use.
        TokenError: It did not end it.
    """
    held = state.held
    token = held.token if held.token.access_token else None
    if token is None and keeper is not None:
        token = yield from keeper.load(key)
    if token is None:
        return
    requests = endpoint.build_revocations(token, now=clock.wall())
    state.forget(held)
    if keeper is not None:
        keeper.delete(key)
    for request in requests:
        reply = yield Send(request, endpoint.timeout)
        endpoint.parse_revocation(reply, now=clock.wall())


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

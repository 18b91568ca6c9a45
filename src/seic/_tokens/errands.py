"""What else is asked of a provider about a token that is in hand: its end, and what it is good for."""

from __future__ import annotations

from seic._events import Emit, TokenNotBound
from seic._model.token import Token
from seic._model.token_info import TokenInfo
from seic._oauth.binding import is_bound_as_it_should
from seic._tokens.clock import Clock
from seic._tokens.endpoint import TokenEndpoint
from seic._tokens.fetch import Send, Steps


def revocation(endpoint: TokenEndpoint, token: Token, clock: Clock) -> Steps[None]:
    """Return the steps that end a token, and its refresh token where the provider can; the requests are built at once.

    Raises:
        ConfigurationError: The provider has no way to.
        TokenError: It did not end it; by the steps.
    """
    requests = endpoint.build_revocations(token, now=clock.wall())

    def steps() -> Steps[None]:
        for request in requests:
            reply = yield Send(request, endpoint.timeout)
            endpoint.parse_revocation(reply, now=clock.wall())

    return steps()


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

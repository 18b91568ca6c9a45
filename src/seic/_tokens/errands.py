"""What else is asked of a provider about a token that is in hand: its end, and what it is good for."""

from __future__ import annotations

import logging

import attrs
import httpx

from seic._errors import TokenRequestRefused
from seic._events import Emit, TokenNotBound
from seic._model.token import Token
from seic._model.token_info import TokenInfo
from seic._oauth.confirmation import check_confirmation
from seic._oauth.redact import find_tracking_id
from seic._oauth.reply import Reply
from seic._tokens.clock import Clock
from seic._tokens.endpoint import Doomed, TokenEndpoint
from seic._tokens.fetch import Send, Steps
from seic._tokens.held import Freshness, Held
from seic._tokens.keeping import Keeper
from seic._tokens.outcomes import fate_after
from seic._tokens.spending import Fate
from seic._tokens.state import TokenState

_logger = logging.getLogger("seic.api")


def revocation(
    endpoint: TokenEndpoint,
    state: TokenState,
    keeper: Keeper | None,
    key: str,
    clock: Clock,
    *,
    before: Held,
    doomed: list[Doomed],
) -> Steps[bool]:
    """Yield the steps that end the token in hand, or else the stored one, and its refresh token where that is possible.

    It is dropped here and in the store first, so that no call takes it up while the provider is told. A fetch under way
    would undo that: where there is one, nothing is done. What the provider gave no answer to stays doomed, and is sent
    again with the next revocation.

    Args:
        endpoint: The provider's ways to end a token.
        state: What is in hand.
        keeper: Where tokens are kept, or None.
        key: What the store keeps this token under.
        clock: The two clocks.
        before: What was in hand when the revocation was asked for. A renewal since has replaced it and not ended it.
        doomed: What earlier revocations left; changed in place.

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
    new = [] if token is None else endpoint.to_revoke(token)
    for each in new:
        endpoint.build_revocation(each, now=clock.wall())
    if not state.forget(held):
        return False
    if token is not None and keeper is not None:
        keeper.delete(key)
    if before is not held and before.freshness(clock.monotonic(), clock.wall()) is not Freshness.DEAD:
        # Of its refresh token came the one that is in hand; the renewal may have ended it.
        replaced = endpoint.to_revoke(attrs.evolve(before.token, refresh_token=None))
        new += [attrs.evolve(each, may_be_gone=True) for each in replaced]
    doomed += new
    yield from _carry_out(doomed, endpoint, clock)
    return True


def _carry_out(doomed: list[Doomed], endpoint: TokenEndpoint, clock: Clock) -> Steps[None]:
    refusal: TokenRequestRefused | None = None
    while doomed:
        # Taken out, so that a second revocation at the same time does not send it as well.
        each = doomed.pop(0)
        answered = False
        try:
            reply = yield Send(endpoint.build_revocation(each, now=clock.wall()), endpoint.timeout)
            endpoint.parse_revocation(reply, now=clock.wall())
            answered = True
        except TokenRequestRefused as error:
            # The provider looked at the token, and will say the same again.
            answered = each.may_be_gone or fate_after(error) is Fate.SPENT
            if not answered:
                raise
            if not each.may_be_gone:
                refusal = refusal or error.fresh()
        finally:
            if not answered:
                doomed.insert(0, each)
    if refusal is not None:
        raise refusal


def description(endpoint: TokenEndpoint, token: Token, clock: Clock, emit: Emit) -> Steps[TokenInfo]:
    """Yield the steps that have a token described, and return the description.

    Raises:
        ConfigurationError: The provider has no call for it.
        TokenError: It did not describe it, or describes one that is bound to another certificate.
    """
    certificate = endpoint.certificate()
    request = endpoint.build_token_info(token, now=clock.wall())
    reply: Reply = yield Send(request, endpoint.timeout)
    _log(endpoint, request, reply)
    info = endpoint.parse_token_info(reply, now=clock.wall())
    # The platform's call knows no confirmation; only introspection does (RFC 8705 §3.2).
    if info.active and endpoint.provider.token_info_url is None:
        is_bound = check_confirmation(
            info.extra, provider=endpoint.provider, certificate=certificate, host=endpoint.host
        )
        if not is_bound:
            emit(TokenNotBound(host=endpoint.host, tracking_id=info.tracking_id))
    return info


def _log(endpoint: TokenEndpoint, request: httpx.Request, reply: Reply) -> None:
    """Have a reply stand in the log as one of the API does."""
    path = request.url.raw_path.partition(b"?")[0].decode("ascii")
    url = f"{request.url.scheme}://{request.url.netloc.decode('ascii')}{path}"
    tracking_id = find_tracking_id(reply.headers, endpoint.provider.tracking_header, secrets=reply.secrets)
    _logger.info("%s %s %d tracking_id=%s", request.method, url, reply.status, tracking_id)

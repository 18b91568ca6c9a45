"""The choice of the grant for the next token: its refresh token, the configured grant, or `login_required`."""

from __future__ import annotations

from seic._errors import TokenRequestRefused
from seic._model.grant_parameters import GrantParameters
from seic._model.grants import RefreshToken
from seic._model.provider import Provider
from seic._model.token import Token


def next_grant(
    grant: GrantParameters,
    token: Token | None,
    *,
    provider: Provider,
    now: float,
    refresh_refused: bool = False,
    is_unused: bool = False,
    refusal: TokenRequestRefused | None = None,
) -> GrantParameters:
    """Return the grant for the next token.

    A valid refresh token is used first: it needs neither a user nor a password. Tokens of `client_credentials` are
    never refreshed (RFC 6749 §4.4.3). After a refused refresh the configured grant is used again, if it is repeatable.

    Args:
        grant: The configured grant.
        token: The last token; None before the first.
        provider: The dialect.
        now: Seconds since the epoch.
        refresh_refused: Whether the provider refused this token's refresh token, or would.
        is_unused: Whether the grant has a single-use secret, and the token is not known to come from it.
        refusal: The refusal of the refresh token; it becomes the error's cause, and the end of its message.

    Raises:
        TokenRequestRefused: The user must log in again; the code is `login_required`.
    """
    if token is not None and grant.is_refreshed and not refresh_refused and _can_refresh(token, provider, now):
        return _refresh_grant(grant, token.refresh_token or "")
    if token is not None and not grant.is_repeatable and not is_unused:
        raise login_required("the grant works only once, and there is no valid refresh token", refusal)
    if (reason := grant.login_required_reason(now)) is not None:
        raise login_required(reason, refusal)
    return grant


def _refresh_grant(grant: GrantParameters, refresh_token: str) -> RefreshToken:
    return RefreshToken(
        refresh_token=refresh_token,
        # Without a scope the refresh keeps what was granted, which may be less than a login requested, and more may not
        # be requested (RFC 6749 §6). A scope that narrows a refresh token is sent each time.
        scope=grant.scope if grant.grant_type == RefreshToken.grant_type else None,
        audience=grant.audience,
        resource=grant.resource,
        end_other_sessions=grant.end_other_sessions,
    )


def _can_refresh(token: Token, provider: Provider, now: float) -> bool:
    if token.refresh_token is None or (provider.grants is not None and "refresh_token" not in provider.grants):
        return False
    return token.refresh_expires_in is None or token.obtained_at + token.refresh_expires_in > now


def login_required(reason: str, refusal: TokenRequestRefused | None = None) -> TokenRequestRefused:
    """Return the error that says that the user must log in again.

    Args:
        reason: The reason, for the message.
        refusal: The provider's refusal that led to it, if there was one.
    """
    # OpenID Connect's code for it (Core §3.1.2.6).
    error = TokenRequestRefused(
        f"login required: {reason}; pass a new grant, or a callable that returns a new one"
        + (f" ({refusal.message})" if refusal is not None else ""),
        status=None if refusal is None else refusal.status,
        code="login_required",
        description=None if refusal is None else refusal.description,
        tracking_id=None if refusal is None else refusal.tracking_id,
    )
    error.__cause__ = refusal
    return error

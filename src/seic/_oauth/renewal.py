"""Which grant asks for the next token once there was one: the refresh token, the same grant again, or a person."""

from __future__ import annotations

import datetime as dt

import attrs

from seic._errors import TokenRequestRefused
from seic._model.extension_grants import DeviceCode, ExistingToken
from seic._model.grants import AuthorizationCode, Grant, GrantParameters, RefreshToken
from seic._model.provider import Provider
from seic._model.secret import digest, reveal
from seic._model.token import Token


def next_grant(
    grant: Grant,
    token: Token | None,
    *,
    provider: Provider,
    now: float,
    refresh_refused: bool = False,
    is_unspent: bool = False,
    refusal: TokenRequestRefused | None = None,
) -> Grant:
    """Return the grant for the next token.

    A refresh token goes first where there is one that lives: it costs no person's attention and no password. Tokens of
    `client_credentials` are never refreshed (RFC 6749 §4.4.3). After a refused refresh the grant itself asks again, if
    it can.

    Args:
        grant: What the user configured.
        token: The last token; None before the first.
        provider: The dialect.
        now: Seconds since the epoch.
        refresh_refused: Whether the provider refused this token's refresh token, or would.
        is_unspent: Whether the grant carries what works once, and the token is not known to have come of it.
        refusal: In which words it did; they become the error's cause and end.

    Raises:
        TokenRequestRefused: Nothing is left to ask with, and a person must log in again.
    """
    if token is not None and grant.is_refreshed and not refresh_refused and _refreshes(token, provider, now):
        return _refresh(grant, token.refresh_token or "")
    if token is not None and not grant.is_repeatable and not is_unspent:
        raise login_required("the grant can be used once only, and there is no refresh token that lives", refusal)
    if isinstance(grant, DeviceCode):
        raise login_required("seic.DeviceLogin.begin(config) carries a login on another device out", refusal)
    if isinstance(grant, ExistingToken):
        raise login_required("the grant asks for no token by itself", refusal)
    ends_at = grant.ends_at
    if ends_at is not None and ends_at.timestamp() <= now:
        raise login_required(f"what the grant carries ended at {ends_at.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S} UTC")
    return grant


def _refresh(grant: Grant, refresh_token: str) -> RefreshToken:
    if not isinstance(grant, GrantParameters):
        return RefreshToken(refresh_token=refresh_token)
    return RefreshToken(
        refresh_token=refresh_token,
        # Without a scope the refresh keeps what was granted, which may be less than a login asked for, and more may not
        # be asked (RFC 6749 §6). Who narrows a refresh token does so each time.
        scope=grant.scope if grant.grant_type == RefreshToken.grant_type else None,
        audience=grant.audience,
        resource=grant.resource,
        end_other_sessions=grant.end_other_sessions,
    )


def keep_refresh_token(token: Token, *, used: Grant, previous: Token | None) -> Token:
    """Return the token with the refresh token that it was had with, where the provider did not send another.

    A provider that does not rotate says nothing of the refresh token, and it stays good (RFC 6749 §6).

    Args:
        token: The new token.
        used: The grant that it was asked for with.
        previous: The token before, for what is left of the refresh token's life.
    """
    if token.refresh_token is not None or not isinstance(used, RefreshToken) or not isinstance(used.refresh_token, str):
        return token
    left = None
    if previous is not None and previous.refresh_expires_in is not None:
        left = previous.obtained_at + previous.refresh_expires_in - token.obtained_at
    return attrs.evolve(token, refresh_token=used.refresh_token, refresh_expires_in=left)


def _refreshes(token: Token, provider: Provider, now: float) -> bool:
    if token.refresh_token is None or (provider.grants is not None and "refresh_token" not in provider.grants):
        return False
    return token.refresh_expires_in is None or token.obtained_at + token.refresh_expires_in > now


def given_token(grant: Grant) -> Token | None:
    """Return the token that a grant begins with; None where it has to be asked for."""
    if not isinstance(grant, ExistingToken):
        return None
    token = grant.token
    return attrs.evolve(token, begun_by=token.begun_by or digest(token.refresh_token or token.access_token))


def at_hand(grant: Grant) -> Grant:
    """Return the grant with what it spends as text, so that it is known before it is sent; a callable is asked here.

    Raises:
        ConfigurationError: The callable failed, or returned something else than a text.
    """
    if isinstance(grant, RefreshToken):
        return attrs.evolve(grant, refresh_token=reveal(grant.refresh_token, field="grant.refresh_token"))
    if isinstance(grant, AuthorizationCode):
        return attrs.evolve(grant, code=reveal(grant.code, field="grant.code"))
    return grant


def spent_by(grant: Grant) -> str | None:
    """Return the secret that a grant spends for good when it is used: a refresh token or a code that stands in it.

    A provider that does not rotate its refresh tokens takes them again; that shows in its reply only.
    """
    if isinstance(grant, RefreshToken):
        secret = grant.refresh_token
    elif isinstance(grant, AuthorizationCode):
        secret = grant.code
    else:
        return None
    return secret if isinstance(secret, str) and secret else None


def begun_by(grant: Grant) -> str | None:
    """Return by what a login is told from the next of the same person: a digest of the secret that its grant spends."""
    return digest(spent_by(grant))


def login_required(reason: str, refusal: TokenRequestRefused | None = None) -> TokenRequestRefused:
    """Return the error that says that a person must log in again, having been refused or not."""
    # The code is OpenID Connect's word for it (Core §3.1.2.6).
    error = TokenRequestRefused(
        f"a person must log in again: {reason}; pass a new grant, or one whose code, token or document is a callable"
        + (f" ({refusal.message})" if refusal is not None else ""),
        status=None if refusal is None else refusal.status,
        code="login_required",
        description=None if refusal is None else refusal.description,
        tracking_id=None if refusal is None else refusal.tracking_id,
    )
    error.__cause__ = refusal
    return error

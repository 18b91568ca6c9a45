"""What a provider says about a token when it is asked."""

from __future__ import annotations

from collections.abc import Mapping

import attrs


@attrs.frozen(kw_only=True)
class TokenInfo:
    """A token as its provider describes it (the platform's tokeninfo, RFC 7662 §2.2); it holds no secret.

    Args:
        active: Whether the token is alive.
        expires_in: Seconds of life that are left; None where the provider did not say.
        scope: As the provider wrote it; empty where it named none.
        token_type: As the provider wrote it.
        client_id: The client that the token was given to.
        username: Whose token it is: the platform's `email`, the RFC's `username`.
        app_name: The name that the application is registered under.
        status: The provider's own word for the token's state.
        refresh_expires_in: Seconds of life that are left to the refresh token.
        tracking_id: The provider's id of the call.
        extra: Every other member of the reply, unread.
    """

    active: bool
    expires_in: float | None = None
    scope: str = ""
    token_type: str | None = None
    client_id: str | None = None
    username: str | None = None
    app_name: str | None = None
    status: str | None = None
    refresh_expires_in: float | None = None
    tracking_id: str | None = None
    extra: Mapping[str, object] = attrs.field(factory=dict, repr=False, eq=False)

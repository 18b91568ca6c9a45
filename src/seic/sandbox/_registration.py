"""Who is known to the sandbox: one application, one account, and where its logins may return to."""

from __future__ import annotations

import secrets
import uuid

import attrs


@attrs.frozen(kw_only=True)
class Registration:
    """The one application and the one account.

    Args:
        client_id: The application's key.
        client_secret: Its secret.
        username: The account as the gateway knows it, and the CN of its certificate.
        password: The account's password.
        redirect_urls: Where logins may return to, beside loopback.
        refresh_enabled: Whether the application gets refresh tokens on the platform.
        one_session: Whether the account may have one session only, so that a login has to end the other or is refused.
        session_token_field: What the gateway's form calls a session's token; no document says.
        session_token: The token of the one session that the gateway knows.
        application_name: As replies tell it.
    """

    client_id: str
    client_secret: str = attrs.field(repr=False)
    username: str
    password: str = attrs.field(repr=False)
    redirect_urls: tuple[str, ...] = ()
    refresh_enabled: bool = True
    one_session: bool = False
    session_token_field: str = "sessionToken"
    session_token: str = attrs.field(repr=False, factory=lambda: secrets.token_urlsafe(24))
    application_name: str = attrs.field(factory=lambda: str(uuid.uuid4()))

    @property
    def email(self) -> str:
        """The account as the platform knows it."""
        return f"{self.username}@example.com"

"""The registered client: one application, one account, and the redirect URLs."""

from __future__ import annotations

import secrets
import uuid

import attrs


@attrs.frozen(kw_only=True)
class Registration:
    """The only application and the only account that the sandbox knows.

    Args:
        client_id: The client id of the application (the AppKey).
        client_secret: The client secret (the AppSecret).
        username: The name of the account at the gateway, and the CN of its certificate.
        password: The password of the account.
        redirect_urls: The registered redirect URLs; loopback URLs are always allowed.
        refresh_enabled: Whether the platform issues refresh tokens to the application.
        one_session: Whether the account may have only one session; a login must then end the other one.
        session_token_field: The field of the gateway's form for a session token; no document names it.
        session_token: The token of the only session that the gateway knows.
        application_name: The name of the application in responses.
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
        """The name of the account on the platform."""
        return f"{self.username}@example.com"

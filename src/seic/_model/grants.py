"""The grants that most programs use: client credentials and refresh tokens; values that build their own form fields.

A value that changes between two requests (a password, an assertion) may be a callable. A grant that works only once
says so in `is_repeatable`.
"""

from __future__ import annotations

from typing import ClassVar, Self

import attrs

from seic._errors import ConfigurationError
from seic._model.grant_parameters import Fields, GrantParameters, require_set
from seic._model.provider import Provider
from seic._model.secret import Secret, digest, hide, reveal
from seic._model.token import Token
from seic._public import publish
from seic._values import frozen

#: The platform's name of the SAML grant; `client-assertion-type` in it is the platform's own spelling.
SAML2_BEARER = "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"


@frozen(kw_only=True)
class ClientCredentials(GrantParameters):
    """The client credentials grant (RFC 6749 §4.4); SEI's dialects add a service account.

    Such a token is never refreshed: a new one is requested (§4.4.3, and SEI's authorization guide).

    Args:
        username: The service account, if the provider's form has one; at SEI the CN of a client certificate must be
            this name.
        password: The account's password, or a callable that returns it.
    """

    grant_type: ClassVar[str] = "client_credentials"
    is_refreshed: ClassVar[bool] = False
    username: str | None = None
    password: Secret | None = attrs.field(default=None, repr=hide)

    def check(self, provider: Provider) -> None:
        """Require the service account if the provider's form has a field for it, and refuse it otherwise."""
        super().check(provider)
        if provider.username_field is None:
            if self.username is not None or self.password is not None:
                raise ConfigurationError(
                    f"grant.username: {provider.name} has no service account in client_credentials; leave out "
                    "grant.username and grant.password",
                    field="grant.username",
                )
            return
        # The provider's own name for the account, which may be an email address.
        for field, word, value in (
            ("username", provider.username_field, self.username),
            ("password", "password", self.password),
        ):
            require_set(provider.name, field, value, f"the {word} of a service account in client_credentials")

    def fields(self, provider: Provider) -> Fields:
        """Return the service account's fields, or none."""
        if provider.username_field is None or self.username is None or self.password is None:
            return super().fields(provider)
        return {
            provider.username_field: self.username,
            "password": reveal(self.password, field="grant.password"),
            **super().fields(provider),
        }


@frozen(kw_only=True)
class RefreshToken(GrantParameters):
    """A refresh token that you already have (RFC 6749 §6).

    Many providers rotate it: the reply carries the next one, and the one that was sent is no longer valid.

    Args:
        refresh_token: The token, or a callable that returns the current one.
        subject: The user whose token it is, to keep users apart in a store; by default a digest of the token.
    """

    grant_type: ClassVar[str] = "refresh_token"
    refresh_token: Secret = attrs.field(repr=hide)
    subject: str | None = attrs.field(default=attrs.Factory(lambda self: digest(self.refresh_token), takes_self=True))

    @property
    def is_repeatable(self) -> bool:
        """Whether a callable supplies the current refresh token."""
        return callable(self.refresh_token)

    @property
    def single_use_secret(self) -> str | None:
        """The refresh token; only the reply shows whether the provider rotated it."""
        return self.refresh_token or None if isinstance(self.refresh_token, str) else None

    def resolve(self) -> Self:
        """Return the grant with its refresh token as a string."""
        return attrs.evolve(self, refresh_token=reveal(self.refresh_token, field="grant.refresh_token"))

    def keep_refresh_token(self, token: Token, *, previous: Token | None) -> Token:
        """Keep the refresh token that was sent if the reply has none: it stays valid (RFC 6749 §6)."""
        if token.refresh_token is not None or not isinstance(self.refresh_token, str):
            return token
        left = None
        if previous is not None and previous.refresh_expires_in is not None:
            left = previous.obtained_at + previous.refresh_expires_in - token.obtained_at
        return attrs.evolve(token, refresh_token=self.refresh_token, refresh_expires_in=left)

    def check(self, provider: Provider) -> None:
        """Require the token."""
        super().check(provider)
        require_set("the refresh_token grant", "refresh_token", self.refresh_token, "a refresh token")

    def fields(self, provider: Provider) -> Fields:
        """Return the token."""
        return {
            "refresh_token": reveal(self.refresh_token, field="grant.refresh_token"),
            **super().fields(provider),
        }


publish("seic", ["ClientCredentials", "RefreshToken"], globals())

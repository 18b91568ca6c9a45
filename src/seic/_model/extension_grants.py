"""Extension grants (RFC 6749 §4.5): token exchange, assertions, the device grant, and a token that already exists.

SEI's dialects have none of them.
"""

from __future__ import annotations

import datetime as dt
from typing import ClassVar

import attrs

from seic._errors import ConfigurationError
from seic._model.grant_parameters import Fields, GrantParameters, require_set
from seic._model.provider import Provider
from seic._model.saml import SamlDocument, document_ends_at, encode_document, is_inline, require_document
from seic._model.secret import Secret, digest, hide, reveal
from seic._model.token import Token
from seic._public import publish
from seic._values import frozen

_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:"
#: RFC 8693 §3.
ACCESS_TOKEN = f"{_TOKEN_TYPE}access_token"


@frozen(kw_only=True)
class TokenExchange(GrantParameters):
    """Token exchange (RFC 8693): to call on behalf of a user, or for another audience.

    Args:
        subject_token: The token of the user that the new one is for, or a callable that returns the current one.
        subject_token_type: Its type: a URI, or the last part of it such as `access_token`, `id_token`, `jwt`, `saml2`.
        actor_token: The token of the party that acts for the subject, or a callable that returns it; None if there is
            none.
        actor_token_type: Its type.
        requested_token_type: The type of the new token; None leaves that to the provider.
        subject: The user whose token it is, to keep users apart in a store; by default a digest of the token.
    """

    grant_type: ClassVar[str] = "urn:ietf:params:oauth:grant-type:token-exchange"
    subject_token: Secret = attrs.field(repr=hide)
    subject_token_type: str = ACCESS_TOKEN
    actor_token: Secret | None = attrs.field(default=None, repr=hide)
    actor_token_type: str = ACCESS_TOKEN
    requested_token_type: str | None = None
    subject: str | None = attrs.field(default=attrs.Factory(lambda self: digest(self.subject_token), takes_self=True))

    def check(self, provider: Provider) -> None:
        """Require the subject's token."""
        super().check(provider)
        require_set("token exchange", "subject_token", self.subject_token, "the subject's token")
        if self.actor_token is not None:
            require_set("token exchange", "actor_token", self.actor_token, "the actor's token, or None for no actor")

    def fields(self, provider: Provider) -> Fields:
        """Return the tokens and their types."""
        fields = {
            "subject_token": reveal(self.subject_token, field="grant.subject_token"),
            "subject_token_type": _token_type(self.subject_token_type),
        }
        if self.actor_token is not None:
            fields["actor_token"] = reveal(self.actor_token, field="grant.actor_token")
            fields["actor_token_type"] = _token_type(self.actor_token_type)
        if self.requested_token_type is not None:
            fields["requested_token_type"] = _token_type(self.requested_token_type)
        return {**fields, **super().fields(provider)}


@frozen(kw_only=True)
class JwtBearer(GrantParameters):
    """A signed JWT, exchanged for a token (RFC 7523 §2.1).

    Args:
        assertion: The JWT, or a callable that returns a new one each time: assertions are valid for minutes, and some
            providers take each only once.
        subject: The user whose token it is, to keep users apart in a store; by default a digest of the assertion.
    """

    grant_type: ClassVar[str] = "urn:ietf:params:oauth:grant-type:jwt-bearer"
    assertion: Secret = attrs.field(repr=hide)
    subject: str | None = attrs.field(default=attrs.Factory(lambda self: digest(self.assertion), takes_self=True))

    def check(self, provider: Provider) -> None:
        """Require the assertion."""
        super().check(provider)
        require_set("the jwt-bearer grant", "assertion", self.assertion, "a JWT, or a callable that returns one")

    def fields(self, provider: Provider) -> Fields:
        """Return the assertion."""
        return {"assertion": reveal(self.assertion, field="grant.assertion"), **super().fields(provider)}


@frozen(kw_only=True)
class SamlBearer(GrantParameters):
    """A signed SAML assertion, exchanged for a token (RFC 7522 §2.1); the platform's own form is `Saml2Bearer`.

    Args:
        assertion: XML or Base64 of it, the path of a file that holds it, or a callable that returns it. A file is
            read and a callable is called for each token request; an assertion given as bytes is valid until its
            `NotOnOrAfter`.
        subject: The user whose token it is, to keep users apart in a store; by default a digest of the assertion or
            of its path.
    """

    grant_type: ClassVar[str] = "urn:ietf:params:oauth:grant-type:saml2-bearer"
    assertion: SamlDocument = attrs.field(repr=hide)
    subject: str | None = attrs.field(default=attrs.Factory(lambda self: digest(self.assertion), takes_self=True))

    @property
    def ends_at(self) -> dt.datetime | None:
        """The earliest `NotOnOrAfter` of an assertion that was given inline; None for a file or a callable."""
        return document_ends_at(self.assertion, field="grant.assertion") if is_inline(self.assertion) else None

    def check(self, provider: Provider) -> None:
        """Check an assertion that was given inline."""
        super().check(provider)
        require_document(self.assertion, field="grant.assertion")
        if is_inline(self.assertion):
            encode_document(self.assertion, field="grant.assertion")

    def fields(self, provider: Provider) -> Fields:
        """Return the assertion in the alphabet that is safe in URLs, unpadded (RFC 7522 §2.1)."""
        text = encode_document(self.assertion, field="grant.assertion")
        assertion = text.translate(str.maketrans("+/", "-_")).rstrip("=")
        return {"assertion": assertion, **super().fields(provider)}


@frozen(kw_only=True)
class DeviceCode(GrantParameters):
    """The device grant (RFC 8628), for programs without a browser; start the login with `seic.DeviceLogin`.

    It requests no token by itself: the login returns the grant that does.
    """

    grant_type: ClassVar[str] = "urn:ietf:params:oauth:grant-type:device_code"
    device_code: str | None = attrs.field(default=None, repr=hide)

    @property
    def is_repeatable(self) -> bool:
        """False: the user has to log in."""
        return False

    def check(self, provider: Provider) -> None:
        """Require the provider's device authorization endpoint."""
        super().check(provider)
        provider.require("device_authorization_url", "the device grant")

    def authorization_fields(self, provider: Provider) -> Fields:
        """Return the fields of the device authorization request (§3.1)."""
        return super().fields(provider)

    def login_required_reason(self, now: float) -> str | None:
        """Point to the login that returns the grant."""
        return "call seic.DeviceLogin.begin(config) to log in on another device"

    def fields(self, provider: Provider) -> Fields:
        """Return the device code."""
        if self.device_code is None:
            raise ConfigurationError(
                "grant: there is no device code; call seic.DeviceLogin.begin(config) and use the grant of finish()",
                field="grant",
            )
        return {"device_code": self.device_code}


@frozen(kw_only=True)
class ExistingToken(GrantParameters):
    """A token that was obtained in another way: it is used while it is valid, and then its refresh token is.

    Args:
        token: The token.
        subject: The user whose token it is, to keep users apart in a store; by default a digest of its secret.
    """

    grant_type: ClassVar[str] = "refresh_token"
    token: Token = attrs.field(repr=hide)
    subject: str | None = attrs.field(default=attrs.Factory(lambda self: _digest_of(self.token), takes_self=True))

    @property
    def is_repeatable(self) -> bool:
        """False: the grant cannot request a token."""
        return False

    @property
    def existing_token(self) -> Token:
        """The token, with the id of the login that it came from."""
        return attrs.evolve(self.token, login_id=self.token.login_id or _digest_of(self.token))

    def login_required_reason(self, now: float) -> str | None:
        """Say that there is nothing to request a token with."""
        return "the grant holds a token and cannot request one"

    def check(self, provider: Provider) -> None:
        """Require a token, and no parameters that the provider does not know."""
        if not isinstance(self.token, Token):
            raise ConfigurationError("grant.token: must be a seic.Token", field="grant.token")
        # Not `super().check`: a provider without the refresh grant can still use the token itself.
        self.check_parameters(provider)

    def fields(self, provider: Provider) -> Fields:
        """Return its refresh token."""
        return {"refresh_token": self.token.refresh_token or "", **super().fields(provider)}


def _digest_of(token: object) -> str | None:
    # `check` reports any other type.
    return digest(token.refresh_token or token.access_token) if isinstance(token, Token) else None


def _token_type(name: str) -> str:
    return name if ":" in name else _TOKEN_TYPE + name


publish("seic", ["DeviceCode", "ExistingToken", "JwtBearer", "SamlBearer", "TokenExchange"], globals())

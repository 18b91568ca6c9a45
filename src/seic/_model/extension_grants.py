"""Grants of the RFCs around RFC 6749: token exchange, assertions, a login on another device, and a token in hand.

None of SEI's dialects has them; any provider that speaks the RFC does.
"""

from __future__ import annotations

import datetime as dt
from typing import ClassVar

import attrs

from seic._errors import ConfigurationError
from seic._model.grants import Fields, GrantParameters, require_set
from seic._model.provider import Provider
from seic._model.saml import Document, document_ends_at, encode_document, is_at_hand, require_document
from seic._model.secrecy import hide
from seic._model.secret import Secret, digest, reveal
from seic._model.token import Token

_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:"
#: RFC 8693 §3.
ACCESS_TOKEN = f"{_TOKEN_TYPE}access_token"


@attrs.frozen(kw_only=True)
class TokenExchange(GrantParameters):
    """One token exchanged for another (RFC 8693): to call on behalf of somebody, or for another audience.

    Args:
        subject_token: The token of whom the new one is for, or a callable that returns the current one.
        subject_token_type: What it is: a URI, or its last word such as `access_token`, `id_token`, `jwt`, `saml2`.
        actor_token: The token of who acts for that subject, or a callable that returns it; None where nobody does.
        actor_token_type: What that is.
        requested_token_type: What the new one should be; None leaves that to the provider.
        subject: Whose token it is, to keep several people's apart in a store; by default a digest of the token.
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
        self._check_parameters(provider, self.grant_type)
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
        return {**fields, **self._parameter_fields(provider)}


@attrs.frozen(kw_only=True)
class JwtBearer(GrantParameters):
    """A signed JWT, exchanged for a token (RFC 7523 §2.1).

    Args:
        assertion: The JWT, or a callable that returns a new one each time: assertions live for minutes, and some
            providers take each only once.
        subject: Whose token it is, to keep several people's apart in a store; by default a digest of the assertion.
    """

    grant_type: ClassVar[str] = "urn:ietf:params:oauth:grant-type:jwt-bearer"
    assertion: Secret = attrs.field(repr=hide)
    subject: str | None = attrs.field(default=attrs.Factory(lambda self: digest(self.assertion), takes_self=True))

    def check(self, provider: Provider) -> None:
        """Require the assertion."""
        self._check_parameters(provider, self.grant_type)
        require_set("the jwt-bearer grant", "assertion", self.assertion, "a JWT, or a callable that returns one")

    def fields(self, provider: Provider) -> Fields:
        """Return the assertion."""
        return {"assertion": reveal(self.assertion, field="grant.assertion"), **self._parameter_fields(provider)}


@attrs.frozen(kw_only=True)
class SamlBearer(GrantParameters):
    """A signed SAML assertion, exchanged for a token (RFC 7522 §2.1); the platform's own form is `Saml2Bearer`.

    Args:
        assertion: XML or Base64 of it, the path of a file that holds it, or a callable that returns it. A file or a
            callable is asked for each token; an assertion given as bytes lasts until its `NotOnOrAfter`.
        subject: Whose token it is, to keep several people's apart in a store; by default a digest of the assertion or
            of its path.
    """

    grant_type: ClassVar[str] = "urn:ietf:params:oauth:grant-type:saml2-bearer"
    assertion: Document = attrs.field(repr=hide)
    subject: str | None = attrs.field(default=attrs.Factory(lambda self: digest(self.assertion), takes_self=True))

    @property
    def ends_at(self) -> dt.datetime | None:
        """The earliest `NotOnOrAfter` of an assertion that was given as it is; None where it is had anew each time."""
        return document_ends_at(self.assertion, field="grant.assertion") if is_at_hand(self.assertion) else None

    def check(self, provider: Provider) -> None:
        """Require a sound assertion where it is at hand."""
        self._check_parameters(provider, self.grant_type)
        require_document(self.assertion, field="grant.assertion")
        if is_at_hand(self.assertion):
            encode_document(self.assertion, field="grant.assertion")

    def fields(self, provider: Provider) -> Fields:
        """Return the assertion in the alphabet that is safe in URLs, unpadded (RFC 7522 §2.1)."""
        text = encode_document(self.assertion, field="grant.assertion")
        assertion = text.translate(str.maketrans("+/", "-_")).rstrip("=")
        return {"assertion": assertion, **self._parameter_fields(provider)}


@attrs.frozen(kw_only=True)
class DeviceCode(GrantParameters):
    """A login on another device (RFC 8628), for programs without a browser; `seic.DeviceLogin` carries it out.

    It asks for no token by itself: the login returns the grant that does.
    """

    grant_type: ClassVar[str] = "urn:ietf:params:oauth:grant-type:device_code"
    device_code: str | None = attrs.field(default=None, repr=hide)

    @property
    def is_repeatable(self) -> bool:
        """Never: a person has to log in."""
        return False

    def check(self, provider: Provider) -> None:
        """Require a place where the login begins."""
        self._check_parameters(provider, self.grant_type)
        provider.require("device_authorization_url", "the device grant")

    def asking(self, provider: Provider) -> Fields:
        """Return what the login itself asks for."""
        return self._parameter_fields(provider)

    def fields(self, provider: Provider) -> Fields:
        """Return the code that the login was given."""
        if self.device_code is None:
            raise ConfigurationError(
                "grant: a device code is had by seic.DeviceLogin.begin(config); use the grant that finish() returns",
                field="grant",
            )
        return {"device_code": self.device_code}


@attrs.frozen(kw_only=True)
class ExistingToken(GrantParameters):
    """A token that was had in another way: it serves while it lives, and then its refresh token does.

    Args:
        token: The token.
        subject: Whose token it is, to keep several people's apart in a store; by default a digest of its secret.
    """

    grant_type: ClassVar[str] = "refresh_token"
    token: Token = attrs.field(repr=hide)
    subject: str | None = attrs.field(default=attrs.Factory(lambda self: _digest_of(self.token), takes_self=True))

    @property
    def is_repeatable(self) -> bool:
        """Never: only who gave the token can give another."""
        return False

    def check(self, provider: Provider) -> None:
        """Require a token, and nothing of the refresh that the provider does not know."""
        if not isinstance(self.token, Token):
            raise ConfigurationError("grant.token: must be a seic.Token", field="grant.token")
        # Whether the provider offers a refresh is another question: the token serves without.
        self._check_wishes(provider)

    def fields(self, provider: Provider) -> Fields:
        """Return its refresh token."""
        return {"refresh_token": self.token.refresh_token or "", **self._parameter_fields(provider)}


def _digest_of(token: object) -> str | None:
    # Whatever else stands there is found fault with by the check.
    return digest(token.refresh_token or token.access_token) if isinstance(token, Token) else None


def _token_type(name: str) -> str:
    return name if ":" in name else _TOKEN_TYPE + name

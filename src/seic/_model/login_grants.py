"""The grants of a user's login: passwords, codes, session tokens and SAML documents."""

from __future__ import annotations

import datetime as dt
from typing import ClassVar, Self

import attrs

from seic._errors import ConfigurationError
from seic._model.grant_parameters import Fields, GrantParameters, require_set
from seic._model.grants import SAML2_BEARER
from seic._model.provider import Provider
from seic._model.saml import SamlDocument, document_ends_at, encode_document, is_inline, require_document
from seic._model.secret import Secret, digest, hide, reveal
from seic._public import publish
from seic._values import frozen


@frozen(kw_only=True)
class Password(GrantParameters):
    """A user's own name and password (RFC 6749 §4.3).

    Args:
        username: The user's name.
        password: The user's password, or a callable that returns it.
    """

    grant_type: ClassVar[str] = "password"
    username: str
    password: Secret = attrs.field(repr=hide)

    def check(self, provider: Provider) -> None:
        """Require both."""
        super().check(provider)
        require_set("the password grant", "username", self.username, "a username")
        require_set("the password grant", "password", self.password, "a password, or a callable that returns one")

    def fields(self, provider: Provider) -> Fields:
        """Return name and password."""
        return {
            "username": self.username,
            "password": reveal(self.password, field="grant.password"),
            **super().fields(provider),
        }


@frozen(kw_only=True)
class AuthorizationCode(GrantParameters):
    """The code that a login returned (RFC 6749 §4.1): valid for one token request, at some providers for seconds.

    Args:
        code: The code, or a callable that makes the user log in and returns a new one.
        redirect_uri: The redirect URI of the login, exactly as it was sent there (§4.1.3).
        code_verifier: The secret of the login's code challenge (RFC 7636 §4.5).
        subject: The user whose token it is, to keep users apart in a store; by default a digest of the code.
    """

    grant_type: ClassVar[str] = "authorization_code"
    code: Secret = attrs.field(repr=hide)
    redirect_uri: str | None = None
    code_verifier: str | None = attrs.field(default=None, repr=hide)
    subject: str | None = attrs.field(default=attrs.Factory(lambda self: digest(self.code), takes_self=True))

    @property
    def is_repeatable(self) -> bool:
        """Whether a callable supplies another code."""
        return callable(self.code)

    @property
    def single_use_secret(self) -> str | None:
        """The code."""
        return self.code or None if isinstance(self.code, str) else None

    def resolve(self) -> Self:
        """Return the grant with its code as a string."""
        return attrs.evolve(self, code=reveal(self.code, field="grant.code"))

    def check(self, provider: Provider) -> None:
        """Require the code, and refuse a verifier that the provider does not take."""
        super().check(provider)
        require_set("the authorization_code grant", "code", self.code, "the code that the login returned")
        if self.code_verifier is not None and not provider.takes_pkce:
            raise ConfigurationError(
                f"grant.code_verifier: {provider.name} is not known to take PKCE; leave it out, or set "
                "provider.takes_pkce",
                field="grant.code_verifier",
            )

    def fields(self, provider: Provider) -> Fields:
        """Return the code, the redirect URI and the verifier."""
        fields = {"code": reveal(self.code, field="grant.code")}
        if self.redirect_uri is not None and provider.redirect_on_token_call:
            fields[provider.redirect_field] = self.redirect_uri
        if self.code_verifier is not None:
            fields["code_verifier"] = self.code_verifier
        return {**fields, **super().fields(provider)}


@frozen(kw_only=True)
class SessionToken(GrantParameters):
    """An existing session, exchanged for a token (the gateway's `sessionToken`).

    SEI's documents do not name the form field: `Provider.session_token_field` must be set.

    Args:
        session_token: The session's token, or a callable that returns the current one.
        subject: The user whose session it is, to keep users apart in a store; by default a digest of the token.
    """

    grant_type: ClassVar[str] = "sessionToken"
    session_token: Secret = attrs.field(repr=hide)
    subject: str | None = attrs.field(default=attrs.Factory(lambda self: digest(self.session_token), takes_self=True))

    def check(self, provider: Provider) -> None:
        """Require the token and the name of its field."""
        super().check(provider)
        require_set("the sessionToken grant", "session_token", self.session_token, "the session's token")
        provider.require("session_token_field", "the sessionToken grant")

    def fields(self, provider: Provider) -> Fields:
        """Return the token under the provider's name for it."""
        field = provider.require("session_token_field", "the sessionToken grant")
        return {field: reveal(self.session_token, field="grant.session_token"), **super().fields(provider)}


@frozen(kw_only=True)
class Saml2Bearer(GrantParameters):
    """A signed SAML document, exchanged for a token (the platform's `saml2-bearer`); give exactly one of the two.

    Each is XML or Base64 of it, the path of a file that holds it, or a callable that returns it. A file is read and a
    callable is called for each token request; a document given as bytes is valid until its `NotOnOrAfter`.

    Args:
        saml_response: The whole response (`SAMLResponse`).
        saml_assertion: The assertion alone (`SAMLAssertion`).
        subject: The user whose token it is, to keep users apart in a store; by default a digest of the document or of
            its path.
    """

    grant_type: ClassVar[str] = SAML2_BEARER
    saml_response: SamlDocument | None = attrs.field(default=None, repr=hide)
    saml_assertion: SamlDocument | None = attrs.field(default=None, repr=hide)
    subject: str | None = attrs.field(
        default=attrs.Factory(lambda self: digest(self.saml_response or self.saml_assertion), takes_self=True)
    )

    @property
    def ends_at(self) -> dt.datetime | None:
        """The earliest `NotOnOrAfter` of a document that was given inline; None for a file or a callable."""
        _, field, source = self._given()
        return document_ends_at(source, field=field) if is_inline(source) else None

    def check(self, provider: Provider) -> None:
        """Require exactly one document, and check one that was given inline."""
        super().check(provider)
        _, field, source = self._given()
        require_document(source, field=field)
        if is_inline(source):
            encode_document(source, field=field)

    def fields(self, provider: Provider) -> Fields:
        """Return the document in Base64."""
        name, field, source = self._given()
        return {name: encode_document(source, field=field), **super().fields(provider)}

    def _given(self) -> tuple[str, str, SamlDocument]:
        given: list[tuple[str, str, SamlDocument]] = [
            (name, field, source)
            for name, field, source in (
                ("SAMLResponse", "grant.saml_response", self.saml_response),
                ("SAMLAssertion", "grant.saml_assertion", self.saml_assertion),
            )
            if source is not None
        ]
        if len(given) != 1:
            raise ConfigurationError(
                "grant.saml_response: exactly one of saml_response and saml_assertion is needed, not "
                f"{'both' if given else 'neither'}",
                field="grant.saml_response",
            )
        return given[0]


publish("seic", ["AuthorizationCode", "Password", "Saml2Bearer", "SessionToken"], globals())

"""The grants: how a token is asked for (RFC 6749 §4), each a small value that knows its own form fields.

A grant knows how to be used again: what changes from one time to the next (a password, an assertion) may be a callable,
and a grant that can be used once only says so.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import ClassVar, Protocol, TypeAlias

import attrs

from seic._errors import ConfigurationError
from seic._model.provider import Provider
from seic._model.saml import Document, document_ends_at, encode_document, is_at_hand, require_document
from seic._model.secrecy import Unpicklable, hide
from seic._model.secret import Secret, digest, is_set, reveal

#: The platform's name of the SAML grant; the word `client-assertion-type` in it is the platform's own.
SAML2_BEARER = "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"


# What is sent as it stands, whichever grant has it.
_TEXTS = (
    "scope",
    "audience",
    "username",
    "subject",
    "redirect_uri",
    "code_verifier",
    "subject_token_type",
    "actor_token_type",
    "requested_token_type",
)


#: A form's fields; one with several values stands in the form once for each.
Fields: TypeAlias = Mapping[str, "str | tuple[str, ...]"]


class Grant(Protocol):
    """What every grant offers."""

    #: The `grant_type` of the form.
    grant_type: ClassVar[str]
    #: Whether its tokens are renewed by their refresh tokens, where they come with any.
    is_refreshed: ClassVar[bool]

    @property
    def is_repeatable(self) -> bool:
        """Whether it can ask for another token after the first."""
        ...

    @property
    def ends_at(self) -> dt.datetime | None:
        """When what it carries stops being accepted, where that is known beforehand."""
        ...

    def check(self, provider: Provider) -> None:
        """Raise ConfigurationError where the grant cannot work at the provider."""
        ...

    def fields(self, provider: Provider) -> Fields:
        """Return the form's fields beside `grant_type`, named as the provider names them; callables are asked here."""
        ...


def _resources(resource: str | Sequence[str] | None) -> str | tuple[str, ...] | None:
    # Whatever else stands there is found fault with by the check.
    return tuple(resource) if isinstance(resource, Sequence) and not isinstance(resource, str) else resource


@attrs.frozen(kw_only=True)
class GrantParameters(Unpicklable):
    """What every grant may ask for, beside what proves it.

    Args:
        scope: The scopes, separated by spaces (RFC 6749 §3.3).
        audience: For whom the token is, where the provider knows such a field.
        resource: For which resource the token is, an absolute URI, or for which ones (RFC 8707).
        end_other_sessions: Whether to end the account's other sessions (the platform's `endOtherSessions`), at the
            price of whoever works in them.
    """

    is_refreshed: ClassVar[bool] = True
    scope: str | None = None
    audience: str | None = None
    resource: str | tuple[str, ...] | None = attrs.field(default=None, converter=_resources)
    end_other_sessions: bool = False

    @property
    def is_repeatable(self) -> bool:
        """True: most grants carry nothing that is spent by its use."""
        return True

    @property
    def ends_at(self) -> dt.datetime | None:
        """None: most grants carry nothing that shows its end."""
        return None

    def _check_parameters(self, provider: Provider, grant_type: str) -> None:
        if provider.grants is not None and grant_type not in provider.grants:
            raise ConfigurationError(
                f"grant: {provider.name} does not offer {grant_type}; it offers {', '.join(sorted(provider.grants))}",
                field="grant",
            )
        self._check_wishes(provider)

    def _check_wishes(self, provider: Provider) -> None:
        for name in _TEXTS:
            value = getattr(self, name, None)
            if value is not None and not isinstance(value, str):
                raise _unlike(name, "a text", value)
        self._check_resource()
        if self.end_other_sessions and provider.end_other_sessions_field is None:
            raise ConfigurationError(
                f"grant.end_other_sessions: {provider.name} has no such thing; leave it out",
                field="grant.end_other_sessions",
            )

    def _check_resource(self) -> None:
        if self.resource is None:
            return
        resources = self.resource if isinstance(self.resource, tuple) else (self.resource,)
        for each in resources:
            if not isinstance(each, str):
                raise _unlike("resource", "a text, or several", each)
        if not resources or not all(map(_is_resource, resources)):
            raise ConfigurationError(
                "grant.resource: must be an absolute URI without a fragment, or several (RFC 8707 §2)",
                field="grant.resource",
            )

    def _parameter_fields(self, provider: Provider) -> Fields:
        stated = {"scope": self.scope, "audience": self.audience, "resource": self.resource}
        fields: dict[str, str | tuple[str, ...]] = {name: value for name, value in stated.items() if value is not None}
        if self.end_other_sessions and provider.end_other_sessions_field is not None:
            fields[provider.end_other_sessions_field] = "true"
        return fields


def _is_resource(text: str) -> bool:
    scheme, colon, rest = text.partition(":")
    return bool(colon and rest) and scheme[:1].isalpha() and text.isprintable() and not set("# ") & set(text)


def _unlike(field: str, wanted: str, value: object) -> ConfigurationError:
    # The value stays unsaid: it may be a secret.
    return ConfigurationError(f"grant.{field}: must be {wanted}, not {type(value).__name__}", field=f"grant.{field}")


def require_set(grant: str, field: str, secret: object, what: str) -> None:
    """Raise ConfigurationError where a secret is neither a text nor a callable."""
    if not is_set(secret):
        if secret is not None and not isinstance(secret, str):
            raise _unlike(field, "a text, or a callable that returns one", secret)
        raise ConfigurationError(f"grant.{field}: {grant} needs {what}", field=f"grant.{field}")


@attrs.frozen(kw_only=True)
class ClientCredentials(GrantParameters):
    """The client asks for itself (RFC 6749 §4.4); SEI's dialects add a service account.

    Such a token is never refreshed: a new one is minted (§4.4.3, and SEI's authorization guide).

    Args:
        username: The service account, for providers whose form carries one; with a client certificate its CN must be
            this name at SEI.
        password: The account's password, or a callable that returns it.
    """

    grant_type: ClassVar[str] = "client_credentials"
    is_refreshed: ClassVar[bool] = False
    username: str | None = None
    password: Secret | None = attrs.field(default=None, repr=hide)

    def check(self, provider: Provider) -> None:
        """Require the service account exactly where the provider's form has a field for it."""
        self._check_parameters(provider, self.grant_type)
        if provider.username_field is None:
            if self.username is not None or self.password is not None:
                raise ConfigurationError(
                    f"grant.username: {provider.name} has no service account in client_credentials; leave username "
                    "and password out",
                    field="grant.username",
                )
            return
        # In the provider's own word for the account, which may be an email address.
        for field, word, value in (
            ("username", provider.username_field, self.username),
            ("password", "password", self.password),
        ):
            require_set(provider.name, field, value, f"the {word} of a service account in client_credentials")

    def fields(self, provider: Provider) -> Fields:
        """Return the service account's fields, or none."""
        if provider.username_field is None or self.username is None or self.password is None:
            return self._parameter_fields(provider)
        return {
            provider.username_field: self.username,
            "password": reveal(self.password, field="grant.password"),
            **self._parameter_fields(provider),
        }


@attrs.frozen(kw_only=True)
class Password(GrantParameters):
    """A person's own name and password (RFC 6749 §4.3).

    Args:
        username: The person's name.
        password: The person's password, or a callable that returns it.
    """

    grant_type: ClassVar[str] = "password"
    username: str
    password: Secret = attrs.field(repr=hide)

    def check(self, provider: Provider) -> None:
        """Require both."""
        self._check_parameters(provider, self.grant_type)
        require_set("the password grant", "username", self.username, "a username")
        require_set("the password grant", "password", self.password, "a password, or a callable that returns one")

    def fields(self, provider: Provider) -> Fields:
        """Return name and password."""
        return {
            "username": self.username,
            "password": reveal(self.password, field="grant.password"),
            **self._parameter_fields(provider),
        }


@attrs.frozen(kw_only=True)
class RefreshToken(GrantParameters):
    """A refresh token that the user holds already (RFC 6749 §6).

    Providers rotate it: the token that comes back carries the next one, and the one that was sent is dead.

    Args:
        refresh_token: The token, or a callable that returns the current one.
        subject: Whose token it is, to keep several people's apart in a store; by default a digest of the token.
    """

    grant_type: ClassVar[str] = "refresh_token"
    refresh_token: Secret = attrs.field(repr=hide)
    subject: str | None = attrs.field(default=attrs.Factory(lambda self: digest(self.refresh_token), takes_self=True))

    @property
    def is_repeatable(self) -> bool:
        """Only a callable can supply the one that is current."""
        return callable(self.refresh_token)

    def check(self, provider: Provider) -> None:
        """Require the token."""
        self._check_parameters(provider, self.grant_type)
        require_set("the refresh_token grant", "refresh_token", self.refresh_token, "a refresh token")

    def fields(self, provider: Provider) -> Fields:
        """Return the token."""
        return {
            "refresh_token": reveal(self.refresh_token, field="grant.refresh_token"),
            **self._parameter_fields(provider),
        }


@attrs.frozen(kw_only=True)
class AuthorizationCode(GrantParameters):
    """The code that a login brought back (RFC 6749 §4.1): good for one token call, on some providers for seconds only.

    Args:
        code: The code, or a callable that has a person log in and returns a new one.
        redirect_uri: Where the login returned to, exactly as it was asked for (§4.1.3).
        code_verifier: The secret behind the login's code challenge (RFC 7636 §4.5).
        subject: Whose token it is, to keep several people's apart in a store; by default a digest of the code.
    """

    grant_type: ClassVar[str] = "authorization_code"
    code: Secret = attrs.field(repr=hide)
    redirect_uri: str | None = None
    code_verifier: str | None = attrs.field(default=None, repr=hide)
    subject: str | None = attrs.field(default=attrs.Factory(lambda self: digest(self.code), takes_self=True))

    @property
    def is_repeatable(self) -> bool:
        """Only a callable can supply another code."""
        return callable(self.code)

    def check(self, provider: Provider) -> None:
        """Require the code, and a verifier only where the provider takes one."""
        self._check_parameters(provider, self.grant_type)
        require_set("the authorization_code grant", "code", self.code, "the code that the login returned")
        if self.code_verifier is not None and not provider.takes_pkce:
            raise ConfigurationError(
                f"grant.code_verifier: {provider.name} is not known to take PKCE; leave it out, or set "
                "provider.takes_pkce",
                field="grant.code_verifier",
            )

    def fields(self, provider: Provider) -> Fields:
        """Return the code and what it is bound to."""
        fields = {"code": reveal(self.code, field="grant.code")}
        if self.redirect_uri is not None and provider.redirect_on_token_call:
            fields[provider.redirect_field] = self.redirect_uri
        if self.code_verifier is not None:
            fields["code_verifier"] = self.code_verifier
        return {**fields, **self._parameter_fields(provider)}


@attrs.frozen(kw_only=True)
class SessionToken(GrantParameters):
    """A session that exists already, exchanged for a token (the gateway's `sessionToken`).

    No document names the form's field: `Provider.session_token_field` has to be set.

    Args:
        session_token: The session's token, or a callable that returns the current one.
        subject: Whose session it is, to keep several people's apart in a store; by default a digest of the token.
    """

    grant_type: ClassVar[str] = "sessionToken"
    session_token: Secret = attrs.field(repr=hide)
    subject: str | None = attrs.field(default=attrs.Factory(lambda self: digest(self.session_token), takes_self=True))

    def check(self, provider: Provider) -> None:
        """Require the token and the name of its field."""
        self._check_parameters(provider, self.grant_type)
        require_set("the sessionToken grant", "session_token", self.session_token, "the session's token")
        provider.require("session_token_field", "the sessionToken grant")

    def fields(self, provider: Provider) -> Fields:
        """Return the token under the provider's name for it."""
        field = provider.require("session_token_field", "the sessionToken grant")
        return {field: reveal(self.session_token, field="grant.session_token"), **self._parameter_fields(provider)}


@attrs.frozen(kw_only=True)
class Saml2Bearer(GrantParameters):
    """A signed SAML document, exchanged for a token (the platform's `saml2-bearer`); exactly one of the two is given.

    Each is XML or Base64 of it, the path of a file that holds it, or a callable that returns it. Files and callables
    are asked for each token, and so renew themselves; a document given as bytes lasts until its `NotOnOrAfter`.

    Args:
        saml_response: The whole response (`SAMLResponse`).
        saml_assertion: The assertion alone (`SAMLAssertion`).
        subject: Whose token it is, to keep several people's apart in a store; by default a digest of the document or of
            its path.
    """

    grant_type: ClassVar[str] = SAML2_BEARER
    saml_response: Document | None = attrs.field(default=None, repr=hide)
    saml_assertion: Document | None = attrs.field(default=None, repr=hide)
    subject: str | None = attrs.field(
        default=attrs.Factory(lambda self: digest(self.saml_response or self.saml_assertion), takes_self=True)
    )

    @property
    def ends_at(self) -> dt.datetime | None:
        """The earliest `NotOnOrAfter` of a document that was given as it is; None where it is had anew each time."""
        _, field, source = self._given()
        return document_ends_at(source, field=field) if is_at_hand(source) else None

    def check(self, provider: Provider) -> None:
        """Require exactly one document, and a sound one where it is at hand."""
        self._check_parameters(provider, self.grant_type)
        _, field, source = self._given()
        require_document(source, field=field)
        if is_at_hand(source):
            encode_document(source, field=field)

    def fields(self, provider: Provider) -> Fields:
        """Return the document in Base64."""
        name, field, source = self._given()
        return {name: encode_document(source, field=field), **self._parameter_fields(provider)}

    def _given(self) -> tuple[str, str, Document]:
        given: list[tuple[str, str, Document]] = [
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

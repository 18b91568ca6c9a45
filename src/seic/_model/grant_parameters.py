"""The interface of grants, and the base of seic's own: common parameters, and the rules of using a grant again."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import ClassVar, Protocol, Self, TypeAlias

import attrs

from seic._errors import ConfigurationError
from seic._model.provider import Provider
from seic._model.secret import Unpicklable, digest, is_set
from seic._model.token import Token
from seic._public import publish
from seic._values import frozen

# Attributes that are strings in every grant that has them.
_STRINGS = (
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


#: The fields of a form; a field with several values is sent once for each.
Fields: TypeAlias = Mapping[str, "str | tuple[str, ...]"]


class Grant(Protocol):
    """The interface of every grant; an object of your own that has it can be used as `Config(grant=...)`."""

    #: The `grant_type` of the form.
    grant_type: ClassVar[str]
    #: Whether its tokens are renewed with their refresh tokens, if they come with any.
    is_refreshed: ClassVar[bool]

    @property
    def is_repeatable(self) -> bool:
        """Whether it can request another token after the first."""
        ...

    @property
    def ends_at(self) -> dt.datetime | None:
        """Expiry of the document that it carries; None if it is not known in advance."""
        ...

    def check(self, provider: Provider) -> None:
        """Raise ConfigurationError if the grant cannot work at the provider."""
        ...

    def fields(self, provider: Provider) -> Fields:
        """Return the form's fields except `grant_type`, named as the provider names them; callables are called here."""
        ...


def _resources(resource: str | Sequence[str] | None) -> str | tuple[str, ...] | None:
    # `check` reports any other type.
    return tuple(resource) if isinstance(resource, Sequence) and not isinstance(resource, str) else resource


# A type, not its text: attrs copies it into constructors of other modules, which do not know the names in it.
_resources.__annotations__["resource"] = str | Sequence[str] | None


@frozen(kw_only=True)
class GrantParameters(Unpicklable):
    """Base of seic's grants: the parameters that each of them has, and how it is used again.

    Args:
        scope: The scopes, separated by spaces (RFC 6749 §3.3).
        audience: The audience of the token, if the provider knows such a field.
        resource: The resource that the token is for, an absolute URI, or several (RFC 8707).
        end_other_sessions: End the account's other sessions (the platform's `endOtherSessions`), including any in which
            somebody is working.
    """

    grant_type: ClassVar[str] = ""
    is_refreshed: ClassVar[bool] = True
    scope: str | None = None
    audience: str | None = None
    resource: str | tuple[str, ...] | None = attrs.field(default=None, converter=_resources)
    end_other_sessions: bool = False

    @property
    def is_repeatable(self) -> bool:
        """True: most grants carry nothing that works only once."""
        return True

    @property
    def ends_at(self) -> dt.datetime | None:
        """None: most grants carry nothing that shows its expiry."""
        return None

    @property
    def existing_token(self) -> Token | None:
        """The token that the grant starts with; None if it has to be requested."""
        return None

    @property
    def single_use_secret(self) -> str | None:
        """The refresh token or code that a request with this grant uses up; None if there is none, or a callable."""
        return None

    @property
    def login_id(self) -> str | None:
        """A digest of `single_use_secret`, which tells one login of a user from the next."""
        secret = self.single_use_secret
        return None if secret is None else digest(secret)

    def check(self, provider: Provider) -> None:
        """Require that the provider offers this grant and takes its parameters."""
        if provider.grants is not None and self.grant_type not in provider.grants:
            raise ConfigurationError(
                f"grant: {provider.name} does not offer {self.grant_type}; it offers "
                f"{', '.join(sorted(provider.grants))}",
                field="grant",
            )
        self.check_parameters(provider)

    def check_parameters(self, provider: Provider) -> None:
        """Require parameters of the right types, and none that the provider does not know."""
        for name in _STRINGS:
            value = getattr(self, name, None)
            if value is not None and not isinstance(value, str):
                raise _unlike(name, "a string", value)
        self._check_resource()
        if self.end_other_sessions and provider.end_other_sessions_field is None:
            raise ConfigurationError(
                f"grant.end_other_sessions: {provider.name} has no such parameter; leave it out",
                field="grant.end_other_sessions",
            )

    def _check_resource(self) -> None:
        if self.resource is None:
            return
        resources = self.resource if isinstance(self.resource, tuple) else (self.resource,)
        for each in resources:
            if not isinstance(each, str):
                raise _unlike("resource", "a string, or several", each)
        if not resources or not all(map(_is_resource, resources)):
            raise ConfigurationError(
                "grant.resource: must be an absolute URI without a fragment, or several (RFC 8707 §2)",
                field="grant.resource",
            )

    def fields(self, provider: Provider) -> Fields:
        """Return the fields of the parameters that are set."""
        parameters = {"scope": self.scope, "audience": self.audience, "resource": self.resource}
        fields: dict[str, str | tuple[str, ...]] = {
            name: value for name, value in parameters.items() if value is not None
        }
        if self.end_other_sessions and provider.end_other_sessions_field is not None:
            fields[provider.end_other_sessions_field] = "true"
        return fields

    def resolve(self) -> Self:
        """Return the grant with its single-use secret as a string, so that it is known before it is sent.

        A callable is called here.

        Raises:
            ConfigurationError: The callable failed, or did not return a string.
        """
        return self

    def keep_refresh_token(self, token: Token, *, previous: Token | None) -> Token:
        """Return a token that this grant obtained, with the refresh token that stays valid.

        Args:
            token: The new token.
            previous: The token before, for the rest of the refresh token's lifetime.
        """
        return token

    def login_required_reason(self, now: float) -> str | None:
        """Return the reason why the grant cannot request a token by itself; None if it can.

        Args:
            now: Seconds since the epoch.
        """
        ends_at = self.ends_at
        if ends_at is None or ends_at.timestamp() > now:
            return None
        return f"the grant's document expired at {ends_at.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S} UTC"


@frozen
class CustomGrant(GrantParameters):
    """A user's own grant, with the methods of `GrantParameters` that the protocol `Grant` does not have.

    Args:
        grant: The user's grant.
    """

    grant: Grant = attrs.field(kw_only=False)

    @property
    def grant_type(self) -> str:  # type: ignore[override]
        """As the user's grant has it."""
        return self.grant.grant_type

    @property
    def is_refreshed(self) -> bool:  # type: ignore[override]
        """As the user's grant has it."""
        return self.grant.is_refreshed

    @property
    def is_repeatable(self) -> bool:
        """As the user's grant has it."""
        return self.grant.is_repeatable

    @property
    def ends_at(self) -> dt.datetime | None:
        """As the user's grant has it."""
        return self.grant.ends_at

    def check(self, provider: Provider) -> None:
        """Check as the user's grant does."""
        self.grant.check(provider)

    def fields(self, provider: Provider) -> Fields:
        """Return the fields of the user's grant."""
        return self.grant.fields(provider)


def as_grant_parameters(grant: Grant) -> GrantParameters:
    """Return a grant that has every method of `GrantParameters`; a user's own grant is wrapped."""
    return grant if isinstance(grant, GrantParameters) else CustomGrant(grant)


def _is_resource(text: str) -> bool:
    scheme, colon, rest = text.partition(":")
    return bool(colon and rest) and scheme[:1].isalpha() and text.isprintable() and not set("# ") & set(text)


def _unlike(field: str, wanted: str, value: object) -> ConfigurationError:
    # Without the value: it may be a secret.
    return ConfigurationError(f"grant.{field}: must be {wanted}, not {type(value).__name__}", field=f"grant.{field}")


def require_set(grant: str, field: str, secret: object, what: str) -> None:
    """Raise ConfigurationError if a secret is neither a non-empty string nor a callable."""
    if not is_set(secret):
        if secret is not None and not isinstance(secret, str):
            raise _unlike(field, "a string, or a callable that returns one", secret)
        raise ConfigurationError(f"grant.{field}: {grant} needs {what}", field=f"grant.{field}")


publish("seic", ["Grant"], globals())

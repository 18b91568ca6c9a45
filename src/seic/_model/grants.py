"""The grants: how a token is asked for (RFC 6749 §4), each a small value that knows its own form fields."""

from __future__ import annotations

from typing import ClassVar, Protocol

import attrs

from seic._errors import ConfigurationError
from seic._model.provider import Provider
from seic._model.secrecy import Secretive, hide


class Grant(Protocol):
    """What every grant offers."""

    @property
    def grant_type(self) -> str:
        """The `grant_type` of the form."""
        ...

    def check(self, provider: Provider) -> None:
        """Raise ConfigurationError where the grant cannot work at the provider."""
        ...

    def fields(self, provider: Provider) -> dict[str, str]:
        """Return the form's fields beside `grant_type`, named as the provider names them."""
        ...


@attrs.frozen(kw_only=True)
class ClientCredentials(Secretive):
    """The client asks for itself (RFC 6749 §4.4); SEI's dialects add a service account.

    Such a token is never refreshed: a new one is minted (§4.4.3, and SEI's authorization guide).

    Args:
        username: The service account, for providers whose form carries one; with a client certificate its CN must be
            this name at SEI.
        password: The account's password.
    """

    grant_type: ClassVar[str] = "client_credentials"
    username: str | None = None
    password: str | None = attrs.field(default=None, repr=hide)

    def check(self, provider: Provider) -> None:
        """Require the service account exactly where the provider's form has a field for it."""
        if provider.username_field is None:
            if self.username is not None or self.password is not None:
                raise ConfigurationError(
                    f"grant.username: {provider.name} has no service account in client_credentials; leave username "
                    "and password out",
                    field="grant.username",
                )
            return
        for field, value in (("username", self.username), ("password", self.password)):
            if not value:
                raise ConfigurationError(
                    f"grant.{field}: {provider.name} needs the {field} of a service account in client_credentials",
                    field=f"grant.{field}",
                )

    def fields(self, provider: Provider) -> dict[str, str]:
        """Return the service account's fields, or none."""
        if provider.username_field is None or self.username is None or self.password is None:
            return {}
        return {provider.username_field: self.username, "password": self.password}

"""`LoginGrant`: the grant of commands that use the login of `seic login`, whose token is in the store."""

from __future__ import annotations

from typing import ClassVar

import attrs

from seic._errors import ConfigurationError
from seic._model.grant_parameters import Fields, GrantParameters
from seic._model.provider import Provider
from seic._model.token import Token


@attrs.frozen(kw_only=True)
class LoginGrant(GrantParameters):
    """A grant that requests nothing by itself: it starts with the stored token, and refreshes it."""

    grant_type: ClassVar[str] = "authorization_code"

    @property
    def is_repeatable(self) -> bool:
        """False: only a person can log in again."""
        return False

    @property
    def existing_token(self) -> Token | None:
        """None: the token is in the store."""
        return None

    def login_required_reason(self, now: float) -> str | None:
        """Say that nobody has logged in."""
        return "nobody has logged in, or the login has ended"

    def check(self, provider: Provider) -> None:
        """Check the parameters; whether the provider has logins is known when one begins."""
        self.check_parameters(provider)

    def fields(self, provider: Provider) -> Fields:
        """Raise: there is nothing to send."""
        raise ConfigurationError("grant: a login is needed; run `seic login`", field="grant")

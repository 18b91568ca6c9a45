"""Authorization codes of the platform: valid for some seconds and for one token request."""

from __future__ import annotations

import secrets
from collections.abc import Callable

import attrs

from seic.sandbox._token_registry import TokenFamily, TokenRegistry

#: Seconds until a code expires on the platform.
_CODE_LIFETIME = 20.0


@attrs.frozen(kw_only=True)
class AuthorizationRequest:
    """The parameters of a login (RFC 6749 §4.1.1).

    Args:
        redirect_url: The redirect URL.
        state: The state, returned with the code.
        scope: The scope.
        code_challenge: The S256 challenge, whose verifier the token request must have (RFC 7636); None without one.
        end_other_sessions: Whether the account's other sessions end.
    """

    redirect_url: str
    state: str
    scope: str
    code_challenge: str | None = None
    end_other_sessions: bool = False


class InvalidCode(Exception):
    """The code cannot be used; the message is a sentence that gives the reason."""


@attrs.define
class _IssuedCode:
    authorization: AuthorizationRequest
    issued: float
    used: bool = False
    family: TokenFamily | None = None


@attrs.frozen(eq=False, repr=False)
class AuthorizationCodes:
    """Issues codes and looks them up; only the server's thread may use it."""

    clock: Callable[[], float]
    registry: TokenRegistry
    _codes: dict[str, _IssuedCode] = attrs.field(factory=dict, init=False)

    def issue(self, authorization: AuthorizationRequest) -> str:
        """Return a new code."""
        code = secrets.token_urlsafe(24)
        self._codes[code] = _IssuedCode(authorization, self.clock())
        return code

    def find(self, code: str) -> AuthorizationRequest:
        """Return the request that a valid code belongs to, without using the code.

        A code that was used before may have been stolen: all tokens that came from it are revoked (RFC 6749 §4.1.2).

        Raises:
            InvalidCode: It is unknown, used or expired.
        """
        issued = self._codes.get(code)
        if issued is None:
            raise InvalidCode("The code is unknown.")
        if issued.used:
            if issued.family is not None:
                self.registry.revoke_family(issued.family)
            raise InvalidCode("The code was used before; all tokens that came from it are now revoked.")
        if self.clock() - issued.issued >= _CODE_LIFETIME:
            raise InvalidCode(f"The code has expired: it is valid for {_CODE_LIFETIME:.0f} seconds.")
        return issued.authorization

    def mark_used(self, code: str, family: TokenFamily | None) -> None:
        """Invalidate a code.

        Args:
            code: A code that was found.
            family: The tokens that came from it; None if the token request failed.
        """
        issued = self._codes[code]
        issued.used = True
        issued.family = family

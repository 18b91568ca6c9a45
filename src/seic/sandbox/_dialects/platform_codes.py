"""Authorization codes: what a person agreed to at a login, good for seconds and for one token call. Knows no HTTP."""

from __future__ import annotations

import secrets
from collections.abc import Callable

import attrs

from seic.sandbox._token_registry import TokenFamily, TokenRegistry

#: Seconds that a code lives on the platform.
CODE_LIFETIME = 20.0


@attrs.frozen(kw_only=True)
class AuthorizationRequest:
    """What a login was begun with, and a person agreed to.

    Args:
        redirect_url: Where the login returns to.
        state: What it brings back there.
        scope: What the application may do.
        code_challenge: The S256 challenge whose verifier the token call has to show (RFC 7636); None for a login
            without one.
        end_other_sessions: Whether the account's other sessions end.
    """

    redirect_url: str
    state: str
    scope: str
    code_challenge: str | None = None
    end_other_sessions: bool = False


class InvalidCode(Exception):
    """The code opens nothing; the message says why, in a sentence."""


@attrs.define
class _IssuedCode:
    authorization: AuthorizationRequest
    issued: float
    used: bool = False
    family: TokenFamily | None = None


class AuthorizationCodes:
    """Issues codes and redeems them; used from the server's thread alone.

    Args:
        clock: Seconds; only differences count.
        registry: Where the family dies that a code led to, should the code be shown again.
    """

    def __init__(self, *, clock: Callable[[], float], registry: TokenRegistry) -> None:
        self._clock = clock
        self._registry = registry
        self._entries: dict[str, _IssuedCode] = {}

    def issue(self, authorization: AuthorizationRequest) -> str:
        """Return a new code."""
        code = secrets.token_urlsafe(24)
        self._entries[code] = _IssuedCode(authorization, self._clock())
        return code

    def look_up(self, code: str) -> AuthorizationRequest:
        """Return what a live code stands for, without using it up.

        A code that was used before has been stolen from somebody: all that came of it dies (RFC 6749 §4.1.2).

        Raises:
            InvalidCode: It is unknown, used or too old.
        """
        entry = self._entries.get(code)
        if entry is None:
            raise InvalidCode("The code is unknown.")
        if entry.used:
            if entry.family is not None:
                self._registry.revoke_family(entry.family)
            raise InvalidCode("The code was used before; all that came of it is dead now.")
        if self._clock() - entry.issued >= CODE_LIFETIME:
            raise InvalidCode("The code is too old: it lives for 20 seconds.")
        return entry.authorization

    def use_up(self, code: str, family: TokenFamily | None) -> None:
        """Have a code that was looked up open nothing again.

        Args:
            code: The code.
            family: What it led to; None where the token call failed.
        """
        entry = self._entries[code]
        entry.used = True
        entry.family = family

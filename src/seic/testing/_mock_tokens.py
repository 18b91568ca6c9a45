"""`MockTokens`: the tokens, refresh tokens and codes of a `MockProvider`."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Callable
from typing import Any, TypeAlias

import attrs

#: Returns a token; its arguments are `access` or `refresh`, and the number of the token.
CreateToken: TypeAlias = Callable[[str, int], str]
#: A code is valid for so many seconds, unless the provider's `code_lifetime` is set.
_CODE_LIFETIME = 60.0


def random_token(_kind: str, _number: int) -> str:
    """Return a token that nobody can guess."""
    return secrets.token_urlsafe(24)


@attrs.frozen
class _MockLogin:
    """The tokens that descend from one login or grant (RFC 9700 §4.14.2).

    Args:
        family: Names the tokens that descend from it.
        username: The user; None for an application.
    """

    family: int
    username: str | None = None


@attrs.frozen
class _Code:
    """A code of a login.

    Args:
        login: The login.
        ends: The end of its validity.
        challenge: The code challenge (RFC 7636); None without one.
    """

    login: _MockLogin
    ends: float
    challenge: str | None


class MockTokens:
    """The valid tokens and their users; refresh tokens rotate, and reuse ends the family (RFC 9700 §4.14.2).

    Attributes:
        issued: All access and refresh tokens and codes, also those that are no longer valid.
        reused: The refresh tokens that came more than once.
    """

    def __init__(self, monotonic: Callable[[], float], create: CreateToken) -> None:
        self.issued: list[str] = []
        self.reused: list[str] = []
        self._monotonic = monotonic
        self._create = create
        self._access: dict[str, tuple[float, _MockLogin]] = {}
        self._refresh: dict[str, _MockLogin] = {}
        self._used: dict[str, _MockLogin] = {}
        self._codes: dict[str, _Code] = {}
        self._used_codes: set[str] = set()
        self._ended: set[int] = set()
        self._families = 0

    def login(self, username: str | None = None) -> _MockLogin:
        """Return a login of its own."""
        self._families += 1
        return _MockLogin(self._families, username)

    def create_access(self, login: _MockLogin, number: int, lifetime: Any) -> str:
        """Return a new access token; a lifetime that is not a number has no end."""
        token = self._create("access", number)
        self.accept_access(token, lifetime, login)
        return token

    def accept_access(self, token: str, lifetime: Any, login: _MockLogin | None = None) -> None:
        """Let an access token be valid."""
        try:
            ends = self._monotonic() + float(lifetime)
        except (TypeError, ValueError, OverflowError):
            ends = float("inf")
        self.issued.append(token)
        self._access[token] = ends, login or self.login()

    def create_refresh(self, login: _MockLogin, number: int) -> str:
        """Return a new refresh token."""
        token = self._create("refresh", number)
        self.accept_refresh(token, login)
        return token

    def accept_refresh(self, token: str, login: _MockLogin | None = None) -> None:
        """Let a refresh token be valid."""
        self.issued.append(token)
        self._refresh[token] = login or self.login()

    def use_refresh(self, token: str, *, rotates: bool) -> _MockLogin | None:
        """Return the login of a refresh token, which can be used once if it rotates; None if it is refused."""
        login = self._refresh.get(token)
        if login is None or login.family in self._ended:
            if (used := self._used.get(token)) is not None:
                self.reused.append(token)
                self._ended.add(used.family)
            return None
        if rotates:
            self._used[token] = self._refresh.pop(token)
        return login

    def create_code(self, username: str, challenge: str | None, lifetime: float | None) -> str:
        """Return the code of a user who logged in."""
        code = secrets.token_hex(8)
        self.issued.append(code)
        ends = self._monotonic() + (_CODE_LIFETIME if lifetime is None else lifetime)
        self._codes[code] = _Code(self.login(username), ends, challenge)
        return code

    def use_code(self, code: str, verifier: str) -> _MockLogin | None:
        """Return the login of a code, which can be used once; None if it is refused. An unknown code is accepted."""
        if code in self._used_codes:
            return None
        self._used_codes.add(code)
        found = self._codes.pop(code, None)
        if found is None:
            return self.login()
        if self._monotonic() >= found.ends:
            return None
        return found.login if found.challenge in {None, _challenge_of(verifier)} else None

    def username_of(self, token: str) -> str | None:
        """Return the user of a valid access token."""
        found = self._access.get(token)
        return None if found is None else found[1].username

    def seconds_left(self, token: str) -> float:
        """Return for how long an access token is valid; 0 or less if it is not."""
        found = self._access.get(token)
        return 0.0 if found is None else found[0] - self._monotonic()

    def revoke(self, token: str) -> bool:
        """End an access or refresh token; return whether it was valid."""
        found = self._access.pop(token, None) or self._refresh.pop(token, None)
        return found is not None

    def revoke_all(self) -> int:
        """End all access tokens; return their number."""
        count = len(self._access)
        self._access.clear()
        return count

    def end_login(self, username: str) -> None:
        """End all tokens of a user."""
        self._access = {token: one for token, one in self._access.items() if one[1].username != username}
        self._refresh = {token: one for token, one in self._refresh.items() if one.username != username}


def _challenge_of(verifier: str) -> str:
    """Return the code challenge of a verifier (RFC 7636 §4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()

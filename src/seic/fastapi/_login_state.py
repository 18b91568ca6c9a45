"""Storage of logins between their two requests: in cookies, or in the application's own session.

A browser may have several logins in progress, one for each tab; each is stored under its own name. `ReplayCache`
remembers which of them were used, because a browser may send again what it was told to delete.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Protocol

import attrs
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

#: Seconds that a user may take to log in at the provider.
LOGIN_TIMEOUT = 600.0
#: The number of `state` values that a process remembers; the oldest is dropped first.
_MAX_STATES = 10_000
#: Limits for the logins in progress of one browser, so that abandoned ones do not fill its cookies: their number, and
#: the characters of their values in all. Servers limit the header with all cookies, some to 8 KiB.
_MAX_LOGINS = 8
_MAX_COOKIES = 6144
#: A session may itself be one cookie of 4096 bytes.
_MAX_SESSION = 2048


def login_state_name(logins: str, state: str) -> str:
    """Return the name under which the login with a `state` is stored.

    Args:
        logins: The name of the `Logins`.
        state: The `state` of the login.
    """
    return f"{logins}-login-{hashlib.sha256(state.encode()).hexdigest()[:16]}"


def _surplus(stored: Mapping[str, str], name: str, value: str, *, limit: int) -> list[str]:
    """Return the names of the oldest logins in progress, which a new one with this name and value displaces.

    Args:
        stored: All that is stored for the browser, the oldest first; browsers send cookies in this order (RFC 6265
            §5.4).
        name: The name of the new login.
        value: Its value.
        limit: The characters of all logins.
    """
    group = name.rpartition("-")[0]
    others = [other for other in stored if other.rpartition("-")[0] == group and other != name]
    size = len(value)
    for kept, other in enumerate(reversed(others), start=1):
        size += len(stored[other])
        if kept >= _MAX_LOGINS or size > limit:
            return others[: len(others) - kept + 1]
    return []


class LoginStateStorage(Protocol):
    """Stores the logins in progress of one browser; the values are encrypted already.

    Each login has its own name, which begins with that of the `Logins`. A login that is not finished is never deleted:
    remove values after 10 minutes.
    """

    def save(self, request: Request, response: Response, name: str, value: str) -> None:
        """Save a value."""
        ...

    def load(self, connection: HTTPConnection, name: str) -> str | None:
        """Return the value, or None."""
        ...

    def delete(self, request: Request, response: Response, name: str) -> None:
        """Delete the value."""
        ...


@attrs.frozen
class CookieStorage:
    """Cookies with HttpOnly, SameSite=Lax and the prefix `__Host-` (RFC 6265bis §4.1.3).

    Lax, because the browser comes back from the provider's site; the prefix, so that no other host of the domain can
    set the cookie. `secure=False` is for plain http on the developer's machine.
    """

    secure: bool = True

    def save(self, request: Request, response: Response, name: str, value: str) -> None:
        """Set the cookie of a login in progress, and delete the oldest if there are too many."""
        for surplus in _surplus(request.cookies, self.full_name(name), value, limit=_MAX_COOKIES):
            self._delete(response, surplus)
        self.set(response, name, value, LOGIN_TIMEOUT)

    def set(self, response: Response, name: str, value: str, max_age: float) -> None:
        """Set a cookie; `max_age` is seconds."""
        response.set_cookie(
            self.full_name(name),
            value,
            max_age=int(max_age),
            path="/",
            secure=self.secure,
            httponly=True,
            samesite="lax",
        )

    def load(self, connection: HTTPConnection, name: str) -> str | None:
        """Return the value of a cookie."""
        return connection.cookies.get(self.full_name(name))

    def delete(self, request: Request, response: Response, name: str) -> None:
        """Tell the browser to delete a cookie."""
        self._delete(response, self.full_name(name))

    def _delete(self, response: Response, full_name: str) -> None:
        response.delete_cookie(full_name, path="/", secure=self.secure, httponly=True, samesite="lax")

    def full_name(self, name: str) -> str:
        """Return the name of a cookie with its prefix."""
        return f"__Host-{name}" if self.secure else name


@attrs.frozen
class SessionStateStorage:
    """The application's own session, `request.session`, as Starlette's SessionMiddleware provides it."""

    def save(self, request: Request, response: Response, name: str, value: str) -> None:
        """Save a value in the session, and delete the oldest if there are too many."""
        stored = {key: value for key, value in request.session.items() if isinstance(value, str)}
        for surplus in _surplus(stored, name, value, limit=_MAX_SESSION):
            del request.session[surplus]
        request.session[name] = value

    def load(self, connection: HTTPConnection, name: str) -> str | None:
        """Return the value from the session."""
        value = connection.session.get(name)
        return value if isinstance(value, str) else None

    def delete(self, request: Request, response: Response, name: str) -> None:
        """Delete the value from the session."""
        request.session.pop(name, None)


class ReplayCache:
    """The `state` values that this process has used, each for `LOGIN_TIMEOUT`.

    Args:
        monotonic: The clock.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        # The oldest first.
        self._expires_at: dict[str, float] = {}

    def add(self, state: str) -> bool:
        """Add a value; return whether it is new."""
        now = self._monotonic()
        while self._expires_at and (
            len(self._expires_at) >= _MAX_STATES or next(iter(self._expires_at.values())) <= now
        ):
            del self._expires_at[next(iter(self._expires_at))]
        if state in self._expires_at:
            return False
        self._expires_at[state] = now + LOGIN_TIMEOUT
        return True

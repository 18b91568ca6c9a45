"""Storage of a login between its two requests: in a cookie, or in the application's own session.

`ReplayCache` remembers which of them were used, because a browser may send again what it was told to delete.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import attrs
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

#: Seconds that a user may take to log in at the provider.
LOGIN_TIMEOUT = 600.0
#: The number of `state` values that a process remembers; the oldest is dropped first.
_MAX_STATES = 10_000


class LoginStateStorage(Protocol):
    """Stores a login in progress for one browser; the values are encrypted already."""

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

    def save(self, request: Request, response: Response, name: str, value: str, max_age: float = LOGIN_TIMEOUT) -> None:
        """Set a cookie; `max_age` is seconds."""
        response.set_cookie(
            self._full_name(name),
            value,
            max_age=int(max_age),
            path="/",
            secure=self.secure,
            httponly=True,
            samesite="lax",
        )

    def load(self, connection: HTTPConnection, name: str) -> str | None:
        """Return the value of a cookie."""
        return connection.cookies.get(self._full_name(name))

    def delete(self, request: Request, response: Response, name: str) -> None:
        """Tell the browser to delete a cookie."""
        response.delete_cookie(self._full_name(name), path="/", secure=self.secure, httponly=True, samesite="lax")

    def _full_name(self, name: str) -> str:
        return f"__Host-{name}" if self.secure else name


@attrs.frozen
class SessionStateStorage:
    """The application's own session, `request.session`, as Starlette's SessionMiddleware provides it."""

    def save(self, request: Request, response: Response, name: str, value: str) -> None:
        """Save a value in the session."""
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

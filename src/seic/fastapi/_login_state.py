"""Where a login under way waits for its callback: a cookie, or the application's own session. What it is, is sealed.

And which of them were used: a browser may bring back what it was told to forget.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

import attrs
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

#: Seconds that a person may take to log in at the provider.
LOGIN_TIMEOUT = 600.0


class LoginStateStorage(Protocol):
    """Where a login under way is kept between its two requests; what is put there is sealed already."""

    def save(self, request: Request, response: Response, name: str, sealed: str) -> None:
        """Keep a text for this browser."""
        ...

    def load(self, connection: HTTPConnection, name: str) -> str | None:
        """Return the text."""
        ...

    def delete(self, request: Request, response: Response, name: str) -> None:
        """Forget the text."""
        ...


@attrs.frozen
class CookieStateStorage:
    """A cookie of its own: HttpOnly, SameSite=Lax, and of this host alone by the prefix `__Host-` (RFC 6265bis §4.1.3).

    Lax and not Strict: the browser comes back from the provider's site. The prefix keeps other hosts of the domain from
    setting it. `secure=False` is for plain http on one's own machine.
    """

    secure: bool = True

    def name_of(self, name: str) -> str:
        """Return the cookie's name."""
        return f"__Host-{name}" if self.secure else name

    def save(
        self, request: Request, response: Response, name: str, sealed: str, max_age: float = LOGIN_TIMEOUT
    ) -> None:
        """Set the cookie."""
        response.set_cookie(
            self.name_of(name),
            sealed,
            max_age=int(max_age),
            path="/",
            secure=self.secure,
            httponly=True,
            samesite="lax",
        )

    def load(self, connection: HTTPConnection, name: str) -> str | None:
        """Return the cookie's text."""
        return connection.cookies.get(self.name_of(name))

    def delete(self, request: Request, response: Response, name: str) -> None:
        """Have the browser forget the cookie."""
        response.delete_cookie(self.name_of(name), path="/", secure=self.secure, httponly=True, samesite="lax")


@attrs.frozen
class SessionStateStorage:
    """The application's own session store, `request.session`, as Starlette's SessionMiddleware provides it."""

    def save(self, request: Request, response: Response, name: str, sealed: str) -> None:
        """Put it into the session."""
        request.session[name] = sealed

    def load(self, connection: HTTPConnection, name: str) -> str | None:
        """Return what is in the session."""
        sealed = connection.session.get(name)
        return sealed if isinstance(sealed, str) else None

    def delete(self, request: Request, response: Response, name: str) -> None:
        """Take it out of the session."""
        request.session.pop(name, None)


class ReplayCache:
    """The states that this worker has used, each for as long as its seal would count.

    Args:
        monotonic: The clock.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic, *, capacity: int = 10_000) -> None:
        self._monotonic = monotonic
        self._capacity = capacity
        # The oldest first.
        self._ends: dict[str, float] = {}

    def add(self, state: str) -> bool:
        """Use a state; return whether it was not used before."""
        now = self._monotonic()
        while self._ends and (len(self._ends) >= self._capacity or next(iter(self._ends.values())) <= now):
            del self._ends[next(iter(self._ends))]
        if state in self._ends:
            return False
        self._ends[state] = now + LOGIN_TIMEOUT
        return True

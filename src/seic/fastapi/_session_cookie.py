"""The cookie that says which session a browser has: encrypted, and valid for one `Logins` at one callback."""

import datetime as dt
import hashlib
from collections.abc import Mapping

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from seic.fastapi._cookie_cipher import CookieCipher, FernetKeys
from seic.fastapi._login_state import LOGIN_TIMEOUT, CookieStorage

#: The longest user name in the cookie: an address is no longer (RFC 5321 §4.5.3.1), and a cookie is limited.
_MAX_NAME = 320


class SessionCookie:
    """Reads and writes the session cookie, and encrypts logins in progress with the same key.

    Args:
        key: See `FernetKeys`.
        name: The name of the `Logins`.
        audience: Tells this application and callback from others with the same key.
        lasts: Seconds after which a session ends.
        storage: The cookies of the browser.
    """

    def __init__(self, key: FernetKeys, *, name: str, audience: str, lasts: float, storage: CookieStorage) -> None:
        self._cipher = CookieCipher(key)
        self._cookie = f"{name}-session"
        # Cookies of another login or callback do not decrypt here.
        self._purpose = hashlib.sha256(audience.encode()).hexdigest()
        self._lasts = lasts
        self._storage = storage

    @property
    def full_name(self) -> str:
        """The name of the cookie."""
        return self._storage.full_name(self._cookie)

    def load(self, connection: HTTPConnection) -> Mapping[str, str] | None:
        """Return `session`, `name` and `since` of the browser's session, or None."""
        value = self._storage.load(connection, self._cookie)
        return self._cipher.decrypt(f"session {self._purpose}", value, max_age=self._lasts)

    def save(self, response: Response, session: str, *, name: object) -> None:
        """Set the cookie of a new session.

        Args:
            response: The response that sets it.
            session: The id of the session.
            name: The name of the user; ignored unless it is a string.
        """
        document = {
            "session": session,
            "name": name[:_MAX_NAME] if isinstance(name, str) else "",
            "since": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        }
        value = self._cipher.encrypt(f"session {self._purpose}", document)
        self._storage.set(response, self._cookie, value, self._lasts)

    def delete(self, request: Request, response: Response) -> None:
        """Tell the browser to delete the cookie."""
        self._storage.delete(request, response, self._cookie)

    def encrypt_login(self, document: dict[str, str]) -> str:
        """Return a login in progress for its storage."""
        return self._cipher.encrypt(f"login {self._purpose}", document)

    def decrypt_login(self, value: str | None) -> Mapping[str, str] | None:
        """Return a login in progress, or None if it is missing, forged or too old."""
        return self._cipher.decrypt(f"login {self._purpose}", value, max_age=LOGIN_TIMEOUT)

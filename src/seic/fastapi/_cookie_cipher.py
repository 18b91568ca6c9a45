"""Seals what a browser keeps for us: encrypted and authenticated, good for one purpose and for a time.

Fernet: AES-128-CBC with HMAC-SHA-256 and a time stamp, by keys that can be rotated.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TypeAlias

from seic._errors import ConfigurationError
from seic._model.secrecy import Unpicklable

#: One key of Fernet's, or several: the first seals, each of them opens.
FernetKeys: TypeAlias = str | bytes | Sequence[str | bytes]

_HINT = 'make one with: python -c "from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())"'


class CookieCipher(Unpicklable):
    """Seals and opens small documents.

    Args:
        keys: See `FernetKeys`.

    Raises:
        ConfigurationError: One is no key.
    """

    def __init__(self, keys: FernetKeys) -> None:
        from cryptography.fernet import Fernet, MultiFernet

        try:
            fernets = [Fernet(key) for key in ([keys] if isinstance(keys, str | bytes) else keys)]
        except (TypeError, ValueError):
            raise ConfigurationError(f"key: must be 32 bytes in URL-safe Base64; {_HINT}", field="key") from None
        if not fernets:
            raise ConfigurationError(f"key: is missing; {_HINT}", field="key")
        self._fernet = MultiFernet(fernets)

    def encrypt(self, purpose: str, document: dict[str, str]) -> str:
        """Return a text that only this seal can read."""
        return self._fernet.encrypt(json.dumps([purpose, document]).encode()).decode("ascii")

    def decrypt(self, purpose: str, sealed: str | None, *, max_age: float) -> dict[str, str] | None:
        """Return what was sealed for a purpose, or None: forged, too old, for another purpose, or nothing at all.

        Args:
            purpose: What it has to be for; a text of one place is worth nothing in another.
            sealed: What the browser sent.
            max_age: Seconds.
        """
        from cryptography.fernet import InvalidToken

        if not sealed:
            return None
        try:
            found = json.loads(self._fernet.decrypt(sealed.encode(), ttl=int(max_age)))
        except InvalidToken:
            return None
        document: dict[str, str] = found[1]
        return document if found[0] == purpose else None

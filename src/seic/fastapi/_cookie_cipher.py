"""Encryption of the values that the browser stores for the application.

Fernet: AES-128-CBC with HMAC-SHA-256 and a time stamp. Keys can be rotated.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TypeAlias

from seic import ConfigurationError
from seic._model.secret import Unpicklable

#: One Fernet key, or several: the first encrypts, each of them decrypts.
FernetKeys: TypeAlias = str | bytes | Sequence[str | bytes]

_HINT = 'make one with: python -c "from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())"'


class CookieCipher(Unpicklable):
    """Encrypts small documents, each for one purpose.

    Args:
        keys: See `FernetKeys`.

    Raises:
        ConfigurationError: There is no key, or one is malformed.
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
        """Return the encrypted document."""
        return self._fernet.encrypt(json.dumps([purpose, document]).encode()).decode("ascii")

    def decrypt(self, purpose: str, encrypted: str | None, *, max_age: float) -> dict[str, str] | None:
        """Return the document, or None if it is missing, forged, too old or was encrypted for another purpose.

        Args:
            purpose: The purpose that `encrypt` was called with.
            encrypted: The value that the browser sent.
            max_age: Seconds since `encrypt`.
        """
        from cryptography.fernet import InvalidToken

        if not encrypted:
            return None
        try:
            found = json.loads(self._fernet.decrypt(encrypted.encode(), ttl=int(max_age)))
        except InvalidToken:
            return None
        document: dict[str, str] = found[1]
        return document if found[0] == purpose else None

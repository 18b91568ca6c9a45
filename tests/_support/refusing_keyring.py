"""A backend of keyring that keeps nothing, and quotes the secret in its error."""

from __future__ import annotations

from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked


class RefusingKeyring(KeyringBackend):
    """A locked keyring."""

    priority = 5

    def get_password(self, service: str, username: str) -> str | None:
        """Return nothing."""
        return None

    def set_password(self, service: str, username: str, password: str) -> None:
        """Raise, with the secret in the message."""
        raise KeyringLocked(f"locked, so {password} is lost")

"""Secrets of a running sandbox that change, as an administrator changes them at a provider."""

from __future__ import annotations

from seic.sandbox import Sandbox


def change_secret(sandbox: Sandbox, *, client_secret: str | None = None, password: str | None = None) -> None:
    """Replace the client secret or the account's password; tokens that were issued stay valid."""
    registration = sandbox._registration  # the object that all dialects check
    for name, secret in (("client_secret", client_secret), ("password", password)):
        if secret is not None:
            # It is frozen, since only tests change it.
            object.__setattr__(registration, name, secret)

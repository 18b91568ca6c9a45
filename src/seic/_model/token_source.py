"""The protocol of everything that gives tokens."""

from __future__ import annotations

from typing import Protocol

from seic._model.token import Token
from seic._model.token_info import TokenInfo
from seic._public import publish


class TokenSource(Protocol):
    """Gives the current access token, and refreshes it when necessary.

    Callers in tasks, threads and event loops share one token request. The methods without a suffix are for async
    code; those with `_sync` block.
    """

    @property
    def current(self) -> Token | None:
        """The token if it is still valid, else None; reading it sends nothing and is not a use of it."""
        ...

    async def token(self, *, force: bool = False) -> Token:
        """Return a valid token, and request one if necessary.

        Args:
            force: Request a new token even if the current one is valid.

        Raises:
            TokenError: No token could be obtained.
            CertificateError: The client certificate cannot be used.
        """
        ...

    def token_sync(self, *, force: bool = False) -> Token:
        """Return a valid token; the blocking twin of `token`."""
        ...

    async def token_info(self) -> TokenInfo:
        """Ask the provider to describe the token (RFC 7662, or the provider's own call).

        Raises:
            ConfigurationError: The provider has no such endpoint.
            TokenError: No token could be obtained, or the provider did not describe it.
        """
        ...

    def token_info_sync(self) -> TokenInfo:
        """Ask the provider to describe the token; the blocking twin of `token_info`."""
        ...

    async def revoke(self) -> None:
        """Revoke the token at the provider (RFC 7009); the next request obtains a new one.

        Raises:
            TokenError: The provider did not revoke it; the token is dropped here nevertheless.
            ConfigurationError: The provider has no revocation endpoint.
        """
        ...

    def revoke_sync(self) -> None:
        """Revoke the token at the provider; the blocking twin of `revoke`."""
        ...


publish("seic", ["TokenSource"], globals())

"""The digests of the secrets that were sent last: a refusal is no longer about them once they change."""

from __future__ import annotations

import hashlib
from urllib.parse import parse_qsl

import httpx

#: Fields that are new in each request, or signed documents, which are about their time and not about a secret.
_NEW_EACH_TIME = frozenset({"client_assertion", "assertion", "SAMLResponse", "SAMLAssertion"})


class SentSecrets:
    """Tells whether a request has other secrets than the last one, of the client or of the configured grant."""

    def __init__(self) -> None:
        self._client: str | None = None
        self._grant: str | None = None

    def note(self, request: httpx.Request, *, is_own: bool) -> None:
        """Note a token request; `is_own` tells that its grant is the configured one, and no refresh token."""
        self._client, grant = _digests(request)
        if is_own:
            self._grant = grant

    def differ(self, request: httpx.Request) -> bool:
        """Whether a request of the configured grant has another secret than those before."""
        client, grant = _digests(request)
        return client != self._client or (self._grant is not None and grant != self._grant)


def _digests(request: httpx.Request) -> tuple[str, str]:
    fields = parse_qsl(request.content.decode("ascii", "replace"), keep_blank_values=True)
    client = [request.headers.get("Authorization", ""), *(value for name, value in fields if name == "client_secret")]
    grant = sorted(pair for pair in fields if pair[0] not in _NEW_EACH_TIME and pair[0] != "client_secret")
    return _digest(client), _digest(grant)


def _digest(parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()

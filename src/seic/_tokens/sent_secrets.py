"""The secrets of token requests: whether they changed since the last one, and those that the provider accepted last."""

from __future__ import annotations

import hashlib
from urllib.parse import parse_qsl

import attrs
import httpx

from seic._model.grant_parameters import GrantParameters
from seic._model.secret import Secret, Unpicklable, hide, reveal

#: Fields that are new in each request, or signed documents, which are about their time and not about a secret.
_NEW_EACH_TIME = frozenset({"client_assertion", "assertion", "SAMLResponse", "SAMLAssertion"})


@attrs.frozen
class Secrets(Unpicklable):
    """The client's secret, and the account's password if a callable returns it."""

    client_secret: str | None = attrs.field(repr=hide)
    password: str | None = attrs.field(repr=hide)

    def apply(self, grant: GrantParameters) -> GrantParameters:
        """Return a grant with the password, in place of its callable."""
        if self.password is None or not callable(getattr(grant, "password", None)):
            return grant
        return attrs.evolve(grant, password=self.password)  # type: ignore[call-arg]  # it has one


class SentSecrets:
    """Compares the secrets of token requests, those of the client and those of the configured grant.

    A new secret proves itself by a token. If it is refused before that, the last ones that got a token are sent once.
    """

    def __init__(self) -> None:
        self._client: str | None = None
        self._grant: str | None = None
        self._last: Secrets | None = None
        self._accepted: Secrets | None = None
        #: Those that got the last token, while they are used although there are others.
        self.previous: Secrets | None = None

    def read(self, client_secret: Secret | None, grant: GrantParameters, *, is_own: bool) -> Secrets:
        """Return the present secrets; callables are called here."""
        client = reveal(client_secret, field="client_secret") if callable(client_secret) else client_secret
        if not is_own:
            return Secrets(client, None if self._accepted is None else self._accepted.password)
        password: Secret | None = getattr(grant, "password", None)
        return Secrets(client, reveal(password, field="grant.password") if callable(password) else None)

    def note(self, request: httpx.Request, secrets: Secrets, *, is_own: bool) -> None:
        """Note a token request; `is_own` tells that its grant is the configured one, and no refresh token."""
        self._client, grant = _digests(request)
        if is_own:
            self._grant = grant
        self._last = secrets

    def differ(self, request: httpx.Request) -> bool:
        """Whether a request of the configured grant has another secret than those before."""
        client, grant = _digests(request)
        return client != self._client or (self._grant is not None and grant != self._grant)

    def accepted(self) -> None:
        """Note that the last request got a token."""
        if self.previous is None:
            self._accepted = self._last

    def fall_back(self) -> bool:
        """Use the secrets that got the last token, if there are others now and they are not used already."""
        if self.previous is None and self._accepted != self._last:
            self.previous = self._accepted
            return self.previous is not None
        self.previous = self._accepted = None
        return False


def _digests(request: httpx.Request) -> tuple[str, str]:
    fields = parse_qsl(request.content.decode("ascii", "replace"), keep_blank_values=True)
    client = [request.headers.get("Authorization", ""), *(value for name, value in fields if name == "client_secret")]
    grant = sorted(pair for pair in fields if pair[0] not in _NEW_EACH_TIME and pair[0] != "client_secret")
    return _digest(client), _digest(grant)


def _digest(parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()

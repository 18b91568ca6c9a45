"""The secrets of token requests: whether they changed since the last one, and those that the provider accepted last."""

from __future__ import annotations

import hashlib
from typing import Protocol, runtime_checkable
from urllib.parse import parse_qsl

import attrs
import httpx

from seic._model.grant_parameters import GrantParameters
from seic._model.provider import ClientAuthentication
from seic._model.secret import Secret, Unpicklable, hide, reveal

#: Fields that are new in each request, or signed documents, which are about their time and not about a secret.
_NEW_EACH_TIME = frozenset({"client_assertion", "assertion", "SAMLResponse", "SAMLAssertion"})


@runtime_checkable
class KeyFileMethod(Protocol):
    """A method that signs, such as `PrivateKeyJwt`."""

    @property
    def is_followed(self) -> bool:
        """Whether the key is in a file."""
        ...

    def with_current_key(self) -> ClientAuthentication:
        """Return the method with the key that the file has now; equal for the same key."""
        ...


@attrs.frozen
class Secrets(Unpicklable):
    """The client's secret, the account's password if a callable returns it, and the method with the key of a file."""

    client_secret: str | None = attrs.field(repr=hide)
    password: str | None = attrs.field(repr=hide)
    method: ClientAuthentication | None = attrs.field(repr=hide)

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

    def read(
        self,
        client_secret: Secret | None,
        method: ClientAuthentication | None,
        grant: GrantParameters,
        *,
        is_own: bool,
    ) -> Secrets:
        """Return the present secrets; callables are called here."""
        client = reveal(client_secret, field="client_secret") if callable(client_secret) else client_secret
        followed = key_file_method(method)
        method = None if followed is None else followed.with_current_key()
        if not is_own:
            return Secrets(client, None if self._accepted is None else self._accepted.password, method)
        password: Secret | None = getattr(grant, "password", None)
        return Secrets(client, reveal(password, field="grant.password") if callable(password) else None, method)

    def note(self, request: httpx.Request, secrets: Secrets, *, is_own: bool) -> None:
        """Note a token request; `is_own` tells that its grant is the configured one, and no refresh token."""
        self._client, grant = _digests(request)
        if is_own:
            self._grant = grant
        self._last = secrets

    @property
    def digest(self) -> str:
        """A digest of the secrets of the last request; empty before the first."""
        return f"{self._client or ''}{self._grant or ''}"

    def differ(self, request: httpx.Request, secrets: Secrets) -> bool:
        """Whether a request of the configured grant has another secret, or is signed with one, than those before."""
        if self._last is not None and (secrets.client_secret, secrets.method) != (
            self._last.client_secret,
            self._last.method,
        ):
            return True
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


def key_file_method(method: ClientAuthentication | None) -> KeyFileMethod | None:
    """Return a method that signs with the key of a file, which may change; None for any other."""
    return method if isinstance(method, KeyFileMethod) and method.is_followed else None


def _digests(request: httpx.Request) -> tuple[str, str]:
    fields = parse_qsl(request.content.decode("ascii", "replace"), keep_blank_values=True)
    client = [request.headers.get("Authorization", ""), *(value for name, value in fields if name == "client_secret")]
    grant = sorted(pair for pair in fields if pair[0] not in _NEW_EACH_TIME and pair[0] != "client_secret")
    return _digest(client), _digest(grant)


def _digest(parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()

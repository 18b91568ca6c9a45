"""`TokenCipher`: the names of entries in a shared store, and the encryption of their tokens, without I/O.

An encrypted entry is `seic`, a version byte, 12 random bytes, and the token's JSON under AES-256-GCM. The version and
the entry's name are authenticated with it, so a value under another name is not accepted.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

from seic._errors import ConfigurationError
from seic._model.secret import Unpicklable, strip_frames, strip_frames_on_init
from seic._model.token import Token
from seic._tokens.store import InvalidEntryError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

#: The key of a store: random text of 32 characters or more, or 32 bytes. Several rotate: the first encrypts, all
#: decrypt. The word `UNENCRYPTED` stores readable tokens.
StoreKey: TypeAlias = str | bytes | Iterable[str | bytes]

#: The value of `key=` that asks for readable tokens.
UNENCRYPTED = "UNENCRYPTED"
_MAGIC = b"seic"
_PLAIN, _ENCRYPTED = b"\0", b"\1"
_NONCE = 12
_MIN_TEXT, _BYTES = 32, 32
#: Hex digits of a store key, and of an entry's name, that are the same for all tokens of one client id.
CLIENT_DIGITS = 16
_DIGITS = 64
#: The largest entry that is read, in bytes: a token response is 1 MiB at most.
MAX_ENTRY = 2 * 1024 * 1024
_WANTED = (
    "set random text of at least 32 characters, or 32 bytes, for example the output of "
    "`python -c 'import secrets; print(secrets.token_urlsafe(32))'`"
)


def client_prefix(client_id: str) -> str:
    """Return the first digits of the store keys of one client id."""
    return hashlib.sha256(f"client {client_id}".encode(errors="surrogatepass")).hexdigest()[:CLIENT_DIGITS]


class EntryKey(str):
    """The store key of an entry, with secrets that only the keyed hash of a name includes.

    A plain digest could reveal a secret that can be guessed; without the store's key, a keyed hash cannot. So a client
    with another secret never finds the token.
    """

    __slots__ = ("is_complete", "secrets")

    secrets: str
    is_complete: bool

    @classmethod
    def of(cls, client_id: str, facts: object, secrets: Iterable[str | None]) -> EntryKey:
        """Return the key for a client's facts, by their repr; a secret that is not constant is None."""
        digest = hashlib.sha256(repr(facts).encode()).hexdigest()
        key = cls(client_prefix(client_id) + digest[CLIENT_DIGITS:])
        given = list(secrets)
        key.secrets, key.is_complete = json.dumps(given), bool(given) and None not in given
        return key

    def derive(self, purpose: str) -> EntryKey | None:
        """Return the key of another entry about the same secrets; None if it would not include all of them."""
        return self.entry(purpose) if self.is_complete else None

    def entry(self, purpose: str) -> EntryKey:
        """Return the key of another entry about the same token."""
        digest = hashlib.sha256(f"{purpose} {self}".encode()).hexdigest()
        key = EntryKey(self[:CLIENT_DIGITS] + digest[CLIENT_DIGITS:])
        key.secrets, key.is_complete = self.secrets, self.is_complete
        return key

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return str, (str(self),)


@strip_frames_on_init
class TokenCipher(Unpicklable):
    """Names and encrypts the entries of one store.

    Args:
        key: The key, or several; see `StoreKey`.

    Raises:
        ConfigurationError: It is missing, too short, or not a key.
    """

    def __init__(self, key: StoreKey) -> None:
        self.is_encrypted = not (isinstance(key, str) and key == UNENCRYPTED)
        given = [key] if isinstance(key, str | bytes) or not isinstance(key, Iterable) else list(key)
        material = [_key_bytes(one) for one in given] if self.is_encrypted else [b""]
        if not material:
            raise _invalid("is missing")
        derived = [_derive(one) for one in material] if self.is_encrypted else []
        self._ciphers = [_cipher(encryption) for encryption, _ in derived]
        self._naming = [naming for _, naming in derived] or [b""]

    def __repr__(self) -> str:
        keys = len(self._ciphers)
        return f"TokenCipher({f'{keys} keys' if keys else UNENCRYPTED})"

    def __eq__(self, other: object) -> bool:
        """Whether both have the same keys in the same order."""
        return self._naming == other._naming if isinstance(other, TokenCipher) else NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(self._naming))

    def names(self, store_key: str) -> list[str]:
        """Return the names of an entry: the one to write, then those that it has under older keys."""
        # Without a key, a name would reveal secrets.
        secrets = getattr(store_key, "secrets", "") if self.is_encrypted else ""
        return [_name(naming, store_key, secrets) for naming in self._naming]

    def prefixes(self, client_id: str) -> list[str]:
        """Return how the names of all entries of a client id begin."""
        return [name[:CLIENT_DIGITS] for name in self.names(client_prefix(client_id))]

    def encrypt(self, name: str, token: Token) -> bytes:
        """Return the entry for a token."""
        text = json.dumps(token.to_dict(), separators=(",", ":")).encode()
        if not self._ciphers:
            return _MAGIC + _PLAIN + text
        header, nonce = _MAGIC + _ENCRYPTED, os.urandom(_NONCE)
        return header + nonce + self._ciphers[0].encrypt(nonce, text, header + name.encode())

    @strip_frames
    def decrypt(self, name: str, entry: bytes) -> Token:
        """Return the token of an entry.

        Raises:
            InvalidEntryError: It is of another key, another entry or a later version of seic, or was changed.
        """
        header, rest = entry[: len(_MAGIC) + 1], entry[len(_MAGIC) + 1 :]
        if header[:-1] != _MAGIC or len(header) <= len(_MAGIC):
            raise InvalidEntryError("it is not an entry of seic")
        if header[-1:] not in {_PLAIN, _ENCRYPTED}:
            raise InvalidEntryError(f"it was written by a later version of seic (form {header[-1]})")
        if (header[-1:] == _ENCRYPTED) != self.is_encrypted:
            # Also with a key: else anyone who can write to the store could plant a readable token.
            raise InvalidEntryError("it is encrypted" if not self.is_encrypted else "it is not encrypted")
        text = rest if not self.is_encrypted else self._decrypt(rest, header + name.encode())
        try:
            return Token.from_dict(json.loads(text))
        except (ValueError, RecursionError, ConfigurationError):
            raise InvalidEntryError("it holds no token") from None

    def _decrypt(self, rest: bytes, bound: bytes) -> bytes:
        from cryptography.exceptions import InvalidTag

        for cipher in self._ciphers:
            try:
                return cipher.decrypt(rest[:_NONCE], rest[_NONCE:], bound)
            except (InvalidTag, ValueError):  # ValueError: it is too short
                continue
        raise InvalidEntryError("it was encrypted with another key or for another entry, or was changed")


def _name(naming: bytes, store_key: str, secrets: str) -> str:
    def digest(text: str) -> str:
        return hmac.digest(naming, text.encode(errors="surrogatepass"), "sha256").hex()

    return digest(store_key[:CLIENT_DIGITS])[:CLIENT_DIGITS] + digest(store_key + secrets)[: _DIGITS - CLIENT_DIGITS]


def _cipher(key: bytes) -> AESGCM:
    # cryptography takes 36 ms to import.
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(key)


def _derive(material: bytes) -> tuple[bytes, bytes]:
    """Return the key for encryption and the key for names (RFC 5869)."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    derived = HKDF(SHA256(), length=2 * _BYTES, salt=None, info=b"seic token store 1").derive(material)
    return derived[:_BYTES], derived[_BYTES:]


def _key_bytes(key: object) -> bytes:
    if isinstance(key, bytes):
        if len(key) != _BYTES:
            raise _invalid(f"has {len(key)} bytes")
        return key
    if not isinstance(key, str):
        raise _invalid("is missing" if key is None else f"must be a string or bytes, not {type(key).__name__}")
    if key == UNENCRYPTED:
        raise _invalid(f"{UNENCRYPTED} is not one of several keys")
    if len(key) < _MIN_TEXT:
        raise _invalid(f"has {len(key)} characters")
    return key.encode(errors="surrogatepass")


def _invalid(problem: str) -> ConfigurationError:
    return ConfigurationError(
        f"key: {problem}; the store holds tokens, so it is encrypted: {_WANTED}; key={UNENCRYPTED!r} stores them "
        "readable for everyone who can read the store",
        field="key",
    )

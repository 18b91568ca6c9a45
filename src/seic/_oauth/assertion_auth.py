"""Client authentication with a signed JWT: `private_key_jwt` and `client_secret_jwt` (RFC 7523 §2.2, §3)."""

from __future__ import annotations

import contextlib
import logging
import os
from typing import Any

import attrs

from seic._errors import ConfigurationError
from seic._model.provider import RequestContext
from seic._model.secret import Secret, Unpicklable, hide, reveal
from seic._oauth.jose import KeyMaterial, SigningKey, read_key, read_secret
from seic._public import publish
from seic._values import frozen
from seic._x509.credential_files import is_material

#: The form's `client_assertion_type` (RFC 7523 §2.2).
JWT_BEARER_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

#: Lifetime of an assertion in seconds: one request, and clocks that differ a little.
_LIFETIME = 60
_PASSWORD = "provider.client_authentication.password"

_logger = logging.getLogger("seic")


@frozen(kw_only=True)
class PrivateKeyJwt(Unpicklable):
    """`private_key_jwt`: a JWT that the client's private key signs for each request; no secret is sent.

    Needs the extra `jose`.

    Args:
        key: The private key: a path, PEM, or DER as bytes. A file is followed: if it changes, the next request has the
            new key. None is the key of the client certificate, whose thumbprint
            is then in the JWT's header (`x5t#S256`, RFC 7515 §4.1.8).
        password: The passphrase of the key, or a callable that returns it when the key is read.
        key_id: The `kid` of the key at the provider.
        algorithm: The signature algorithm; by default `RS256` for RSA, and the only possible one for other keys.
        audience: The audience of the JWT; None is the provider's issuer, or the token endpoint if none is known.
    """

    key: KeyMaterial | None = attrs.field(default=None, repr=hide)
    password: Secret | None = attrs.field(default=None, repr=hide)
    key_id: str | None = None
    algorithm: str | None = None
    audience: str | None = None
    # With the state of its file: it is read again only if that changes.
    _read: list[tuple[object, SigningKey]] = attrs.field(init=False, repr=False, eq=False, hash=False, factory=list)

    def apply(self, headers: dict[str, str], form: dict[str, str], context: RequestContext) -> None:
        """Add the signed assertion to the form."""
        header: dict[str, Any] = {"typ": "JWT"}
        if self.key_id is not None:
            header["kid"] = self.key_id
        if self.key is not None:
            key = self._current_key(self.key)
        elif context.certificate is not None:
            key = read_key(
                context.certificate.reveal_key(),
                field="provider.client_authentication",
                algorithm=self.algorithm,
            )
            header["x5t#S256"] = context.certificate.x5t_s256
        else:
            raise ConfigurationError(
                "provider.client_authentication: private_key_jwt needs a key: PrivateKeyJwt(key=...), or a client "
                "certificate whose key signs",
                field="provider.client_authentication",
            )
        _add_assertion(form, key, header, audience=self.audience, context=context)

    @property
    def is_followed(self) -> bool:
        """Whether the key is in a file, which may change."""
        return isinstance(self.key, os.PathLike) or (isinstance(self.key, str) and not is_material(self.key))

    def with_current_key(self) -> PrivateKeyJwt:
        """Return the method with the key that its file has now, whatever the file has later."""
        if self.key is None:
            return self
        key = self._current_key(self.key)
        # Equal for the same key; the material is not read, since the key is.
        fixed = attrs.evolve(self, key=key.thumbprint.encode())
        fixed._read.append((None, key))  # noqa: SLF001 - its own class
        return fixed

    def _current_key(self, material: KeyMaterial) -> SigningKey:
        state = None
        if self.is_followed:
            with contextlib.suppress(OSError, ValueError):
                stat = os.stat(material)  # noqa: PTH116 - a path may be a string
                state = stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size, stat.st_ino
        if not self._read or (state is not None and state != self._read[0][0]):
            try:
                password = None if self.password is None else reveal(self.password, field=_PASSWORD)
                field = "provider.client_authentication.key"
                key = read_key(material, field=field, password=password, algorithm=self.algorithm)
            except ConfigurationError as error:
                if not self._read:
                    raise
                # It may be half written.
                _logger.warning("%s; the last key that was read is used", error.message)
            else:
                self._read[:] = [(state, key)]
        return self._read[0][1]


@frozen(kw_only=True)
class ClientSecretJwt:
    """`client_secret_jwt`: a JWT that the client's secret signs for each request; the secret is not sent.

    Needs the extra `jose`, and a secret at least as long as the hash (RFC 7518 §3.2).

    Args:
        algorithm: `HS256`, `HS384` or `HS512`.
        audience: The audience of the JWT; None is the provider's issuer, or the token endpoint if none is known.
    """

    algorithm: str = "HS256"
    audience: str | None = None

    def apply(self, headers: dict[str, str], form: dict[str, str], context: RequestContext) -> None:
        """Add the signed assertion to the form."""
        if not context.client_secret:
            raise ConfigurationError(
                "client_secret: is missing, and client_secret_jwt signs with it", field="client_secret"
            )
        key = read_secret(context.client_secret, algorithm=self.algorithm)
        _add_assertion(form, key, {"typ": "JWT"}, audience=self.audience, context=context)


def _add_assertion(
    form: dict[str, str],
    key: SigningKey,
    header: dict[str, Any],
    *,
    audience: str | None,
    context: RequestContext,
) -> None:
    import uuid

    now = int(context.now)
    claims = {
        "iss": context.client_id,
        "sub": context.client_id,
        "aud": audience or context.audience,
        "iat": now,
        "exp": now + _LIFETIME,
        # For one use: a server that remembers them refuses a copy.
        "jti": str(uuid.uuid4()),
    }
    # Optional with an assertion (RFC 7521 §4.2); some servers look the client up by it.
    form["client_id"] = context.client_id
    form["client_assertion_type"] = JWT_BEARER_ASSERTION
    form["client_assertion"] = key.sign(claims, **header)


publish("seic", ["ClientSecretJwt", "PrivateKeyJwt"], globals())

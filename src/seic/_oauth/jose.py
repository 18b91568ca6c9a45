"""Private keys and signed JWTs (RFC 7515, 7517, 7518), with joserfc, which the extra `jose` installs.

joserfc is imported when something must be signed, not before.
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs

from seic._errors import ConfigurationError, SeicError
from seic._model.secret import Unpicklable, strip_frames
from seic._values import frozen

if TYPE_CHECKING:
    from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

    from seic._x509.decode import DecodedKey

    _Key: TypeAlias = "RSAKey | ECKey | OKPKey | OctKey"

#: A private key: the path of a PEM or DER file, or PEM itself, or PEM or DER as bytes.
KeyMaterial: TypeAlias = str | os.PathLike[str] | bytes

#: The algorithms of each kind of key, the default first. The first of RSA is the one that every server takes.
_ALGORITHMS = {
    "RSA": ("RS256", "PS256", "RS384", "PS384", "RS512", "PS512"),
    "EC P-256": ("ES256",),
    "EC P-384": ("ES384",),
    "EC P-521": ("ES512",),
    # RFC 9864 names each curve; servers know the older name.
    "OKP Ed25519": ("EdDSA", "Ed25519"),
    "OKP Ed448": ("EdDSA", "Ed448"),
    "oct": ("HS256", "HS384", "HS512"),
}
#: Minimum bytes of a secret: the size of the hash (RFC 7518 §3.2).
_SECRET_BYTES = {"HS256": 32, "HS384": 48, "HS512": 64}

_RSA_BITS = 2048
_CURVES = frozenset({"secp256r1", "secp384r1", "secp521r1"})


@frozen(kw_only=True, eq=False)
class SigningKey(Unpicklable):
    """A key and its signature algorithm.

    Args:
        key: joserfc's key, private part included.
        algorithm: The `alg` of its signatures (RFC 7518 §3.1).
    """

    key: Any = attrs.field(repr=False)
    algorithm: str

    @property
    def public(self) -> dict[str, Any]:
        """The public part as a JWK (RFC 7517 §4)."""
        found: dict[str, Any] = self.key.as_dict(private=False)
        return {name: value for name, value in found.items() if name in {"kty", "crv", "x", "y", "n", "e"}}

    @property
    def thumbprint(self) -> str:
        """The JWK's SHA-256 thumbprint (RFC 7638)."""
        found: str = self.key.thumbprint()
        return found

    def sign(self, claims: dict[str, Any], **header: Any) -> str:
        """Return a signed JWT (RFC 7519) in the compact form.

        Args:
            claims: The claims.
            header: The members of its header except `alg`.
        """
        from joserfc import jwt

        return jwt.encode({**header, "alg": self.algorithm}, claims, self.key, registry=_registry())


@functools.cache
def _registry() -> Any:
    from joserfc.jws import JWSRegistry

    class Registry(JWSRegistry):
        """A registry without warnings: `EdDSA` is deprecated (RFC 9864), but it is the name that servers know."""

        def get_alg(self, name: str) -> Any:
            return self.algorithms[name]

    return Registry()


def require_jose(field: str) -> None:
    """Raise ConfigurationError if the extra is missing, with the command that installs it."""
    try:
        import joserfc  # noqa: F401
    except ModuleNotFoundError:
        missing = True
    else:
        missing = False
    if missing:
        raise ConfigurationError(f'{field}: needs the extra `jose`: pip install "seic[jose]"', field=field)


@strip_frames
def read_key(
    material: KeyMaterial, *, field: str, password: str | None = None, algorithm: str | None = None
) -> SigningKey:
    """Read a private key, in any format of a client certificate's key.

    Args:
        material: The key, or the path of its file.
        field: The setting's name, for the error.
        password: Its passphrase, if it is encrypted.
        algorithm: The signature algorithm; None is the default of the key.

    Raises:
        ConfigurationError: It cannot be read or decrypted, or does not fit the algorithm (the message names its file);
            or the extra is missing.
    """
    require_jose(field)
    from seic._x509.decode import read_private_key

    try:
        read = read_private_key(material, password)
        problem = _key_problem(read, with_password=password is not None)
    except SeicError as error:
        # Without the cause, which may hold parts of the key.
        read, problem = None, error.message
    if read is None or problem is not None:
        # Another hint than for the client certificate, whose argument it is.
        parent = field.rpartition(".")[0]
        problem = (problem or "").replace("password=...", f"{parent}.password" if parent else "password=...")
        raise ConfigurationError(f"{field}: {problem}", field=field)
    return _signing_key(_import(read.key), algorithm, field)


def read_secret(secret: str, *, algorithm: str) -> SigningKey:
    """Return a client secret as an HMAC key (RFC 7518 §3.2).

    Raises:
        ConfigurationError: It is too short, or the extra is missing.
    """
    require_jose("provider.client_authentication")
    from joserfc.jwk import OctKey

    needed = _SECRET_BYTES.get(algorithm)
    if needed is not None and len(secret.encode(errors="replace")) < needed:
        raise ConfigurationError(
            f"client_secret: is shorter than the {needed} bytes that {algorithm} requires (RFC 7518 §3.2); ask the "
            "provider for a longer one, or use another client authentication",
            field="client_secret",
        )
    return _signing_key(OctKey.import_key(secret), algorithm, "provider.client_authentication")


def new_key() -> SigningKey:
    """Generate an ES256 key, which every server with DPoP takes.

    Raises:
        ConfigurationError: The extra is missing.
    """
    require_jose("dpop")
    from joserfc.jwk import ECKey

    return SigningKey(key=ECKey.generate_key("P-256"), algorithm="ES256")


def _key_problem(read: DecodedKey, *, with_password: bool) -> str | None:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    key, problem = read.key, None
    if with_password and not read.was_encrypted:
        problem = "it is not encrypted, but a passphrase is set; remove password=..."
    elif isinstance(key, RSAPrivateKey):
        if key.key_size < _RSA_BITS:
            problem = f"it is an RSA key of less than {_RSA_BITS} bits, too weak (RFC 7518 §3.3); generate a longer one"
    elif isinstance(key, EllipticCurvePrivateKey):
        if key.curve.name not in _CURVES:
            problem = f"its curve {key.curve.name} has no algorithm in JOSE; use P-256, P-384 or P-521"
    elif not isinstance(key, (Ed25519PrivateKey, Ed448PrivateKey)):
        problem = "keys of this kind cannot sign a JWT; use RSA, EC or Ed25519"
    return None if problem is None else f"{read.label}: {problem}"


def _import(key: Any) -> _Key:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from joserfc.jwk import ECKey, OKPKey, RSAKey

    if isinstance(key, RSAPrivateKey):
        return RSAKey.import_key(key)
    return ECKey.import_key(key) if isinstance(key, EllipticCurvePrivateKey) else OKPKey.import_key(key)


def _signing_key(key: _Key, algorithm: str | None, field: str) -> SigningKey:
    curve = "" if key.key_type == "oct" else key.as_dict(private=False).get("crv")
    kind = f"{key.key_type} {curve}" if curve else key.key_type
    algorithms = _ALGORITHMS[kind]
    if algorithm is not None and algorithm not in algorithms:
        raise ConfigurationError(
            f"{field}: a key of kind {kind} signs with {' or '.join(algorithms)}, not {algorithm}", field=field
        )
    return SigningKey(key=key, algorithm=algorithm or algorithms[0])

"""A private key by itself, from wherever users hold it. Imports cryptography: import it inside a function."""

from __future__ import annotations

import functools

import attrs

from seic._model.secrecy import Unpicklable
from seic._tls.credential_files import CredentialFile, Material, Passphrase, PassphraseInput
from seic._tls.decode import PUBLIC_KEY, Contents, EncryptedKey, parse
from seic._tls.reasons import Reason, certificate_error


@attrs.frozen(kw_only=True, repr=False)
class DecodedKey(Unpicklable):
    """A private key as cryptography has it, what errors call its file, and whether it was encrypted there."""

    label: str
    key: object
    was_guarded: bool


def read_private_key(material: Material, password: PassphraseInput | None) -> DecodedKey:
    """Read a private key, whatever its format and kind.

    Args:
        material: A path, PEM text or bytes.
        password: The passphrase, or what returns it when it is needed.

    Raises:
        CertificateError: It cannot be read or opened; `path` names the file and `reason` the mistake.
        ConfigurationError: An argument is of another type.
    """
    source = CredentialFile.of(material, "key")
    reveal = functools.cache(functools.partial(Passphrase(value=password).reveal, source.label))
    sealed = keys_of(parse(source.read(), source.label, reveal))[0]
    return DecodedKey(label=source.label, key=sealed.load(reveal), was_guarded=sealed.is_guarded)


def keys_of(contents: Contents) -> list[EncryptedKey]:
    """Return the keys of a file that should hold one.

    Raises:
        CertificateError: There is none.
    """
    if contents.keys:
        return contents.keys
    if contents.certificates:
        raise certificate_error(
            Reason.CERTIFICATE_AS_KEY,
            contents.label,
            "it holds a certificate where the private key belongs; pass the key's file as key=…",
        )
    if PUBLIC_KEY in contents.others:
        raise certificate_error(
            Reason.PUBLIC_KEY, contents.label, "it is a public key where the private key belongs; pass the private key"
        )
    raise certificate_error(
        Reason.NO_KEY, contents.label, "there is no private key in it; pass the key's file as key=…"
    )

"""The TLS contexts: the one place that decides how seic speaks TLS, and the one that translates what OpenSSL refuses.

There is no argument that turns a check off.
"""

from __future__ import annotations

import inspect
import ssl
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeAlias

from seic._errors import CertificateError, ConfigurationError
from seic._runtime import Lock
from seic._tls.certificate import ClientCertificate
from seic._tls.credential_files import Material
from seic._tls.memory_key import load_cert_chain_from_memory
from seic._tls.reasons import Reason, certificate_error
from seic._tls.renewal import ask
from seic._tls.trust import Trust, read_trust

_Key: TypeAlias = tuple[str | None, Trust, tuple[str, ...]]


def create_ssl_context(
    *, certificate: ClientCertificate | Callable[[], ClientCertificate] | None = None, ca: Material | None = None
) -> ssl.SSLContext:
    """Return a context for mutual TLS with any client of the `ssl` module: httpx, aiohttp, urllib3.

    TLS 1.2 is the floor, the server's certificate and host name are always checked, and nothing turns that off. A
    higher `MinProtocol` of the system's openssl.cnf counts only for a Python that was built to heed it. It reads files
    and takes up to 20 ms: build it once, and off the event loop. It does not follow a rotation of the files; a seic
    client does.

    Args:
        certificate: What the client presents, or a function that returns it; None for none.
        ca: The authorities to trust, exactly: a bundle's path, PEM text or bytes, or a directory. None is the system's
            trust, or what SSL_CERT_FILE and SSL_CERT_DIR name.

    Raises:
        CertificateError: The certificate has expired, is not valid yet or is too weak for this system's OpenSSL, or the
            authorities cannot be used; `path` names the file.
        ConfigurationError: An argument is of another type; its `field` names it.

    Warns:
        CertificateWarning: The certificate ends soon, its key is open to others, its chain is incomplete; an authority
            of `ca` has expired or ends soon.
    """
    check_source(certificate)
    if certificate is not None and not isinstance(certificate, ClientCertificate):
        certificate = ask(certificate)
    if certificate is not None:
        for warning in certificate.check():
            warnings.warn(warning, stacklevel=2)
    trust = read_trust(ca)
    for warning in trust.check():
        warnings.warn(warning, stacklevel=2)
    return build_context(certificate, trust)


def check_source(certificate: object) -> None:
    """Refuse what is neither a certificate, nor a function that returns one, nor None.

    Raises:
        ConfigurationError: Its `field` is `certificate`.
    """
    if certificate is None or isinstance(certificate, ClientCertificate):
        return
    # A class is callable too, and is what stands there when `.load(...)` was forgotten.
    if not callable(certificate) or isinstance(certificate, type) or inspect.iscoroutinefunction(certificate):
        # The value stays unsaid: it may be a secret in the wrong place.
        actual = f"the class {certificate.__name__}" if isinstance(certificate, type) else type(certificate).__name__
        raise ConfigurationError(
            "certificate: must be seic.ClientCertificate.load(...), or a plain function without arguments that returns "
            f"it, not {actual}",
            field="certificate",
        )


def build_context(certificate: ClientCertificate | None, trust: Trust, *, alpn: Sequence[str] = ()) -> ssl.SSLContext:
    """Build a fresh context, whatever the certificate's dates say.

    Args:
        certificate: What the client presents; None for none.
        trust: Whom it trusts.
        alpn: The protocols to offer; empty leaves that to the HTTP client.

    Raises:
        CertificateError: OpenSSL refuses the certificate, or the authorities cannot be read.
    """
    context = trust.new_context()
    context.check_hostname = True
    context.verify_mode = ssl.CERT_REQUIRED
    # MinProtocol of the system's openssl.cnf counts only where Python was built to leave the floor to OpenSSL
    # (--with-ssl-default-suites=openssl: Debian's and Fedora's own packages); any other Python, pyenv's or an official
    # image's, has overwritten it with TLS 1.2 by now, and cannot tell what it was. What is left of it stays.
    context.minimum_version = max(context.minimum_version, ssl.TLSVersion.TLSv1_2)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if certificate is not None:
        try:
            load_cert_chain_from_memory(context, certificate.chain_pem, certificate.reveal_key())
        # The frames below hold the key in their locals: the cause comes without its traceback.
        except ssl.SSLError as error:
            raise _translate(error, certificate, context.security_level) from error.with_traceback(None)
        except OSError as error:
            raise certificate_error(
                Reason.UNREADABLE,
                certificate.path,
                "this system offers neither anonymous memory nor a temporary file to hand the key to OpenSSL "
                f"({error.strerror or error}); set TMPDIR to a directory that this user can write",
            ) from error.with_traceback(None)
    return context


def _translate(error: ssl.SSLError, certificate: ClientCertificate, level: int) -> CertificateError:
    reason = error.reason or ""
    who = f"{certificate.leaf.inline}, {certificate.key_type}"
    refuses = f"this system's OpenSSL refuses the certificate ({who}) at its security level {level}"
    renew = f"have {certificate.issuer} issue a new one"
    if "KEY_TOO_SMALL" in reason:
        text = f"{refuses}: its key is too weak; {renew} for a key of RSA 2048 or EC P-256 at least"
        return certificate_error(Reason.WEAK_KEY, certificate.path, text)
    if "MD_TOO_WEAK" in reason:
        text = f"{refuses}: it is signed over MD5 or SHA-1; {renew} signed over SHA-256"
        return certificate_error(Reason.WEAK_SIGNATURE, certificate.path, text)
    text = f"this system's OpenSSL refuses the certificate ({who}): {reason or 'it gives no reason'}; {renew}"
    return certificate_error(Reason.REFUSED_BY_OPENSSL, certificate.path, text)


def shared_context(
    certificate: ClientCertificate | None, ca: Material | Trust | None = None, *, alpn: Sequence[str] = ()
) -> ssl.SSLContext:
    """Return the one context of a certificate and its authorities, built by whoever asks first.

    It lives as long as somebody uses it. Files are read at every call: what changed has a context of its own. Nobody
    may alter a shared context; httpx writes its ALPN protocols into the one it is given, so clients that offer
    different ones must say so in `alpn`.

    Args:
        certificate: What the client presents; None for none.
        ca: As for `create_ssl_context`, or what was read of it.
        alpn: The protocols to offer.

    Raises:
        CertificateError: As for `build_context`.
    """
    return _SHARED.get(certificate, ca if isinstance(ca, Trust) else read_trust(ca), tuple(alpn))


class _SharedContexts:
    # Held weakly, so that a key that was rotated away leaves memory; a few of the last are kept alive, so that clients
    # made one after the other do not build a context each.
    _KEPT_ALIVE = 4

    def __init__(self) -> None:
        self._lock = Lock()
        self._contexts: weakref.WeakValueDictionary[_Key, ssl.SSLContext] = weakref.WeakValueDictionary()
        self._last: deque[ssl.SSLContext] = deque(maxlen=self._KEPT_ALIVE)

    def get(self, certificate: ClientCertificate | None, trust: Trust, alpn: tuple[str, ...]) -> ssl.SSLContext:
        key = (certificate.content if certificate is not None else None, trust, alpn)
        # One lock for all: a build takes 20 ms at most, and two who ask for the same must not both pay it.
        with self._lock:
            context = self._contexts.get(key)
            if context is None:
                context = build_context(certificate, trust, alpn=alpn)
                self._contexts[key] = context
                self._last.append(context)
            return context


_SHARED = _SharedContexts()

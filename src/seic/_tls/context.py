"""The TLS contexts of seic: their settings, the client certificate in them, and the errors of OpenSSL about it.

No argument turns a check off.
"""

from __future__ import annotations

import inspect
import os
import ssl
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from typing import TypeAlias

from seic._concurrency import ForkSafeLock
from seic._errors import CertificateError, ConfigurationError
from seic._public import publish
from seic._tls.certificate import ClientCertificate
from seic._tls.reload import read_guarded
from seic._tls.trust import CaSource, TrustStore, read_trust_store
from seic._x509.reasons import Reason, certificate_error

#: A certificate that was loaded (its files are watched), or a callback that returns the current one. A callback is
#: called on a thread and may block; it should have a timeout of its own.
CertificateSource: TypeAlias = ClientCertificate | Callable[[], ClientCertificate]

#: The name of a callback in errors.
CALLBACK = "the certificate callback"

_HTTP2 = "h2"

_Key: TypeAlias = tuple[str | None, TrustStore, tuple[str, ...]]


def create_ssl_context(
    *, certificate: ClientCertificate | Callable[[], ClientCertificate] | None = None, ca: CaSource | None = None
) -> ssl.SSLContext:
    """Return a context for mutual TLS, for any client that takes an `ssl.SSLContext`: httpx, aiohttp, urllib3.

    TLS 1.2 is the minimum, and the server's certificate and host name are always checked. A higher `MinProtocol` of the
    system's openssl.cnf counts only if Python was built to respect it. Building reads files and takes up to 20 ms: do
    it once, and off the event loop. The context does not follow a rotation of the files; a seic client does.

    Args:
        certificate: The client's certificate, or a function that returns it; None for none.
        ca: The authorities to trust, exactly: a bundle's path, PEM text or bytes, or a directory; or a list of them, in
            which "system" adds the system's trust. None is the system's trust, or what SSL_CERT_FILE and SSL_CERT_DIR
            name.

    Raises:
        CertificateError: The certificate has expired, is not valid yet or is too weak for this system's OpenSSL, or the
            authorities cannot be used; `path` names the file.
        ConfigurationError: An argument has another type; its `field` names it.

    Warns:
        CertificateWarning: The certificate expires soon, its key is open to other users or its chain is incomplete; an
            authority of `ca` has expired or expires soon.
    """
    check_source(certificate)
    if certificate is not None and not isinstance(certificate, ClientCertificate):
        certificate = call_certificate_source(certificate)
    if certificate is not None:
        for warning in certificate.check():
            warnings.warn(warning, stacklevel=2)
    trust = read_trust_store(ca)
    for warning in trust.check():
        warnings.warn(warning, stacklevel=2)
    return build_context(certificate, trust)


def check_source(certificate: object) -> None:
    """Refuse a value that is neither a certificate, nor a function that returns one, nor None.

    Raises:
        ConfigurationError: Its `field` is `certificate`.
    """
    if certificate is None or isinstance(certificate, ClientCertificate):
        return
    # A class is callable too: it is passed if `.load(...)` was forgotten.
    if not callable(certificate) or isinstance(certificate, type) or inspect.iscoroutinefunction(certificate):
        # The message leaves out the value, which may be a secret in the wrong place.
        actual = f"the class {certificate.__name__}" if isinstance(certificate, type) else type(certificate).__name__
        raise ConfigurationError(
            "certificate: must be seic.ClientCertificate.load(...), or a plain function without arguments that returns "
            f"it, not {actual}",
            field="certificate",
        )


def source_key(source: CertificateSource | None) -> Hashable:
    """Return a value that is equal for sources of one identity: the same content of the same files, or one callback."""
    if isinstance(source, ClientCertificate):
        return source.identity_key
    try:
        hash(source)
    except TypeError:
        # Its address, which is not used again while the owner of the key refers to it.
        return id(source)
    return (source,)


def call_certificate_source(callback: Callable[[], ClientCertificate]) -> ClientCertificate:
    """Call a certificate callback.

    Raises:
        CertificateError: It failed, or returned something else.
    """
    try:
        certificate = read_guarded(callback, CALLBACK)
    except ConfigurationError as error:
        text = f"it is not configured as it should be: {error.message}"
        raise certificate_error(Reason.SOURCE_FAILED, CALLBACK, text) from error
    if not isinstance(certificate, ClientCertificate):
        text = f"it must return what ClientCertificate.load returns, not {type(certificate).__name__}"
        raise certificate_error(Reason.SOURCE_FAILED, CALLBACK, text)
    return certificate


def build_context(
    certificate: ClientCertificate | None, trust: TrustStore, *, alpn: Sequence[str] = ()
) -> ssl.SSLContext:
    """Build a context without checking the certificate's dates.

    Args:
        certificate: The client's certificate; None for none.
        trust: The authorities.
        alpn: The protocols to offer; if empty, the HTTP client sets them.

    Raises:
        CertificateError: OpenSSL refuses the certificate, or the authorities cannot be read.
    """
    context = trust.new_context()
    context.check_hostname = True
    context.verify_mode = ssl.CERT_REQUIRED
    # Python overwrites MinProtocol of the system's openssl.cnf with TLS 1.2 unless it was built with
    # --with-ssl-default-suites=openssl (Debian's and Fedora's packages; not pyenv's or the official images'). A higher
    # minimum that is still there stays.
    context.minimum_version = max(context.minimum_version, ssl.TLSVersion.TLSv1_2)
    context.options |= ssl.OP_NO_COMPRESSION
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if certificate is None or _HTTP2 in alpn:
        context.options |= ssl.OP_NO_RENEGOTIATION
    else:
        # A server may ask for the certificate once it has read the request, such as Apache for a location with its own
        # SSLVerifyClient: by post-handshake authentication (RFC 8446 §4.6.2), in TLS 1.2 by a renegotiation, which
        # OpenSSL accepts only if it is secure (RFC 5746). HTTP/2 allows neither (RFC 9113 §9.2.1, RFC 8740).
        context.post_handshake_auth = True
    if certificate is not None:
        from seic._x509.memory import load_cert_chain_from_memory

        try:
            load_cert_chain_from_memory(context, certificate.chain_pem, certificate.reveal_key())
        # The key is in the local variables of the frames below: remove the cause's traceback.
        except ssl.SSLError as error:
            raise _openssl_error(error, certificate, context.security_level) from error.with_traceback(None)
        except OSError as error:
            raise certificate_error(
                Reason.UNREADABLE,
                certificate.path,
                "this system offers neither anonymous memory nor a temporary file to pass the key to OpenSSL "
                f"({error.strerror or error}); set TMPDIR to a directory that this user can write",
            ) from error.with_traceback(None)
    return context


def _openssl_error(error: ssl.SSLError, certificate: ClientCertificate, level: int) -> CertificateError:
    reason = error.reason or ""
    which = f"{certificate.leaf.summary}, {certificate.key_type}"
    refuses = f"this system's OpenSSL refuses the certificate ({which}) at its security level {level}"
    renew = f"have {certificate.issuer} issue a new one"
    if "KEY_TOO_SMALL" in reason:
        text = f"{refuses}: its key is too weak; {renew} for a key of at least RSA 2048 or EC P-256"
        return certificate_error(Reason.WEAK_KEY, certificate.path, text)
    if "MD_TOO_WEAK" in reason:
        text = f"{refuses}: its signature uses MD5 or SHA-1; {renew} signed with SHA-256"
        return certificate_error(Reason.WEAK_SIGNATURE, certificate.path, text)
    text = f"this system's OpenSSL refuses the certificate ({which}): {reason or 'it gives no reason'}; {renew}"
    return certificate_error(Reason.REFUSED_BY_OPENSSL, certificate.path, text)


def shared_context(
    certificate: ClientCertificate | None, ca: CaSource | TrustStore | None = None, *, alpn: Sequence[str] = ()
) -> ssl.SSLContext:
    """Return the one context of a certificate and its authorities; the first call builds it.

    It lives as long as it is in use. Files are read at every call, so changed files have another context. Never alter a
    shared context. httpx writes its ALPN protocols into its context, so clients that offer different ones must pass
    `alpn`.

    Args:
        certificate: The client's certificate; None for none.
        ca: As for `create_ssl_context`, or authorities that were read from it.
        alpn: The protocols to offer.

    Raises:
        CertificateError: As for `build_context`.
    """
    trust = ca if isinstance(ca, TrustStore) else read_trust_store(ca)
    key = None if certificate is None else certificate.content, trust, tuple(alpn)
    # One lock for all: building takes at most 20 ms, and must happen only once for each key.
    with _lock.of_process[os.getpid()]:
        context = _contexts.get(key)
        if context is None:
            context = _contexts[key] = build_context(certificate, trust, alpn=alpn)
            _latest.append(context)
        return context


# Weak references, so that a rotated key leaves memory. The last few contexts stay alive, so that clients created one
# after the other share one.
_contexts: weakref.WeakValueDictionary[_Key, ssl.SSLContext] = weakref.WeakValueDictionary()
_latest: deque[ssl.SSLContext] = deque(maxlen=4)
_lock = ForkSafeLock()


publish("seic", ["create_ssl_context"], globals())

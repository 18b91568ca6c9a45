"""The faults of `--seic-chaos` that change the client certificate: another one in use, and its refusal by an alert."""

from __future__ import annotations

import datetime as dt
from contextlib import ExitStack
from typing import Any

from seic._httpx import httpx_of
from seic._identity import Identity
from seic._network.error_translator import _certificate_connect_error
from seic._tls.certificate import ClientCertificate
from seic._transport import identity_of
from seic._x509.reasons import Reason
from seic.sandbox import CertificateAuthority, Sandbox
from seic.sandbox._sandbox import find_sandbox


def replace_certificate(transport: Any, request: Any, stack: ExitStack) -> None:
    """Renew the client certificate as its source does: another key and serial number, the same subject.

    The sandbox's authority issues it. Any other server does not know its authority, and the connection check that each
    renewed certificate has to pass then keeps the one before.
    """
    identity: Identity = identity_of(transport._config)  # noqa: SLF001 - of this package
    certificates, before = identity._certificates, identity.certificate  # noqa: SLF001
    assert certificates is not None
    assert before is not None
    sandbox = _sandbox_of(request)
    authority = CertificateAuthority("another authority") if sandbox is None else sandbox.authority
    end = dt.datetime.now(dt.UTC) + dt.timedelta(days=365)
    issued = authority.issue(before.common_name or "client", not_after=end)
    fresh = ClientCertificate.load(issued.cert_pem, key=issued.key_pem)
    read = certificates._read  # noqa: SLF001

    def restore() -> None:
        certificates._read = read  # noqa: SLF001
        certificates.value = before
        credential = identity._credential  # noqa: SLF001
        if credential is not None and credential.certificate is not before:
            identity._replace(before, credential.trust)

    stack.callback(restore)
    certificates._read = lambda: fresh  # noqa: SLF001
    certificates.check(urgent=True, wait=True, due=True)


def refuse_certificate(transport: Any, request: Any, stack: ExitStack) -> Exception | None:
    """Let the sandbox refuse the client certificate by a TLS alert; return the error to raise for any other server."""
    certificate = identity_of(transport._config).certificate  # noqa: SLF001 - of this package
    sandbox = _sandbox_of(request)
    issued = [] if sandbox is None else sandbox.issued_certificates
    found = next((one for one in issued if certificate and one.thumbprint == certificate.x5t_s256), None)
    if sandbox is None or found is None:
        message = f"{request.url.host}: the server refused the client certificate (injected)"
        kind: Any = _certificate_connect_error(httpx_of(type(request)))
        failure: Exception = kind(message, reason=Reason.REFUSED.value, request=request)
        return failure
    if found.thumbprint not in sandbox.refused_certificates:
        stack.callback(_accept, sandbox, found)
        sandbox.refuse_certificate(found)
    return None


def _accept(sandbox: Sandbox, issued: Any) -> None:
    sandbox.accept_certificates(issued)


def _sandbox_of(request: Any) -> Sandbox | None:
    url = request.url
    return find_sandbox(f"{url.scheme}://{url.host}:{url.port}")

"""The far side, for tests and for trying things out: the three dialects in small, on loopback, over real mutual TLS.

The far side shares the values of `_model` with the SDK and nothing else, so that it cannot inherit the near side's
mistakes. It is served by aiohttp, because that server hands the TLS object of a connection, and with it the certificate
of the peer, to whoever answers the request (`request.transport.get_extra_info("ssl_object")`); ASGI servers do not.
"""

from __future__ import annotations

try:
    import aiohttp as _aiohttp  # noqa: F401 - here its absence is explained
except ImportError as error:
    raise ImportError('seic.sandbox needs aiohttp: run pip install "seic[sandbox]"') from error

from seic.sandbox.clock import Clock, ManualClock
from seic.sandbox.counts import Counts, HostCounts
from seic.sandbox.faults import Hold
from seic.sandbox.pki import CertificateAuthority, IssuedCertificate
from seic.sandbox.sandbox import Sandbox

__all__ = [
    "CertificateAuthority",
    "Clock",
    "Counts",
    "Hold",
    "HostCounts",
    "IssuedCertificate",
    "ManualClock",
    "Sandbox",
]

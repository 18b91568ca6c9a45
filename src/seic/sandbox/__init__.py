"""A local SEI gateway, SEI platform and OAuth 2.0 provider, for tests and for trying out seic.

They run on loopback over mutual TLS. The sandbox shares only the values in `seic._model` with the SDK, so that an error
in the SDK cannot hide itself. aiohttp serves it: unlike ASGI servers, aiohttp gives the handler of a request access to
the TLS connection (`request.transport.get_extra_info("ssl_object")`) and so to the client certificate.
"""

from __future__ import annotations

try:
    import aiohttp as _aiohttp  # noqa: F401 - fails here with an explanation
except ImportError as _error:
    raise ImportError('seic.sandbox needs aiohttp: run pip install "seic[sandbox]"') from _error

from seic._public import publish as _publish
from seic.sandbox._certificates import CertificateAuthority, IssuedCertificate
from seic.sandbox._controls import ActiveToken
from seic.sandbox._mock_clock import MockClock
from seic.sandbox._sandbox import Sandbox
from seic.sandbox._server.counts import Counts, HostCounts
from seic.sandbox._server.fault import Fault, FaultName, FaultTarget
from seic.sandbox._server.fault_injection import Hold
from seic.sandbox._server.received import ReceivedRequest, RequestKind

__all__ = [
    "ActiveToken",
    "CertificateAuthority",
    "Counts",
    "Fault",
    "FaultName",
    "FaultTarget",
    "Hold",
    "HostCounts",
    "IssuedCertificate",
    "MockClock",
    "ReceivedRequest",
    "RequestKind",
    "Sandbox",
]

_publish(__name__, __all__, globals())

"""Tests of code that uses seic: a provider in memory, clocks, events, certificates, a search for secrets, and more.

The fixtures of the pytest plugin return most of these; see docs/testing.md. `TokenStoreTests` tests a token store of
your own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seic._public import publish as _publish
from seic.testing._mock_clocks import MockClocks
from seic.testing._mock_provider import MockProvider
from seic.testing._recorded_events import Events
from seic.testing._recording import Recording
from seic.testing._secret_finder import assert_no_secrets
from seic.testing._token_store_tests import TokenStoreTests

if TYPE_CHECKING:
    from seic.testing._certificate_files import CertificateFactory, CertificateFiles
    from seic.testing._mock_issuer import MockIssuer

__all__ = [
    "CertificateFactory",
    "CertificateFiles",
    "Events",
    "MockClocks",
    "MockIssuer",
    "MockProvider",
    "Recording",
    "TokenStoreTests",
    "assert_no_secrets",
]

_publish(__name__, set(__all__) & set(globals()), globals())


def __getattr__(name: str) -> object:
    # They need the sandbox and its server, which tests in memory do not.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "MockIssuer":
        from seic.testing import _mock_issuer as module  # it needs joserfc

        names = ["MockIssuer"]
    else:
        from seic.testing import _certificate_files as module  # type: ignore[no-redef]

        names = ["CertificateFactory", "CertificateFiles"]
    _publish(__name__, names, vars(module))
    return globals().setdefault(name, getattr(module, name))

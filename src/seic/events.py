"""The events by their public names, for `isinstance` and `match` in a listener; they are made in `seic._events`."""

from __future__ import annotations

from seic._events import (
    AuthoritiesRotated,
    CallNotReplayed,
    CallReplayed,
    CertificateExpiring,
    CertificateRejected,
    CertificateRotated,
    Event,
    StoreBack,
    StoreDegraded,
    TokenAcquired,
    TokenEndpointBack,
    TokenEndpointDown,
    TokenFetchBegun,
    TokenFetchEnded,
    TokenNotBound,
    TokenRefused,
    TokenRequested,
    TokenWaitBegun,
    TokenWaitEnded,
)
from seic._listeners import Listener

__all__ = [
    "Event",
    "Listener",
    # Tokens
    "TokenAcquired",
    "TokenRefused",
    "TokenNotBound",
    "TokenEndpointDown",
    "TokenEndpointBack",
    "StoreDegraded",
    "StoreBack",
    # Calls
    "CallReplayed",
    "CallNotReplayed",
    # Identity
    "CertificateExpiring",
    "CertificateRotated",
    "CertificateRejected",
    "AuthoritiesRotated",
    # For tracers and meters
    "TokenFetchBegun",
    "TokenFetchEnded",
    "TokenWaitBegun",
    "TokenWaitEnded",
    "TokenRequested",
]

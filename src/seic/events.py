"""The events that listeners get, for `isinstance` and `match`."""

from __future__ import annotations

from seic._event_types import (
    CertificateExpiring,
    CertificateRejected,
    CertificateRotated,
    Event,
    RateLimitEnded,
    RateLimitStarted,
    RequestNotRetried,
    RequestRetried,
    SecretRejected,
    StoreDegraded,
    StoreRecovered,
    TokenAcquired,
    TokenEndpointDown,
    TokenEndpointRecovered,
    TokenNotBound,
    TokenRefreshEnded,
    TokenRefreshStarted,
    TokenRefused,
    TokenRequested,
    TokenWaitEnded,
    TokenWaitStarted,
    TrustStoreReloaded,
)
from seic._listeners import Listener

__all__ = [
    "Event",
    "Listener",
    # Tokens
    "TokenAcquired",
    "TokenRefused",
    "SecretRejected",
    "TokenNotBound",
    "TokenEndpointDown",
    "TokenEndpointRecovered",
    "StoreDegraded",
    "StoreRecovered",
    # Calls
    "RequestRetried",
    "RequestNotRetried",
    "RateLimitStarted",
    "RateLimitEnded",
    # Identity
    "CertificateExpiring",
    "CertificateRotated",
    "CertificateRejected",
    "TrustStoreReloaded",
    # For tracers and meters
    "TokenRefreshStarted",
    "TokenRefreshEnded",
    "TokenWaitStarted",
    "TokenWaitEnded",
    "TokenRequested",
]

"""An application with a readiness route, and certificates of a given remaining lifetime."""

from __future__ import annotations

import datetime as dt
from typing import Any

from fastapi import FastAPI

import seic
from seic.fastapi import lifespan, readiness_route
from seic.sandbox import CertificateAuthority
from seic.testing import MockProvider

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"}
_AUTHORITY = CertificateAuthority()
_DAY = dt.timedelta(days=1)


def certificate(*, left: float, lifetime: float = 730.0) -> seic.ClientCertificate:
    """Return a certificate with `left` days of its `lifetime` in days."""
    end = dt.datetime.now(dt.UTC) + left * _DAY
    issued = _AUTHORITY.issue("svc-user", not_before=end - lifetime * _DAY, not_after=end)
    return seic.ClientCertificate.load(issued.cert_pem, key=issued.key_pem)


def app_of(gateway: MockProvider, configs: Any = None, *, warm: bool = False, **options: Any) -> FastAPI:
    """Return an application with a readiness route."""
    app = FastAPI(lifespan=lifespan(configs or gateway.config(), warm=warm, transport=gateway))
    app.routes.append(readiness_route("/ready", **options))
    return app

"""A configuration for the gateway, and a server that records requests and redirects some."""

from __future__ import annotations

from typing import Any

import httpx

import seic
from seic import Hosts
from tests._support.identities import authority


def make_config(**changes: Any) -> seic.Config:
    """Return a configuration for the gateway that trusts the tests' authority."""
    settings: dict[str, Any] = {
        "provider": seic.SEI_GATEWAY,
        "client_id": "app-key",
        "client_secret": "app-secret",
        "grant": seic.ClientCredentials(username="svc-user", password="pass-word"),
        "hosts": Hosts(api="api.example", mtls="mtls.example"),
        "ca": authority().cert_pem,
    }
    return seic.Config(**{**settings, **changes})


class Recorder:
    """Record each request, and answer with a redirect or 200."""

    def __init__(self, redirects: dict[str, str] | None = None) -> None:
        self.seen: list[httpx.Request] = []
        self._redirects = redirects or {}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        self.seen.append(request)
        target = self._redirects.get(request.url.path)
        return httpx.Response(200) if target is None else httpx.Response(302, headers={"Location": target})

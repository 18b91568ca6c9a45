"""The SEI gateway in memory."""

from __future__ import annotations

from typing import Any

import httpx

import seic
from tests._support.fakes.server import FakeServer

TOKEN_PATH = "/v2/oauthtoken"


class FakeGateway(FakeServer):
    """The SEI gateway: its replies have numbers as strings and a tracking id."""

    token_path = TOKEN_PATH
    tracking_header = "requesttrackingid"

    def settings(self) -> dict[str, Any]:
        """Return the arguments of a configuration that reaches this server."""
        return {
            "provider": seic.SEI_GATEWAY,
            "client_id": "AppKey-1",
            "client_secret": "AppSecret-1",
            "grant": seic.ClientCredentials(username="svc-user", password="password-1"),
        }

    def answer_token(self, form: dict[str, str]) -> httpx.Response:
        """Issue a token."""
        return self.issue(token_type="BearerToken", expires_in=str(self.expires_in))

"""Requests to a provider's endpoints, and their replies, in memory and through the public face."""

from __future__ import annotations

import json
from typing import Any

import httpx

from seic import SEI_GATEWAY, ClientCredentials, Config, Hosts, OAuth2Auth, Provider, Token, TokenInfo
from tests._support.clocks import FakeClock

PASSWORD = "hunter2"
#: A token reply in SEI's documents.
GATEWAY_REPLY = {
    "refresh_token_expires_in": "0",
    "api_product_list": "[Investors]",
    "api_product_list_json": ["Investors"],
    "organization_name": "sei",
    "developer.email": "jdoe@seic.com",
    "token_type": "BearerToken",
    "issued_at": "1529525648451",
    "client_id": "ADsgdnnkjnfdIKJN",
    "access_token": "QxHKdx0nk2i",
    "application_name": "21c2fcd4-03ed-48815cf168",
    "scope": "",
    "expires_in": "3599",
    "refresh_count": "0",
    "status": "approved",
}


def config_of(provider: Provider, **changes: Any) -> Config:
    """Return a configuration of a client at a provider; its grant has a service account if the provider needs one."""
    if provider.username_field is None:
        grant = ClientCredentials()
    else:
        grant = ClientCredentials(username="svc", password=PASSWORD)
    settings: dict[str, Any] = {
        "provider": provider,
        "hosts": Hosts(api="api.example"),
        "client_id": "id",
        "client_secret": "secret-1",
        "grant": grant,
    }
    return Config(**{**settings, **changes})


def reply(body: object = b"", *, status: int = 200, headers: dict[str, str] | None = None) -> httpx.Response:
    """Return a reply; a body that is not bytes is sent as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx.Response(status, headers=headers, content=content)


class Endpoints(httpx.MockTransport):
    """A provider's endpoints: one reply for token requests, another for every other request.

    Attributes:
        requests: The requests so far.
    """

    def __init__(self, config: Config, token: httpx.Response, other: httpx.Response | None = None) -> None:
        super().__init__(self._answer)
        self.requests: list[httpx.Request] = []
        self._token_url = config.token_url
        self._token = token
        self._other = other or token

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        is_token_request = str(request.url) == self._token_url and b"invalidate_token" not in request.content
        answer = self._token if is_token_request else self._other
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)


def request_token(config: Config, answer: httpx.Response, *, wall: float = 1_700_000_000.0) -> Token:
    """Request a token that the endpoint answers so, at a time in seconds since the epoch."""
    return OAuth2Auth(config, transport=Endpoints(config, answer), clock=FakeClock(wall=wall).clock).token_sync()


def token_request(config: Config, *, wall: float = 1_700_000_000.0) -> httpx.Request:
    """Return the token request of a configuration."""
    endpoints = Endpoints(config, reply({"access_token": "abc"}))
    OAuth2Auth(config, transport=endpoints, clock=FakeClock(wall=wall).clock).token_sync()
    return endpoints.requests[0]


def revoke(config: Config, answer: httpx.Response | None = None, **token: Any) -> list[httpx.Request]:
    """Request a token, revoke it, and return the requests of the revocation."""
    endpoints = Endpoints(config, reply({"access_token": "abc", **token}), answer or reply({"cascade": "true"}))
    auth = OAuth2Auth(config, transport=endpoints)
    auth.token_sync()
    auth.revoke_sync()
    return endpoints.requests[1:]


def token_info(
    config: Config, answer: httpx.Response, *, token: str = "abc", wall: float = 1_700_000_000.0
) -> tuple[TokenInfo, httpx.Request]:
    """Request a token and its description; return the description and its request."""
    endpoints = Endpoints(config, reply({"access_token": token}), answer)
    info = OAuth2Auth(config, transport=endpoints, clock=FakeClock(wall=wall).clock).token_info_sync()
    return info, endpoints.requests[-1]


def parse(body: object, *, status: int = 200, headers: dict[str, str] | None = None) -> Token:
    """Return the token of a reply of the gateway, which is requested at second 1000 since the epoch."""
    config = config_of(SEI_GATEWAY, client_id="ADsgdnnkjnfdIKJN")
    return request_token(config, reply(body, status=status, headers=headers), wall=1_000.0)

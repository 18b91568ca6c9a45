"""One auth in every kind of client, and the origins that get its token."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import trio

from seic import HostNotAllowed, OAuth2Auth, TokenEndpointUnavailable
from seic.testing import MockProvider
from tests._support.api import BASE, KINDS, Api, Kind


def test_every_kind_of_client_accepts_it(api: Api, server: MockProvider, auth: OAuth2Auth, kind: Kind) -> None:
    """Each call has the token and the AppKey, and all share one token."""
    for _ in range(2):
        assert kind.request(api, auth, "GET", "/v1/accounts").status_code == 200
    assert api.tokens == ["token-1"] * 2
    assert [call.app_key for call in api.calls] == ["AppKey-1"] * 2
    assert server.token_requests == 1


def test_all_kinds_of_client_share_one_token(api: Api, server: MockProvider, auth: OAuth2Auth) -> None:
    """Clients of httpx and httpx2, async and blocking, in separate event loops."""
    for kind in KINDS:
        kind.request(api, auth, "GET", "/v1/accounts")
    assert api.tokens == ["token-1"] * 4
    assert server.token_requests == 1


def test_it_works_in_trio(api: Api, server: MockProvider, auth: OAuth2Auth) -> None:
    """Calls, and a retry after a 401."""
    api.dead.add("token-1")

    async def main() -> Any:
        # The transport's pause uses asyncio, so it is left out here.
        async with httpx.AsyncClient(auth=auth, base_url=BASE, transport=httpx.MockTransport(answer)) as client:
            return await client.get("/v1/accounts")

    def answer(request: httpx.Request) -> httpx.Response:
        status, headers, content = api.take(request, request.content)
        return httpx.Response(status, headers=headers, content=content)

    assert trio.run(main).status_code == 200
    assert api.tokens == ["token-1", "token-2"]


def test_a_foreign_url_gets_nothing(api: Api, server: MockProvider, auth: OAuth2Auth, kind: Kind) -> None:
    """No token is requested for it either."""
    with pytest.raises(HostNotAllowed):
        kind.request(api, auth, "GET", "https://elsewhere.example/v1")
    assert api.calls == []
    assert server.token_requests == 0


def test_a_failed_token_request_is_the_error_of_the_request(
    api: Api, server: MockProvider, auth: OAuth2Auth, kind: Kind
) -> None:
    """The call is not sent."""
    server.token_responses.extend([httpx.Response(503)] * 2)
    with pytest.raises(TokenEndpointUnavailable):
        kind.request(api, auth, "GET", "/v1/accounts")
    assert api.calls == []

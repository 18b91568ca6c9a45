"""A path of the API that accepts no token costs few tokens, and does not keep other paths from a new one."""

from __future__ import annotations

import asyncio

import pytest

from seic import OAuth2Auth
from seic.testing import MockProvider
from tests._support.api import CHALLENGE, KINDS, NOT_REPLAYED, Api, Call, Kind
from tests._support.clocks import FakeClock


def broken(call: Call) -> tuple[int, dict[str, str], bytes] | None:
    """Reject every token on some paths."""
    return (401, CHALLENGE, b"") if "/broken" in call.path else None


def test_another_path_gets_a_new_token_when_its_token_is_revoked(
    api: Api, server: MockProvider, auth: OAuth2Auth, clock: FakeClock, kind: Kind
) -> None:
    """The renewals for the rejecting path pause by then, up to a minute."""
    api.answer = broken
    for _ in range(120):
        kind.request(api, auth, "GET", "/v1/broken")
        clock.advance(0.5)
    api.dead.add(f"token-{server.token_requests}")
    before = server.token_requests
    assert kind.request(api, auth, "GET", "/v1/accounts").status_code == 200
    assert server.token_requests == before + 1


def test_the_paths_renewals_stay_few_while_other_tokens_are_revoked(
    api: Api, server: MockProvider, auth: OAuth2Auth, clock: FakeClock, kind: Kind
) -> None:
    """A retry that is accepted elsewhere tells nothing about the path that rejected all of them."""
    api.answer = broken
    for _ in range(60):
        kind.request(api, auth, "GET", "/v1/broken")
        api.dead.add(f"token-{server.token_requests}")
        assert kind.request(api, auth, "GET", "/v1/accounts").status_code == 200
        clock.advance(1)
    # One for each revocation; the first one; and 1, 2, 4 ... seconds apart those of the rejecting path.
    assert server.token_requests <= 60 + 1 + 7


def test_an_accepted_retry_ends_the_row(
    api: Api, server: MockProvider, auth: OAuth2Auth, clock: FakeClock, kind: Kind
) -> None:
    """The next pause is a second again."""
    api.answer = broken
    for _ in range(5):
        kind.request(api, auth, "GET", "/v1/broken")
        clock.advance(20)
    api.answer = lambda _call: None
    api.dead.add(f"token-{server.token_requests}")
    assert kind.request(api, auth, "GET", "/v1/broken").status_code == 200
    api.answer = broken
    kind.request(api, auth, "GET", "/v1/broken")
    before = server.token_requests
    clock.advance(1)
    kind.request(api, auth, "GET", "/v1/broken")
    assert server.token_requests == before + 1


def test_methods_of_a_path_are_told_apart(api: Api, server: MockProvider, auth: OAuth2Auth, kind: Kind) -> None:
    """A POST that needs another token does not keep a GET from a new one."""
    api.answer = lambda call: (401, CHALLENGE, b"") if call.method == "POST" else None
    assert kind.request(api, auth, "POST", "/v1/accounts").status_code == 401
    api.dead.add(f"token-{server.token_requests}")
    assert kind.request(api, auth, "GET", "/v1/accounts").status_code == 200


@pytest.mark.parametrize("query", [False, True], ids=["paths", "queries"])
def test_many_rejecting_paths_cost_few_tokens(
    api: Api, server: MockProvider, auth: OAuth2Auth, kind: Kind, query: bool
) -> None:
    """Each of the first eight may cost a token; all further ones share a pause."""
    api.answer = broken
    for number in range(50):
        url = f"/v1/broken?id={number}" if query else f"/v1/broken/{number}"
        assert NOT_REPLAYED in kind.request(api, auth, "GET", url).extensions
    assert server.token_requests == 1 + (1 if query else 9)


async def test_two_rejecting_paths_at_once_cost_few_tokens(
    api: Api, server: MockProvider, auth: OAuth2Auth, clock: FakeClock
) -> None:
    """The retry of one may be rejected when the other has a newer token already; it counts all the same."""
    api.answer = broken
    async with KINDS[0].client(api, auth) as client:
        for _ in range(60):
            await asyncio.gather(*(client.get(f"/v1/broken/{number % 2}") for number in range(6)))
            clock.advance(1)
    assert server.token_requests <= 1 + 2 * 7

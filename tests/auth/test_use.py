"""Calls that count as use of a token."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from seic import OAuth2Auth
from seic.testing import MockProvider
from tests._support.api import BASE, CHALLENGE, Api, Kind
from tests._support.clocks import FakeClock


@pytest.mark.parametrize(
    ("status", "counts"),
    [(200, True), (204, True), (302, True), (403, True), (404, True), (499, True), (500, False), (503, False)],
)
def test_use_is_what_the_api_took(
    api: Api, server: MockProvider, auth: OAuth2Auth, clock: FakeClock, kind: Kind, status: int, counts: bool
) -> None:
    """The idle lifetime counts from the last call that the API accepted; a 5xx may come from a proxy."""
    kind.request(api, auth, "GET", "/v1/accounts")
    clock.advance(1700)
    api.answer = lambda _: (status, {}, b"")
    kind.request(api, auth, "GET", "/v1/accounts")
    clock.advance(1700)
    if not counts:
        assert auth.current is None
    kind.request(api, auth, "GET", "/v1/accounts")
    # At 3400 of 3600 s the advisory period has started: the call continues, while one refreshes.
    assert api.tokens[-1] == ("token-1" if counts else "token-2")


def test_a_call_that_never_got_an_answer_is_no_use(api: Api, auth: OAuth2Auth, clock: FakeClock, kind: Kind) -> None:
    """It is unknown whether the request arrived."""
    kind.request(api, auth, "GET", "/v1/accounts")
    clock.advance(1700)

    def lose(_: Any) -> Any:
        raise kind.library.ReadError("lost")

    api.answer = lose
    with pytest.raises(kind.library.ReadError):
        kind.request(api, auth, "GET", "/v1/accounts")
    clock.advance(100)
    assert auth.current is None


@pytest.mark.parametrize(("status", "counts"), [(200, True), (401, False), (503, False)])
def test_a_replay_is_a_use_like_any_other(auth: OAuth2Auth, clock: FakeClock, status: int, counts: bool) -> None:
    """The idle lifetime of the new token counts from the retry if the API accepted it."""
    request = httpx.Request("GET", f"{BASE}/v1/accounts")
    flow = auth.sync_auth_flow(request)
    next(flow)
    auth.token_sync(force=True)
    clock.advance(1000)
    flow.send(httpx.Response(401, headers=CHALLENGE, request=request))
    with pytest.raises(StopIteration):
        flow.send(httpx.Response(status, request=request))

    clock.advance(754)
    assert auth.current is not None
    clock.advance(1)
    assert (auth.current is not None) is counts
    clock.advance(1000)
    assert auth.current is None

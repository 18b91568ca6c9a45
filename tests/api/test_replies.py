"""`raise_for_status`: errors of the API."""

from __future__ import annotations

import pickle
from typing import Any

import attrs
import httpx
import httpx2
import pytest

import seic
from seic import ApiError, LoggedInElsewhere, raise_for_status
from tests._support.api import CHALLENGE, KINDS, Api, auth_for
from tests._support.mocks import endpoint_mock
from tests._support.planted import Planted

FORM = {
    "code": "gateway.validation.failure",
    "message": "The request is not valid.",
    "trackingId": "body-track",
    "transient": "false",
    "errors": [{"field": "limit", "location": "query", "reason": "must be at most 50"}],
}
ELSEWHERE = {
    "error": {
        "code": 403,
        "message": "Your session has been logged out as the same user is logged in elsewhere.",
        "subcode": "018",
        "errorid": "",
    }
}


@pytest.fixture(params=[httpx, httpx2], ids=lambda library: library.__name__)
def library(request: pytest.FixtureRequest) -> Any:
    """Return either library."""
    return request.param


def error_of(reply: Any, **options: Any) -> ApiError:
    """Return the error that a response raises."""
    with pytest.raises(ApiError) as caught:
        raise_for_status(reply, **options)
    return caught.value


@pytest.mark.parametrize("status", [200, 204, 302, 304, 399])
def test_what_is_no_error_is_returned(library: Any, status: int) -> None:
    """So that it can wrap a call; a redirect is not an error either."""
    reply = library.Response(status)
    assert raise_for_status(reply) is reply


def test_the_providers_error_is_read(library: Any) -> None:
    """Code, tracking id, transient, fields; the header's tracking id takes precedence over the body's."""
    error = error_of(library.Response(400, json=FORM, headers={"requesttrackingid": "head-track"}))

    assert (error.status, error.code, error.tracking_id) == (400, "gateway.validation.failure", "head-track")
    assert error.transient is False
    assert [attrs.astuple(field) for field in error.errors] == [("limit", "query", "must be at most 50")]
    assert "head-track" in str(error)
    assert not isinstance(error, LoggedInElsewhere)


def test_an_error_in_no_known_form_is_raised_as_well(library: Any) -> None:
    """It has the known facts: status, tracking id, and the time to wait."""
    reply = library.Response(503, text="<html>", headers={"requesttrackingid": "track-1", "Retry-After": "7"})
    error = error_of(reply)

    assert str(error) == "the API answered 503"
    assert (error.status, error.code, error.tracking_id, error.retry_after) == (503, None, "track-1", 7)
    assert error.transient is None


def test_another_provider_names_its_header(library: Any) -> None:
    """The header is a setting of the provider."""
    provider = attrs.evolve(seic.OAUTH2, tracking_header="X-Request-Id")
    reply = library.Response(500, headers={"X-Request-Id": "track-2", "requesttrackingid": "another"})
    assert error_of(reply, provider=provider).tracking_id == "track-2"
    assert error_of(reply, provider=seic.OAUTH2).tracking_id is None


def test_a_session_that_was_taken_over_names_the_remedy_and_its_price(library: Any) -> None:
    """The remedy ends another session, so it is named but never applied."""
    error = error_of(library.Response(403, json=ELSEWHERE))
    assert isinstance(error, LoggedInElsewhere)
    assert "endOtherSessions" in str(error)
    assert "ends the other session" in str(error)


@pytest.mark.parametrize("change", [{"status": 400}, {"subcode": "019"}])
def test_only_the_platforms_own_words_mean_that(library: Any, change: dict[str, Any]) -> None:
    """Both 403 and subcode 018."""
    form = {"error": {**ELSEWHERE["error"], "subcode": change.get("subcode", "018")}}
    error = error_of(library.Response(change.get("status", 403), json=form))
    assert not isinstance(error, LoggedInElsewhere)
    assert "endOtherSessions" not in str(error)


def test_a_401_says_why_it_was_not_replayed() -> None:
    """The error has a note, also after a pickle."""
    api, server = Api(), endpoint_mock()
    api.dead.add("token-1")
    reply = KINDS[1].request(api, auth_for(server), "POST", "/v1/orders", content=iter([b"once"]))
    error = error_of(reply)

    for one in (error, pickle.loads(pickle.dumps(error))):  # noqa: S301  # our own pickle
        assert one.status == 401
        assert any("sent only once" in note for note in one.__notes__)


async def test_a_reply_that_is_being_streamed_is_judged_by_its_head(library: Any) -> None:
    """An unread body is not evaluated; a body that was read is."""
    kind = next(kind for kind in KINDS if kind.library is library and kind.is_async)
    api = Api()
    api.answer = lambda _: (400, {"requesttrackingid": "track-1"}, httpx.Response(400, json=FORM).content)
    async with kind.client(api, auth_for(endpoint_mock())) as client, client.stream("GET", "/v1") as reply:
        error = error_of(reply)
        assert (error.status, error.code, error.tracking_id) == (400, None, "track-1")
        await reply.aread()
        assert error_of(reply).code == "gateway.validation.failure"


def test_an_api_that_echoes_the_token_gets_it_into_no_error(library: Any) -> None:
    """Neither into its message nor into the frames of its traceback."""
    planted = Planted()
    token = planted.add("token", "the-token-itself.1234")
    said = f"no such token: Bearer {token}"
    form = {"code": said, "message": said, "trackingId": said, "errors": [{"field": token, "reason": said}]}
    request = library.Request("GET", "https://api.example/v1", headers={"Authorization": f"Bearer {token}"})
    for reply in (
        library.Response(401, json=form, request=request),
        library.Response(401, headers={"requesttrackingid": said}, text=said, request=request),
        library.Response(401, headers={"WWW-Authenticate": f'Bearer error="{said}"'}, request=request),
    ):
        assert planted.find_in_error(error_of(reply)) == []


def test_a_challenge_speaks_where_the_body_does_not(library: Any) -> None:
    """RFC 6750 §3."""
    assert error_of(library.Response(401, headers=CHALLENGE)).code == "invalid_token"

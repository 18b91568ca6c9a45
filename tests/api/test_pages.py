"""`client.pages`: `Link` headers and cursors, and the mistakes that would read the first page for ever."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

import seic
import seic.httpx2

_TOTAL = 5
_ORIGIN = "https://api.example"


def _config(**provider: Any) -> seic.Config:
    return seic.Config(
        provider=seic.Provider(token_url="/token", **provider),
        hosts=seic.Hosts(api="api.example"),
        client_id="id",
        client_secret="s",
        grant=seic.ClientCredentials(),
    )


class _Api(httpx.MockTransport):
    """Five pages; `page` returns the reply of one, with the number of the next or None."""

    def __init__(self, page: Callable[[int, int | None], httpx.Response], parameter: str = "cursor") -> None:
        super().__init__(self._answer)
        self.page, self.parameter = page, parameter
        self.asked: list[str] = []

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/token":
            return httpx.Response(200, json={"access_token": "t", "expires_in": 60})
        assert request.headers["Authorization"] == "Bearer t"
        self.asked.append(str(request.url).removeprefix(_ORIGIN))
        number = int(request.url.params.get(self.parameter, "1"))
        return self.page(number, number + 1 if number < _TOTAL else None)


@pytest.fixture(autouse=True, params=["httpx", "httpx2"])
def _clients(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run each test with the clients of both libraries."""
    if request.param == "httpx2":
        monkeypatch.setattr(seic, "AsyncClient", seic.httpx2.AsyncClient)
        monkeypatch.setattr(seic, "Client", seic.httpx2.Client)


async def _numbers(api: _Api, blocking: bool, url: str = "/items", *, config: seic.Config, **options: Any) -> list[int]:
    """Return the pages' numbers."""
    if blocking:
        with seic.Client(config, transport=api) as client:
            return [page.json()["page"] for page in client.pages(url, **options)]
    async with seic.AsyncClient(config, transport=api) as client:
        return [page.json()["page"] async for page in client.pages(url, **options)]


def _by_link(number: int, following: int | None) -> httpx.Response:
    links = [f'</items?cursor={number}>; rel="self"']
    links += [] if following is None else [f'</items?size=2&cursor={following}>; title="a, b"; rel="next"']
    return httpx.Response(200, json={"page": number}, headers={"Link": ", ".join(links)})


def _by_url(number: int, following: int | None) -> httpx.Response:
    return httpx.Response(200, json={"page": number, "next": following and f"{_ORIGIN}/items?cursor={following}"})


def _by_cursor(number: int, following: int | None) -> httpx.Response:
    return httpx.Response(200, json={"page": number, "meta": {"next": following}})


def _lacking(number: int, following: int | None) -> httpx.Response:
    """A last page without the member."""
    body = {"page": number, **({} if following is None else {"next": str(following)})}
    return httpx.Response(200, json=body)


_CURSOR = {"page_cursor_field": "meta.next", "page_cursor_parameter": "cursor"}
BOTH = pytest.mark.parametrize("blocking", [False, True], ids=["async", "blocking"])


@BOTH
@pytest.mark.parametrize(
    ("page", "provider"),
    [
        (_by_link, {}),
        (_by_url, {"page_cursor_field": "next"}),
        (_by_cursor, _CURSOR),
        (_lacking, {"page_cursor_field": "next", "page_cursor_parameter": "cursor"}),
    ],
    ids=["Link", "URL", "cursor", "no cursor at the end"],
)
async def test_all_pages(page: Any, provider: dict[str, str], blocking: bool) -> None:
    """Each once, in order, and nothing after the last."""
    api = _Api(page)
    assert await _numbers(api, blocking, config=_config(**provider)) == [1, 2, 3, 4, 5]
    assert len(api.asked) == _TOTAL


@BOTH
async def test_parameters_stay(blocking: bool) -> None:
    """Those of the call, also if the client has some of its own."""
    api = _Api(_by_cursor)
    await _numbers(api, blocking, "/items?size=2", config=_config(**_CURSOR))
    assert api.asked[:2] == ["/items?size=2", "/items?size=2&cursor=2"]
    api = _Api(_by_cursor)
    async with seic.AsyncClient(_config(**_CURSOR), transport=api, params={"tenant": "x"}) as client:
        pages = [page async for page in client.pages("/items", params={"size": 2})]
    assert len(pages) == _TOTAL
    assert api.asked[:2] == ["/items?tenant=x&size=2", "/items?tenant=x&size=2&cursor=2"]


@BOTH
async def test_a_repeated_page_is_an_error(blocking: bool) -> None:
    """The API ignores a parameter of a wrong name, and would return page 1 for ever."""
    api = _Api(_by_cursor, parameter="after")
    with pytest.raises(seic.ConfigurationError, match="ignores the cursor") as caught:
        await _numbers(api, blocking, config=_config(**_CURSOR))
    assert caught.value.field == "provider.page_cursor_parameter"
    assert len(api.asked) == 2
    circle = _Api(lambda number, _: _by_link(number, number % 3 + 1))
    with pytest.raises(seic.ConfigurationError, match="repeats itself"):
        await _numbers(circle, blocking, config=_config())
    assert len(circle.asked) == 4  # the first page has another URL than the link to it


@BOTH
@pytest.mark.parametrize(
    ("page", "words"),
    [
        (_by_cursor, "has no meta.cursor; the members there are: next"),
        (lambda *_: httpx.Response(200, json=[1]), "the members there are: none"),
        (lambda *_: httpx.Response(200, text="<html>"), "is not JSON"),
        (lambda *_: httpx.Response(200, json={"meta": {"cursor": {}}}), "must be a string or a number, not dict"),
    ],
    ids=["name", "list", "page", "object"],
)
async def test_a_wrong_name_is_an_error(page: Any, words: str, blocking: bool) -> None:
    """Before the first page is processed, and with the names that there are."""
    config = _config(page_cursor_field="meta.cursor", page_cursor_parameter="cursor")
    with pytest.raises(seic.ConfigurationError, match="page_cursor_field") as caught:
        await _numbers(_Api(page), blocking, config=config)
    assert words in str(caught.value)
    assert caught.value.field == "provider.page_cursor_field"


async def test_a_member_that_the_only_page_lacks() -> None:
    """A question mark allows that."""
    api = _Api(lambda number, _: _lacking(number, None))
    config = _config(page_cursor_field="next?", page_cursor_parameter="cursor")
    assert await _numbers(api, blocking=False, config=config) == [1]


@BOTH
async def test_an_error_reply(blocking: bool) -> None:
    """It is raised with the provider's words."""
    api = _Api(lambda number, following: httpx.Response(500) if number == 2 else _by_link(number, following))
    with pytest.raises(seic.ApiError) as caught:
        await _numbers(api, blocking, config=_config())
    assert caught.value.status == 500


@BOTH
async def test_a_page_on_another_host(blocking: bool) -> None:
    """The token is not sent there."""
    api = _Api(
        lambda *_: httpx.Response(200, json={"page": 1}, headers={"Link": '<https://evil.example/>; rel="next"'})
    )
    with pytest.raises(seic.HostNotAllowed):
        await _numbers(api, blocking, config=_config())
    assert api.asked == ["/items"]


def test_variables() -> None:
    """The names are settings of the provider."""
    config = seic.Config.from_env({
        "SEIC_TOKEN_URL": "/token",
        "SEIC_API_HOST": "api.example",
        "SEIC_CLIENT_ID": "id",
        "SEIC_CLIENT_SECRET": "s",
        "SEIC_PAGE_CURSOR_FIELD": "meta.next",
        "SEIC_PAGE_CURSOR_PARAMETER": "cursor",
    })  # fmt: skip
    assert (config.provider.page_cursor_field, config.provider.page_cursor_parameter) == ("meta.next", "cursor")

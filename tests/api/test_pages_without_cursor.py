"""`client.pages` of a provider that names no cursor: a reply that says that there are more pages is an error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import httpx
import pytest

import seic
from seic.sandbox import Sandbox
from tests._support.sandbox_client import ACCOUNTS_PATH


def _pages(document: Any, headers: Mapping[str, str] | None = None, **provider: Any) -> list[Any]:
    """Return the pages of an API that answers each request with the document."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/token":
            return httpx.Response(200, json={"access_token": "t", "expires_in": 60})
        return httpx.Response(200, json=document, headers=headers)

    config = seic.Config(
        provider=seic.Provider(token_url="/token", **provider),
        hosts=seic.Hosts(api="api.example"),
        client_id="id",
        client_secret="s",
        grant=seic.ClientCredentials(),
    )
    with seic.Client(config, transport=httpx.MockTransport(answer)) as client:
        return [page.json() for page in client.pages("/items")]


@pytest.mark.parametrize(
    ("document", "member"),
    [
        ({"accounts": [], "nextCursor": "c2"}, "nextCursor"),
        ({"meta": {"next_cursor": "c2"}}, "meta.next_cursor"),
        ({"nextToken": "c2"}, "nextToken"),
        ({"NextMarker": "c2", "IsTruncated": True}, "NextMarker"),
        ({"nextPageToken": "c2"}, "nextPageToken"),
        ({"continuationToken": "c2"}, "continuationToken"),
        ({"page": 1, "next_page": 2}, "next_page"),
        ({"cursor": "c2", "has_more": True}, "cursor"),
        (
            {"data": {"items": {"pageInfo": {"hasNextPage": True}}}, "pageInfo": {"endCursor": "c"}},
            "pageInfo.endCursor",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_cursor(document: Any, member: str) -> None:
    """The likely member is named, and that a parameter takes it."""
    with pytest.raises(seic.ConfigurationError) as caught:
        _pages(document)

    assert caught.value.field == "provider.page_cursor_field"
    assert f"set it to {member}, and provider.page_cursor_parameter to the parameter" in str(caught.value)


@pytest.mark.parametrize(
    ("document", "member"),
    [
        ({"next": "https://api.example/items?page=2"}, "next"),
        ({"_links": {"next": {"href": "/items?page=2"}, "self": {"href": "/items"}}}, "_links.next.href"),
        ({"value": [], "@odata.nextLink": "https://api.example/items?$skiptoken=2"}, "@odata.nextLink"),
        ({"paging": {"next": "https://api.example/items?after=2"}}, "paging.next"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_url(document: Any, member: str) -> None:
    """A parameter is not needed, and the named member is followed."""
    with pytest.raises(seic.ConfigurationError) as caught:
        _pages(document)
    assert str(caught.value).endswith(f"; set it to {member}")

    with pytest.raises(seic.ConfigurationError, match="was there before"):
        _pages(document, page_cursor_field=member)


@pytest.mark.parametrize(
    "document", [{"has_more": True}, {"last": False, "totalPages": 3}, {"meta": {"page_count": 2}}], ids=str
)
def test_more_pages_without_a_cursor(document: Any) -> None:
    """They are not lost without a word."""
    with pytest.raises(seic.ConfigurationError, match=r"or request the pages with client\.get"):
        _pages(document)


@pytest.mark.parametrize(
    "document",
    [
        [{"id": 1}],
        [],
        "text",
        {"items": []},
        {"items": [{"next": "x", "nextCursor": "y"}]},
        {"next": None, "has_more": False},
        {"next": ""},
        {"cursor": "c1", "has_more": False},
        {"next_page": 0},
        {"totalPages": 1},
        {"pageInfo": {"hasNextPage": False, "endCursor": "c"}},
        {"nextReview": "2027-01-01", "pages": 312, "title": "a book"},
    ],
    ids=str,
)
def test_a_single_page(document: Any) -> None:
    """A collection of one page, as APIs with `Link` headers return it too, has no sign of another."""
    assert _pages(document) == [document]


def test_links_decide() -> None:
    """An API that sends `Link` says there which page is the last."""
    assert len(_pages({"next": "x"}, headers={"Link": '</items?page=1>; rel="first"'})) == 1


def test_a_question_mark_allows_the_member() -> None:
    """The name of a member that is not there says that the collection has one page."""
    assert len(_pages({"next": "another thing"}, page_cursor_field="pages.next?")) == 1


def test_a_flag_is_no_cursor() -> None:
    """It would be sent as the word True."""
    with pytest.raises(seic.ConfigurationError, match="must be a string or a number, not bool"):
        _pages({"has_more": True}, page_cursor_field="has_more", page_cursor_parameter="cursor")


async def test_the_gateway() -> None:
    """It has cursors and no `Link`: what the error names makes the iteration complete."""
    with Sandbox() as sandbox:
        config = sandbox.config()
        async with seic.AsyncClient(config) as client:
            with pytest.raises(seic.ConfigurationError, match="set it to nextCursor, and"):
                _ = [page async for page in client.pages(ACCOUNTS_PATH)]
        provider = attrs.evolve(config.provider, page_cursor_field="nextCursor", page_cursor_parameter="cursor")
        async with seic.AsyncClient(attrs.evolve(config, provider=provider)) as client:
            assert len([page async for page in client.pages(ACCOUNTS_PATH)]) == 3

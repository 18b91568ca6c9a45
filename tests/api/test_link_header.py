"""The `Link` header of `client.pages`, in the forms that RFC 8288 allows, and URLs that cannot be followed."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

import seic


def _paths(link: str | None, *, body: Any = None, **provider: Any) -> list[str]:
    """Return the URLs that are requested if the first page has a header; more than five are an endless iteration."""
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/token":
            return httpx.Response(200, json={"access_token": "t", "expires_in": 60})
        asked.append(str(request.url).removeprefix("https://api.example"))
        assert len(asked) <= 5, asked
        headers = {"Link": link} if link is not None and len(asked) == 1 else {}
        return httpx.Response(200, json=body, headers=headers)

    config = seic.Config(
        provider=seic.Provider(token_url="/token", **provider),
        hosts=seic.Hosts(api="api.example"),
        client_id="id",
        client_secret="s",
        grant=seic.ClientCredentials(),
    )
    with seic.Client(config, transport=httpx.MockTransport(answer)) as client:
        for _ in client.pages("/items"):
            pass
    return asked


@pytest.mark.parametrize(
    "link",
    [
        '</p2>; rel="next"',
        "</p2>; rel=next",
        '</p2>;rel="next last"',
        '</p2>; rel="last next"',
        '</p2>; REL="NEXT"',
        '</p2> ; title="a; rel=\\"prev\\", <b>" ; rel = "next"',
        '</p1>; rel="prev", </p2>; rel="next"',
        '<https://api.example/p2>; rel="next"; rel="prev"',
        '<p2>; rel="https://rel.example/x next"',
    ],
)
def test_the_next_page(link: str) -> None:
    """Several relations, capitals, quotes, and links before it."""
    assert _paths(link) == ["/items", "/p2"]


@pytest.mark.parametrize(
    ("link", "asked"),
    [
        ('</p2?ids=1,2;3>; rel="next"', "/p2?ids=1%2C2%3B3"),
        ('<?page=2>; rel="next"', "/items?page=2"),
        ('<//api.example/p2>; rel="next"', "/p2"),
    ],
)
def test_its_url(link: str, asked: str) -> None:
    """It may be relative, and contain the separators of the header."""
    assert _paths(link) == ["/items", asked]


@pytest.mark.parametrize(
    "link",
    [
        '</p2>; rel="nextish"',
        '</p2>; rel="prev"; rel="next"',
        '</p2>; anchor="/others"; rel="next"',
        '</p2>; title="rel=next"',
        "</p2>",
        "",
    ],
)
def test_no_next_page(link: str) -> None:
    """The first `rel` counts, and a link with an anchor is about another document."""
    assert _paths(link) == ["/items"]


@pytest.mark.parametrize(
    "link",
    [
        '/p2; rel="next"',
        '</p2; rel="next"',
        '</p2>, rel="next"',
        '</p2> rel="next"',
        '"</p2>"; rel=next',
        '</p1>; rel="prev", /p2; rel="last next"',
    ],
)
def test_a_malformed_next_page_is_an_error(link: str) -> None:
    """It is not the last page; with a cursor the header is not needed."""
    with pytest.raises(seic.ConfigurationError, match="the Link header of the page /items is malformed") as caught:
        _paths(link)
    assert caught.value.field == "provider.page_cursor_field"
    assert _paths(link, body={"next": None}, page_cursor_field="next") == ["/items"]


@pytest.mark.parametrize("link", ["</p2>; rel='next'", "/p1; rel=prev", '</p2>; title="a next b", x'])
def test_other_slips(link: str) -> None:
    """Single quotes are understood, and only the relation `next` counts."""
    assert _paths(link) == (["/items", "/p2"] if "rel='next'" in link else ["/items"])


@pytest.mark.parametrize("link", ['<https://evil.example/>; rel="next"', '<//evil.example/p2>; rel="next"'])
def test_another_host(link: str) -> None:
    """The token is not sent there."""
    with pytest.raises(seic.HostNotAllowed):
        _paths(link)


@pytest.mark.parametrize("cursor", ["javascript:alert(1)", "/items?$skiptoken=2", "?a=b;c"])
def test_a_url_that_is_sent_in_another_form_is_recognized(cursor: str) -> None:
    """Its repetition is an error, not an endless iteration."""
    with pytest.raises(seic.ConfigurationError, match="was there before"):
        _paths(None, body={"next": cursor}, page_cursor_field="next")


def test_a_number_without_its_parameter() -> None:
    """A number cannot be followed as a URL."""
    with pytest.raises(seic.ConfigurationError, match="next is a number") as caught:
        _paths(None, body={"next": 2}, page_cursor_field="next")

    assert caught.value.field == "provider.page_cursor_parameter"


def test_a_malformed_url() -> None:
    """A typed error, not one of httpx."""
    with pytest.raises(seic.ConfigurationError, match="is malformed"):
        _paths(None, body={"next": "https://api.example:port/"}, page_cursor_field="next")


def test_a_redirect() -> None:
    """It is not taken for a page; httpx follows none by default."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/token":
            return httpx.Response(200, json={"access_token": "t", "expires_in": 60})
        moved = request.url.path == "/items"
        return httpx.Response(301, headers={"Location": "/items/"}) if moved else httpx.Response(200, json=[])

    config = seic.Config(
        provider=seic.Provider(token_url="/token"),
        hosts=seic.Hosts(api="api.example"),
        client_id="id",
        client_secret="s",
        grant=seic.ClientCredentials(),
    )
    transport = httpx.MockTransport(answer)
    with (
        seic.Client(config, transport=transport) as client,
        pytest.raises(seic.ConfigurationError, match="/items redirects to /items/;") as caught,
    ):
        list(client.pages("/items"))
    assert caught.value.field == "url"
    with seic.Client(config, transport=transport, follow_redirects=True) as client:
        assert len(list(client.pages("/items"))) == 1

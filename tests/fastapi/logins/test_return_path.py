"""The page after a login: one of this application, never another site."""

from __future__ import annotations

import httpx
import pytest
from fastapi import Depends
from fastapi.testclient import TestClient

import seic
from tests._support.login_site import Site


@pytest.mark.parametrize(
    "following",
    [
        "https://evil.example/",
        "//evil.example/",
        "///evil.example/",
        "/\\evil.example/",
        "\\\\evil.example/",
        "/\t/evil.example/",
        "/\n/evil.example/",
        "\t//evil.example/",
        " //evil.example/",
        "javascript:alert(1)",
        "http:evil.example",
        "evil.example",
        "@evil.example",
        "https://app.example@evil.example/",
        "//app.example@evil.example/",
        "/%5c\\evil.example/",
        "/\x00/evil.example/",
        "/\x7f/evil.example/",
        "/\u2028/evil.example/",
        "/path\r\nSet-Cookie: a=b",
        "/" + "x" * 1500,
        "/" + "é" * 250,
        "",
    ],
)
def test_attack_open_redirect(following: str, site: Site, browser: TestClient) -> None:
    """A login that ends on another site is ideal for phishing."""
    location = browser.get("/login", params={"next": following}).headers["Location"]
    back = browser.get(site.platform.log_in(location))

    assert back.headers["Location"] == "/"


@pytest.mark.parametrize(
    ("following", "location"),
    [
        ("/me", "/me"),
        ("/me?a=1&b=2#c", "/me?a=1&b=2#c"),
        ("/%2F%2Fevil.example", "/%2F%2Fevil.example"),
        ("/%5Cevil.example", "/%5Cevil.example"),
        ("/%09/evil.example", "/%09/evil.example"),
        ("/%0D%0ASet-Cookie:%20a=b", "/%0D%0ASet-Cookie:%20a=b"),
        ("/100%25?a=%2525&b=%", "/100%25?a=%2525&b=%"),
        ("""/!"#$%&'()*+,-./:;<=>?@[]^_`{|}~""", """/!"#$%&'()*+,-./:;<=>?@[]^_`{|}~"""),
        ("/a b", "/a%20b"),
        ("/é", "/%C3%A9"),
        ("/.//evil.example", "/.//evil.example"),
        ("/@evil.example", "/@evil.example"),
    ],
)
def test_paths_of_this_application_are_followed(following: str, location: str, site: Site, browser: TestClient) -> None:
    """Unchanged; a browser resolves each of them to this host."""
    begun = browser.get("/login", params={"next": following})

    assert browser.get(site.platform.log_in(begun.headers["Location"])).headers["Location"] == location


@pytest.mark.parametrize(
    "address",
    [
        "/files/100%25",
        "/files/a%2Fb%2525",
        "/files/a+b%20c?q=a+b%20c%2526&r=%2F&s=a%3Db;c",
        "/files/%C3%A9%E9?%C3%A9",
        "/files/a|b^c`d{e}?x=|^`{}<>",
        "/files/x?",
    ],
)
def test_a_user_returns_to_the_requested_address(address: str, site: Site, browser: TestClient) -> None:
    """Byte for byte: an address that is decoded or encoded twice is another one."""

    async def read(client: seic.AsyncClient = Depends(site.logins.client)) -> None: ...  # noqa: B008

    site.app.get("/files/{path:path}")(read)
    asked = httpx.URL(f"https://app.example{address}").raw_path.decode()
    sent = browser.get(address).headers["Location"]

    assert site.log_in(browser, sent).headers["Location"] == asked.removesuffix("?")


def test_the_longest_path_fits_a_cookie(site: Site, browser: TestClient) -> None:
    """Browsers drop a cookie of more than 4096 bytes, and the login with it."""
    following = "/" + "é" * 249  # 1,495 bytes when encoded
    begun = browser.get("/login", params={"next": following})

    assert len(begun.headers["set-cookie"]) < 4096
    assert browser.get(site.platform.log_in(begun.headers["Location"])).headers["Location"] == "/" + "%C3%A9" * 249

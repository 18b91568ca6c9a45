"""The origin guard: requests and redirects to another origin are refused."""

from __future__ import annotations

from types import ModuleType

import httpx
import httpx2
import pytest

from seic import AsyncTransport, HostNotAllowed, Hosts, Transport
from tests._support.hops import Recorder, make_config
from tests._support.identities import certificate

# URLs


def guarded(origin: str) -> Transport:
    """Return a transport for one origin, without a network."""
    return Transport(make_config(hosts=Hosts(api=origin)), transport=httpx.MockTransport(Recorder()))


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
@pytest.mark.parametrize(
    ("origin", "url"),
    [
        ("api.example", "https://api.example"),
        ("api.example", "https://api.example:443/x?y#z"),
        ("api.example", "HTTPS://API.Example/x"),
        ("api.example:8443", "https://api.example:8443/"),
        ("api.example", "https://somebody:else@api.example/"),
        ("api.example", "https://evil.example\\@api.example/"),
        ("api.example", "https://api.example/\\evil.example/"),
        ("api.example", "https://api.example//evil.example/"),
        ("127.0.0.1:8443", "https://127.0.0.1:8443/"),
        ("[::1]:8443", "https://[::1]:8443/"),
        ("xn--bcher-kva.example", "https://bücher.example/"),
        ("www.xn--bcher-kva.example", "https://www.xn--bcher-kva.example/"),
    ],
)
def test_urls_of_the_origin_are_allowed(library: ModuleType, origin: str, url: str) -> None:
    """Scheme, host and port decide, not the spelling of the URL."""
    assert guarded(origin).handle_request(library.Request("GET", url)).status_code == 200


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://api.example/", "api.example"),
        ("wss://api.example/", "api.example"),
        ("https://api.example:444/", "api.example:444"),
        ("https://api.example:80/", "api.example:80"),
        ("http://api.example:443/", "api.example:443"),
        ("https://evil.example/", "evil.example"),
        ("https://api.example.evil.example/", "api.example.evil.example"),
        ("https://evilapi.example/", "evilapi.example"),
        ("https://api.example./", "api.example."),
        ("https://mtls.example/", "mtls.example"),
        ("https://api.example@evil.example/", "evil.example"),
        ("https://api.example\\@evil.example/", "evil.example"),
        ("https://api.example:443@evil.example/", "evil.example"),
        ("https://evil.example/@api.example/", "evil.example"),
        ("https://evil.example#@api.example/", "evil.example"),
        ("https://evil.example?@api.example/", "evil.example"),
        ("https://api%2eexample/", "api%2eexample"),
        ("https://аpi.example/", "xn--pi-6kc.example"),
        ("https://xn--a/", "xn--a"),
        ("https://[::1]/", "[::1]"),
        ("https://[::1]:8443/", "[::1]:8443"),
        ("https://127.0.0.1/", "127.0.0.1"),
        ("//evil.example/", "evil.example"),
        ("/path", ""),
        ("", ""),
    ],
)
def test_urls_of_another_origin_are_refused(library: ModuleType, url: str, host: str) -> None:
    """The error names the host that would be called, which reveals a misleading spelling."""
    with pytest.raises(HostNotAllowed) as caught:
        # With a Host header the library does not decode the name.
        guarded("api.example").handle_request(library.Request("GET", url, headers={"Host": "x"}))
    assert caught.value.host == host
    assert "https://api.example" in str(caught.value)


@pytest.mark.parametrize("url", ["https://[0:0:0:0:0:0:0:1]:8443/", "https://localhost:8443/", "https://[::1]/"])
def test_two_names_of_a_machine_are_different_origins(url: str) -> None:
    """Names are compared, not resolved."""
    with pytest.raises(HostNotAllowed):
        guarded("[::1]:8443").handle_request(httpx.Request("GET", url))


def test_the_cache_of_the_last_url_allows_no_other() -> None:
    """Only the same URL object is not checked again."""
    transport = guarded("api.example")
    own = httpx.Request("GET", "https://api.example/v1")
    for _ in range(2):
        assert transport.handle_request(own).status_code == 200
        with pytest.raises(HostNotAllowed):
            transport.handle_request(httpx.Request("GET", own.url.copy_with(host="evil.example")))


# Redirects


_FOREIGN = [
    "https://evil.example/",
    "http://api.example/",
    "https://api.example:444/",
    "//evil.example/",
    "https://api.example@evil.example/",
    "https://mtls.example/",
]


async def test_a_redirect_within_the_origin_is_followed() -> None:
    """Relative and full URLs of the same origin are followed."""
    recorder = Recorder({"/a": "/b", "/b": "https://api.example:443/c"})
    transport = AsyncTransport(make_config(), transport=httpx.MockTransport(recorder))
    async with httpx.AsyncClient(transport=transport, follow_redirects=True) as client:
        reply = await client.get("https://api.example/a")

    assert reply.status_code == 200
    assert [str(request.url.path) for request in recorder.seen] == ["/a", "/b", "/c"]


@pytest.mark.parametrize("location", _FOREIGN)
async def test_a_redirect_to_another_origin_is_refused(location: str) -> None:
    """The request is refused before it is sent."""
    recorder = Recorder({"/a": "/b", "/b": location})
    transport = AsyncTransport(make_config(), transport=httpx.MockTransport(recorder))
    async with httpx.AsyncClient(transport=transport, follow_redirects=True) as client:
        with pytest.raises(HostNotAllowed):
            await client.get("https://api.example/a")

    assert [str(request.url.path) for request in recorder.seen] == ["/a", "/b"]


@pytest.mark.parametrize("location", _FOREIGN)
def test_a_redirect_of_a_blocking_client_to_another_origin_is_refused(location: str) -> None:
    """The blocking client behaves the same."""
    recorder = Recorder({"/a": location})
    transport = Transport(make_config(), transport=httpx.MockTransport(recorder))
    with httpx.Client(transport=transport, follow_redirects=True) as client, pytest.raises(HostNotAllowed):
        client.get("https://api.example/a")

    assert len(recorder.seen) == 1


def test_a_certificate_changes_the_origin() -> None:
    """With a certificate the API host is another origin."""
    recorder = Recorder()
    transport = Transport(make_config(certificate=certificate()), transport=httpx.MockTransport(recorder))
    with httpx.Client(transport=transport) as client:
        assert client.get("https://mtls.example/").status_code == 200
        with pytest.raises(HostNotAllowed):
            client.get("https://api.example/")

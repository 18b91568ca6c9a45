"""Headers and TLS contexts for other libraries, bounded by the origin of the configuration."""

from __future__ import annotations

import asyncio

import pytest

import seic
from seic.sandbox import Sandbox
from seic.testing import MockProvider


def _auth(gateway: MockProvider) -> seic.OAuth2Auth:
    return seic.OAuth2Auth(gateway.config(), transport=gateway)


@pytest.mark.parametrize("url", ["https://api.example/v1/prices", "wss://api.example/v1", "https://api.example:443"])
@pytest.mark.parametrize("blocking", [False, True], ids=["async", "blocking"])
async def test_the_headers_of_the_origin(gateway: MockProvider, url: str, blocking: bool) -> None:
    """One token serves all; its text is masked in a repr."""
    auth = _auth(gateway)
    for _ in range(2):
        headers = await asyncio.to_thread(auth.headers_sync, url) if blocking else await auth.headers(url)
        assert headers == {"Authorization": "Bearer token-1", "AppKey": "AppKey-1"}
        assert "token-1" not in repr(headers)
    assert gateway.issued_tokens == 1


async def test_a_provider_without_a_key_header() -> None:
    """The token alone."""
    with Sandbox() as sandbox:
        auth = seic.OAuth2Auth(sandbox.config(provider=seic.OAUTH2))
        assert list(await auth.headers(f"{sandbox.api_url}/v1")) == ["Authorization"]


@pytest.mark.parametrize(
    "url",
    [
        "https://elsewhere.example/",
        "http://api.example/",
        "ws://api.example/",
        "https://api.example:8443/",
        "https://api.example@elsewhere.example/",
        "https://api.example.elsewhere.example/",
        "/v1/accounts",
        "",
        "https://[",
        # requests and urllib3 send these to elsewhere.example.
        "https://elsewhere.example\\@api.example/",
        "https://elsewhere.example\\.x@api.example/",
        "https://elsewhere.example%5C@api.example/",
        "https://user:pass@api.example/",
        "https://api\u3002example/",
    ],
)
async def test_another_origin_gets_none(gateway: MockProvider, url: str) -> None:
    """Before a token is requested."""
    auth = _auth(gateway)
    with pytest.raises(seic.HostNotAllowed):
        await auth.headers(url)
    with pytest.raises(seic.HostNotAllowed):
        auth.headers_sync(url)
    assert gateway.issued_tokens == 0


async def test_bound_tokens_have_no_headers(gateway: MockProvider) -> None:
    """A proof is for one request."""
    auth = seic.OAuth2Auth(gateway.config(dpop=seic.DPoP()), transport=gateway)
    with pytest.raises(seic.ConfigurationError, match="proof of its own") as caught:
        await auth.headers("https://api.example/")
    assert caught.value.field == "dpop"


def test_each_context_is_new() -> None:
    """A library may write into it, and the connections of seic's clients keep theirs."""
    with Sandbox() as sandbox:
        auth = seic.OAuth2Auth(sandbox.config(certificate=True))
    assert auth.ssl_context() is not auth.ssl_context()

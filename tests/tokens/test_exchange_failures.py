"""Errors of failed token requests contain no secrets."""

from __future__ import annotations

import base64
import pickle
import socket

import httpx
import pytest

from seic import SeicError, TokenEndpointUnavailable
from seic._network.error_frames import free_of_secrets
from tests._support.loopback import PATIENCE, RawServer, server_context
from tests._support.pki import Minted
from tests._support.reports import report
from tests._support.sending import PASSWORD, SECRET, Call, answering, config, http, request_to, sender_to


def _secrets(text: str) -> list[str]:
    forms = [SECRET, PASSWORD, "pass+word-1", "pass%20word-1", base64.b64encode(f"AppKey-1:{SECRET}".encode()).decode()]
    return [form for form in forms if form in text]


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="no answer"),
        pytest.param(b"what?\r\n\r\n", id="no HTTP"),
        pytest.param(f"{SECRET} {PASSWORD}\r\n\r\n".encode(), id="an echo of the secrets"),
        pytest.param(http(b"abc", "Content-Length: 99"), id="a body cut off"),
        pytest.param(f"HTTP/1.1 200 OK\r\n{PASSWORD}\r\n\r\n".encode(), id="an echo in a header"),
    ],
)
def test_what_is_no_answer_is_told_without_secrets(send: Call, raw: bytes) -> None:
    """Neither message nor cause nor frames nor pickle contain the request, whatever the server echoes."""
    with answering(raw) as server, pytest.raises(TokenEndpointUnavailable) as caught:
        send(sender_to(config(server.url)), request_to(server.url), PATIENCE)

    told = report(caught.value) + repr(pickle.dumps(caught.value))
    assert _secrets(told) == []
    assert f"127.0.0.1:{server.port}" in str(caught.value)


def test_nobody_there_names_the_host_and_keeps_the_cause(send: Call) -> None:
    """The library's own error has the message of the socket."""
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    listener.close()
    with pytest.raises(TokenEndpointUnavailable) as caught:
        send(sender_to(config(url)), request_to(url), PATIENCE)

    assert url.removeprefix("http://") in str(caught.value)
    assert isinstance(caught.value.__cause__, httpx.ConnectError)
    assert caught.value.__cause__.__traceback__ is None
    assert caught.value.status is None
    assert caught.value.retry_after is None


def test_a_server_that_is_not_trusted_is_not_told_anything(identity: Minted, send: Call) -> None:
    """The handshake fails before the request is sent."""
    context = server_context(identity)
    with RawServer(lambda connection: None, context=context) as server:
        url = f"https://localhost:{server.port}"
        with pytest.raises(SeicError):
            send(sender_to(config(url)), request_to(url), PATIENCE)
        assert not server.arrived.is_set()


def test_a_chain_of_causes_loses_its_requests_and_frames() -> None:
    """Each link is handled, and cycles too."""
    request = httpx.Request("POST", "https://idp.example/token?code=secret", headers={"Authorization": "Basic secret"})
    first, second = httpx.ReadError("first", request=request), httpx.ConnectError("second", request=request)
    try:
        raise second from first
    except httpx.ConnectError as error:
        error.__context__ = first
    first.__context__ = second
    result = free_of_secrets(second, ())

    assert result is second
    for link in (first, second):
        assert link.__traceback__ is None
        assert "Authorization" not in link.request.headers
        assert link.request.url == "https://idp.example/token"


@pytest.mark.parametrize("where", ["itself", "its cause"])
def test_an_error_whose_words_hold_a_secret_is_not_kept(where: str) -> None:
    """The message cannot be changed otherwise."""
    outer, inner = ValueError("harmless"), ValueError("harmless")
    (outer if where == "itself" else inner).args = ("it said s3cret to me",)
    outer.__cause__ = inner
    assert free_of_secrets(outer, ("s3cret",)) is None
    assert free_of_secrets(outer, ("other",)) is outer


@pytest.mark.parametrize("kind", [httpx.ConnectError, httpx.ReadError, httpx.PoolTimeout])
def test_a_secret_of_one_letter_does_not_hide_what_happened(kind: type[httpx.TransportError]) -> None:
    """The class of the error tells whether the request was sent; its message and causes are removed."""
    error = kind("All connection attempts failed", request=httpx.Request("POST", "https://idp.example/?t=a"))
    error.__cause__ = ValueError("a")
    result = free_of_secrets(error, ("a",))
    assert isinstance(result, kind)
    assert str(result) == "***"
    assert result.__cause__ is None
    with pytest.raises(RuntimeError, match="request"):
        _ = result.request

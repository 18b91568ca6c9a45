"""HTTP/2, which a client and the sandbox negotiate (RFC 7301)."""

from __future__ import annotations

import asyncio
import concurrent.futures
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

import seic
from seic.sandbox import Sandbox
from tests._support.sandbox_client import ACCOUNTS_PATH, ECHO_PATH, api_headers, ask_token, client_context
from tests._support.sandbox_sockets import tls_socket

_MANY = 300


def _client(sandbox: Sandbox) -> httpx.Client:
    context = client_context(sandbox.ca_pem)
    return httpx.Client(base_url=sandbox.api_url, verify=context, http1=False, http2=True)


def test_token_and_api_requests(sandbox: Sandbox) -> None:
    """A token, an error, a page and an echo with a query, over one connection."""
    with _client(sandbox) as client:
        reply = ask_token(client, sandbox)
        headers = api_headers(sandbox, reply.json()["access_token"])
        replies = [
            client.get(ACCOUNTS_PATH, params={"limit": 2}, headers=headers),
            client.get(ECHO_PATH, params={"a": "é &"}, headers=headers),
            client.get("/nowhere", headers=headers),
        ]
    assert {each.http_version for each in (reply, *replies)} == {"HTTP/2"}
    assert [each.status_code for each in replies] == [200, 200, 404]
    assert len(replies[0].json()["accounts"]) == 2
    assert replies[1].json()["query"] == [["a", "é &"]]
    assert sandbox.counts.connections == 1


async def test_the_certificate_arrives_and_streams_are_concurrent(sandbox: Sandbox) -> None:
    """More requests at once than a connection has streams."""
    async with seic.AsyncClient(sandbox.config(certificate=True), http2=True) as client:
        replies = await asyncio.gather(*(client.get(ECHO_PATH) for _ in range(_MANY)))
    assert {reply.http_version for reply in replies} == {"HTTP/2"}
    assert {reply.json()["certificate_common_name"] for reply in replies} == {sandbox.username}
    assert sandbox.counts.mtls.token_requests == 1


@pytest.mark.parametrize("chunks", [1, 100])
async def test_a_body_larger_than_every_window(chunks: int, sandbox: Sandbox) -> None:
    """Its windows are opened while it is read."""
    part = b"x" * 100_000

    async def body() -> AsyncIterator[bytes]:
        for _ in range(chunks):
            yield part

    async with seic.AsyncClient(sandbox.config(), http2=True) as client:
        reply = await client.post(ECHO_PATH, content=body())
    assert reply.json()["body_length"] == chunks * len(part)


def test_a_body_that_is_read_late(sandbox: Sandbox) -> None:
    """The client waits while the sandbox keeps the window closed, and goes on when it opens."""
    sandbox.inject("slow", target="api", seconds=0.2)
    headers = {"Authorization": f"Bearer {sandbox.issue()}"}
    with _client(sandbox) as client:
        reply = client.post("/v1/uploads", headers=headers, content=b"x" * 2_000_000)
    assert reply.json()["length"] == 2_000_000


def test_a_body_that_nobody_reads_does_not_stop_the_connection(sandbox: Sandbox) -> None:
    """The window of the connection, which all its streams share, opens again."""
    with _client(sandbox) as client:
        for _ in range(5):
            assert client.post(ECHO_PATH, content=b"x" * 300_000).status_code == 401
    assert sandbox.counts.connections == 1


def test_bytes_that_are_not_http2_end_the_connection(sandbox: Sandbox) -> None:
    """And no other one."""
    context = client_context(sandbox.ca_pem)
    context.set_alpn_protocols(["h2"])
    with tls_socket(sandbox.api_url, context) as secure:
        secure.sendall(b"GET / HTTP/1.1\r\n\r\n")
        while secure.recv(65536):
            pass
    with _client(sandbox) as client:
        assert ask_token(client, sandbox).status_code == 200


def test_held_requests_end_with_the_sandbox() -> None:
    """The stop cuts their connection."""
    sandbox = Sandbox()
    with (
        concurrent.futures.ThreadPoolExecutor(1) as pool,
        sandbox.hold_tokens() as hold,
        sandbox,
        _client(sandbox) as client,
    ):
        asked = pool.submit(ask_token, client, sandbox)
        hold.wait_for(1)
        sandbox.stop()
        with pytest.raises(httpx.TransportError):
            asked.result(timeout=30)


def test_curl_negotiates_it(sandbox: Sandbox, tmp_path: Path) -> None:
    """Without an option, if curl can."""
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not installed")
    (tmp_path / "ca.pem").write_bytes(sandbox.ca_pem)
    url = f"{sandbox.api_url}/.well-known/oauth-authorization-server"
    command = [curl, "-sS", "--cacert", str(tmp_path / "ca.pem"), "-w", "\n%{http_version}", url]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "2"
    assert sandbox.issuer_url() in done.stdout

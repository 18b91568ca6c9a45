"""Requests that `seic proxy` refuses: without the secret, of web pages, for other hosts, and ambiguous ones."""

from __future__ import annotations

import base64
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import h2.connection
import pytest

from seic.sandbox import Sandbox
from tests._support.command import environment, variables_of
from tests._support.loopback import PATIENCE
from tests._support.running_proxy import CurlResult, RunningProxy, ScriptedApi, parse_output
from tests._support.sandbox_client import ECHO_PATH

HTTP2 = "--http2-prior-knowledge"


@pytest.fixture(scope="module")
def proxy(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningProxy]:
    """Run a proxy for all tests of this file."""
    folder = tmp_path_factory.mktemp("proxy")
    with environment(variables_of(sandbox, folder), folder), RunningProxy() as running:
        yield running


def call(proxy: RunningProxy, *arguments: str, path: str = ECHO_PATH) -> CurlResult:
    """Call the proxy with curl, without the secret."""
    done = subprocess.run(["curl", "-sS", "-i", *arguments, f"{proxy.url}{path}"], capture_output=True, check=False)
    return parse_output(done.stdout, done.returncode)


@pytest.mark.parametrize("version", ["--http1.1", HTTP2])
def test_the_secret(proxy: RunningProxy, sandbox: Sandbox, version: str) -> None:
    """A request without it, with another, or with two, does not reach the API."""
    before = len(sandbox.received())
    wrong = base64.b64encode(f"{proxy.secret}:other".encode()).decode()
    cases = [
        (),
        ("-H", "Authorization: Bearer"),
        ("-H", f"Authorization: Bearer {proxy.secret}x"),
        ("-H", f"Authorization: Bearer {proxy.secret[:-1]}"),
        ("-H", f"Authorization: Digest {proxy.secret}"),
        ("-H", f"Authorization: Basic {wrong}"),
        ("-H", "Authorization: Basic ???"),
        ("-H", "Authorization: Bearer é"),
        ("-H", proxy.authorization, "-H", "Authorization: Bearer other"),
    ]
    for arguments in cases:
        refused = call(proxy, version, *arguments)
        assert refused.status == 401, arguments
        assert "secret of this run" in refused.problem
        assert refused.headers["www-authenticate"] == 'Basic realm="seic proxy", charset="UTF-8"'
        assert proxy.secret.encode() not in refused.body
    assert call(proxy, path="/-/metrics").status == 401
    assert len(sandbox.received()) == before
    assert proxy.curl(ECHO_PATH, version).status == 200


@pytest.mark.parametrize("version", ["--http1.1", HTTP2])
def test_another_name_of_this_machine(proxy: RunningProxy, sandbox: Sandbox, version: str) -> None:
    """DNS that resolves to loopback (rebinding): `Host` is the name of the attacker's page."""
    before = len(sandbox.received())
    names = [
        "attacker.example",
        f"attacker.example:{proxy.port}",
        "127.0.0.1",
        "localhost:1",
        f"127.0.0.2:{proxy.port}",
    ]
    for name in names:
        refused = proxy.curl(ECHO_PATH, version, "-H", f"Host: {name}")
        assert refused.status == 421, name
        # A page could read it.
        assert sandbox.mtls_url not in refused.problem
    assert len(sandbox.received()) == before
    for name in (f"localhost:{proxy.port}", f"LOCALHOST:{proxy.port}", f"[::1]:{proxy.port}"):
        assert proxy.curl(ECHO_PATH, version, "-H", f"Host: {name}").status == 200


@pytest.mark.parametrize(
    "header",
    ["Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site", "Origin: https://attacker.example", "Origin: null"],
)
def test_a_page_of_another_site(proxy: RunningProxy, header: str) -> None:
    """A browser that knows the secret sends it with the requests of each page; those of other sites are refused."""
    refused = proxy.curl(ECHO_PATH, "-H", header)

    assert refused.status == 403
    assert refused.problem.startswith("a page of another web site")
    assert not any(name.startswith("access-control-") for name in refused.headers)


def test_a_page_of_the_proxy(proxy: RunningProxy) -> None:
    """An address that was typed in, and requests of a page that came from the proxy."""
    assert proxy.curl(ECHO_PATH, "-H", "Sec-Fetch-Site: none").status == 200
    assert proxy.curl(ECHO_PATH, "-H", "Sec-Fetch-Site: same-origin", "-H", f"Origin: {proxy.url}").status == 200


def test_a_preflight_gets_no_permission(proxy: RunningProxy) -> None:
    """A browser sends it without the secret."""
    refused = call(proxy, "-X", "OPTIONS", "-H", f"Origin: {proxy.url}", "-H", "Access-Control-Request-Method: PUT")

    assert refused.status == 401
    assert not any(name.startswith("access-control-") for name in refused.headers)


@pytest.mark.parametrize(
    "target",
    [
        "http://other.example/v1/echo",
        "https://other.example/v1/echo",
        "http://{api}@other.example/v1/echo",
        "http://other.example:443/v1/echo",
        "https://localhost/v1/echo",
    ],
)
def test_another_host(proxy: RunningProxy, sandbox: Sandbox, target: str) -> None:
    """A target in absolute form may name only the API, or the proxy itself."""
    before = len(sandbox.received())
    refused = proxy.curl("", "--request-target", target.format(api=sandbox.mtls_url.removeprefix("https://")))

    assert refused.status == 421
    assert f"is not {sandbox.mtls_url}, the only host that this proxy calls" in refused.problem
    assert len(sandbox.received()) == before


def test_the_host_of_the_api(proxy: RunningProxy, sandbox: Sandbox) -> None:
    """In absolute form, as programs send it to a proxy; the secret is needed, too."""
    for base in (sandbox.mtls_url, sandbox.mtls_url.replace("https", "http"), proxy.url):
        assert proxy.curl("", "--request-target", f"{base}{ECHO_PATH}").json["path"] == ECHO_PATH
        assert call(proxy, "--request-target", f"{base}{ECHO_PATH}", path="").status == 401


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["-X", "TRACE"], 405),
        # Methods are case-sensitive, and httpx sends them in upper case.
        (["-X", "trace", HTTP2], 405),
        (["-X", "Connect", HTTP2], 405),
        (["-X", "CONNECT", "--request-target", "{api}"], 405),
        (["-X", "OPTIONS", "--request-target", "*"], 400),
        (["--request-target", "v1/echo"], 400),
        (["-H", "Connection: Upgrade", "-H", "Upgrade: websocket"], 501),
        (["-H", "Transfer-Encoding: gzip, chunked", "-d", "x"], 501),
    ],
)
def test_requests_of_another_kind(proxy: RunningProxy, sandbox: Sandbox, arguments: list[str], status: int) -> None:
    """`TRACE` would return the token; tunnels and WebSockets have no requests to add it to."""
    api = sandbox.mtls_url.removeprefix("https://")
    before = len(sandbox.received())
    refused = proxy.curl(ECHO_PATH, *(argument.format(api=api) for argument in arguments))

    assert refused.status == status
    assert refused.problem
    assert len(sandbox.received()) == before


_AMBIGUOUS = [
    "Content-Length: 4\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nContent-Length: 4",
    "Content-Length: 4\r\nContent-Length: 5",
    "Content-Length: 4, 5",
    "Content-Length: +4",
    "Content-Length: 0x4",
    "Content-Length: -1",
    "Transfer-Encoding: xchunked",
    "Transfer-Encoding: chunked, identity",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding : chunked",
    "Content-Length: 4\r\n Transfer-Encoding: chunked",
    "X: a\nTransfer-Encoding: chunked",
]


def test_ambiguous_lengths(tmp_path: Path) -> None:
    """A request hidden in a body never reaches the API: the connection ends with the first (RFC 9112 §11.2)."""
    with (
        ScriptedApi(lambda call: call.answer(b""), tmp_path) as api,
        environment(api.variables, tmp_path),
        RunningProxy() as proxy,
    ):
        head = f"Host: 127.0.0.1:{proxy.port}\r\n{proxy.authorization}\r\n"
        hidden = f"GET /hidden HTTP/1.1\r\n{head}\r\n"
        for fields in _AMBIGUOUS:
            received = proxy.talk(f"POST /first HTTP/1.1\r\n{head}{fields}\r\n\r\n0\r\n\r\n{hidden}".encode())
            assert received.split(b"\r\n")[0].split(b" ")[1] in {b"400", b"501"}, (fields, received)
            assert received.count(b"HTTP/1.") == 1, (fields, received)
            assert b"application/problem+json" in received
        assert api.requests == []
        assert proxy.curl("/alive").status == 200


def test_lines_are_not_repeated(env: pytest.MonkeyPatch) -> None:
    """The answer to a malformed request has nothing of it, since it may be a secret; nor has the log."""
    with RunningProxy("-vv") as proxy:
        received = proxy.talk(b"GET /planted HTTP/1.1\r\nplanted secret\r\n\r\n")
        _, log = proxy.end()

    assert b" 400 " in received.split(b"\r\n")[0]
    assert b"planted" not in received
    assert "planted" not in log


def test_bytes_that_are_no_text(env: pytest.MonkeyPatch) -> None:
    """A header of HTTP/2 that is not UTF-8 ends its connection, without a word on stderr."""
    with RunningProxy() as proxy, socket.create_connection(("127.0.0.1", proxy.port), timeout=PATIENCE) as connection:
        frames = h2.connection.H2Connection()
        frames.initiate_connection()
        host = f"127.0.0.1:{proxy.port}"
        fields = [(":method", "GET"), (":path", "/x"), (":scheme", "http"), (":authority", host)]
        frames.send_headers(1, [*fields, ("x-planted", b"caf\xe9")], end_stream=True)
        connection.sendall(frames.data_to_send())
        while connection.recv(65536):
            pass
        assert proxy.curl(ECHO_PATH, HTTP2).status == 200
        assert proxy.end() == (0, "")


def test_requests_in_a_row(proxy: RunningProxy) -> None:
    """Two requests sent at once on one connection are two requests, in order."""
    head = f"Host: 127.0.0.1:{proxy.port}\r\n{proxy.authorization}\r\n"
    received = proxy.talk(
        f"POST {ECHO_PATH}?n=1 HTTP/1.1\r\n{head}Content-Length: 2\r\n\r\n{{}}"
        f"GET {ECHO_PATH}?n=2 HTTP/1.1\r\n{head}Connection: close\r\n\r\n".encode()
    )

    assert received.count(b"HTTP/1.1 200") == 2
    assert received.index(b'["n", "1"]') < received.index(b'["n", "2"]')

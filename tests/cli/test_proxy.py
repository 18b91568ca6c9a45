"""`seic proxy`: requests of curl, forwarded with token and certificate over HTTP/1.1, HTTP/2 and a Unix socket."""

from __future__ import annotations

import gzip
import json
import os
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from seic.sandbox import Sandbox
from tests._support.command import environment, run, run_program, variables_of
from tests._support.running_proxy import TOKEN, RunningProxy, ScriptedApi
from tests._support.sandbox_client import ACCOUNTS_PATH, ECHO_PATH

HTTP2 = "--http2-prior-knowledge"


@pytest.fixture(scope="module")
def proxy(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningProxy]:
    """Run a proxy for all tests of this file."""
    folder = tmp_path_factory.mktemp("proxy")
    with environment(variables_of(sandbox, folder), folder), RunningProxy() as running:
        yield running


@pytest.mark.parametrize("version", ["--http1.1", HTTP2])
def test_a_call(proxy: RunningProxy, version: str) -> None:
    """The API sees the certificate and the token, and curl has neither."""
    got = proxy.curl(f"{ACCOUNTS_PATH}?limit=1", version)
    echoed = proxy.curl(f"{ECHO_PATH}?a=b%2Fc&a=d", version, "-X", "PUT", "-d", "{}", "-H", "X-Own: one").json

    assert got.status == 200
    assert len(got.json["accounts"]) == 1
    assert echoed["method"] == "PUT"
    assert echoed["query"] == [["a", "b/c"], ["a", "d"]]
    assert echoed["headers"]["x-own"] == "one"
    assert echoed["headers"]["via"] == "1.1 seic"
    assert echoed["body_length"] == 2
    assert echoed["certificate_common_name"] == "svc-sandbox"


def test_a_password_of_basic(proxy: RunningProxy) -> None:
    """For programs that only have a user and a password, such as Excel and browsers."""
    done = subprocess.run(
        ["curl", "-sS", "-u", f"anyone:{proxy.secret}", f"{proxy.url}{ECHO_PATH}"], capture_output=True, check=True
    )
    assert json.loads(done.stdout)["certificate_common_name"] == "svc-sandbox"


def test_a_unix_socket(env: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its permissions protect it, so it needs no secret; it is deleted at the end."""
    path = tmp_path / "proxy.sock"
    with RunningProxy("--unix-socket", str(path)) as proxy:
        assert proxy.variables == {"PROXY_SOCKET": str(path)}
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert proxy.curl(ECHO_PATH).status == 200
        assert proxy.curl(ECHO_PATH, HTTP2).status == 200
        assert b"seic_ready" in proxy.curl("/-/metrics").body
        second = run("proxy", "--unix-socket", str(path))
        assert proxy.end() == (0, "")

    assert (second.code, second.out) == (1, "")
    assert second.err == f"seic: {path}: another program listens on it; name another path\n"
    assert not path.exists()


def test_a_unix_socket_that_is_left(env: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The socket of a killed run is replaced, another file is not."""
    path, other = tmp_path / "proxy.sock", tmp_path / "notes.txt"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    other.write_text("notes")
    with RunningProxy("--unix-socket", str(path)) as proxy:
        assert proxy.curl(ECHO_PATH).status == 200

    assert "is a file that is not a socket" in run("proxy", "--unix-socket", str(other)).err
    assert other.read_text() == "notes"


def test_ipv6(env: pytest.MonkeyPatch) -> None:
    """The other address of loopback."""
    with RunningProxy("--address", "::1") as proxy:
        assert proxy.url.startswith("http://[::1]:")
        assert proxy.curl(ECHO_PATH, "-g").status == 200


@pytest.mark.parametrize(
    "address",
    ["0.0.0.0", "::", "192.0.2.1", "::ffff:127.0.0.1", "fe80::1", "example.com", ""],  # noqa: S104 - refused
)
def test_no_other_machine(env: pytest.MonkeyPatch, address: str) -> None:
    """An address beyond loopback is refused."""
    refused = run("proxy", "--address", address)

    assert refused.code == 2
    assert refused.out == ""
    assert refused.err.startswith("seic: --address: ")
    assert refused.err.endswith("use 127.0.0.1 or ::1\n")


def test_a_port_in_use(proxy: RunningProxy, env: pytest.MonkeyPatch) -> None:
    """The error names it."""
    refused = run("proxy", "--port", str(proxy.port))

    assert refused.code == 1
    assert refused.err == f"seic: port {proxy.port} of 127.0.0.1: Address already in use\n"


def test_settings_are_checked_first(env: pytest.MonkeyPatch) -> None:
    """No proxy starts that cannot work."""
    env.delenv("SEIC_CLIENT_SECRET")

    assert run("proxy").code == 3


def test_a_file_of_variables(env: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The secret is in a file that only its owner can read, and not on the screen."""
    path = tmp_path / "proxy.env"
    proxy = RunningProxy("--env-file", str(path))
    with subprocess.Popen(
        ["python", "-m", "seic", "proxy", "--env-file", str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stderr is not None
        note = process.stderr.readline() + process.stderr.readline()
        proxy.variables = dict(line.split("=", 1) for line in path.read_text().splitlines())
        got = proxy.curl(ECHO_PATH)
        process.terminate()
        out, err = process.communicate()

    assert got.status == 200
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert proxy.secret.encode() not in note + out + err
    assert out == b""


def test_no_process_list_has_a_secret(proxy: RunningProxy, sandbox: Sandbox) -> None:
    """Neither that of the run nor those of the settings."""
    arguments = Path(f"/proc/{proxy.process.pid}/cmdline").read_bytes()
    listed = subprocess.run(["ps", "-ww", "-ef"], capture_output=True, check=True).stdout

    assert str(proxy.process.pid).encode() in listed
    for secret in (proxy.secret, sandbox.client_secret, sandbox.password):
        assert secret.encode() not in arguments + listed
    # Not in the environment either, which a child would inherit.
    assert proxy.secret.encode() not in Path(f"/proc/{proxy.process.pid}/environ").read_bytes()


def test_metrics(proxy: RunningProxy) -> None:
    """Those of seic.otel and of the forwarded requests; they need the secret."""
    assert proxy.curl(ECHO_PATH).status == 200
    got = proxy.curl("/-/metrics")
    refused = subprocess.run(["curl", "-sS", f"{proxy.url}/-/metrics"], capture_output=True, check=True)

    assert got.headers["content-type"].startswith("text/plain")
    for name in (
        b'http_server_request_duration_seconds_count{http_request_method="GET",http_response_status_code="200"',
        b"seic_token_request_duration_seconds_count",
        b"seic_certificate_time_to_expiry_d",
        b"http_client_open_connections",
        b"process_resident_memory_bytes",
    ):
        assert name in got.body, name
    assert json.loads(refused.stdout)["status"] == 401


def test_headers_of_one_connection(env: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """They stop at the proxy, in both directions (RFC 9110 §7.6.1), as do cookies and CORS."""

    def handle(call: Any) -> None:
        body = gzip.compress(b"compressed")
        call.answer(
            body,
            ("Content-Encoding", "gzip"),
            ("Connection", "X-Hop"),
            ("X-Hop", "1"),
            ("X-Kept", "1"),
            ("X-Kept", "2"),
            ("X-Debug", f"Bearer {TOKEN}"),
            ("Authorization", "Bearer other"),
            ("Set-Cookie", "session=1"),
            ("Access-Control-Allow-Origin", "*"),
            ("Proxy-Authenticate", "Basic"),
            ("Alt-Svc", 'h2="other.example:443"'),
        )

    with ScriptedApi(handle, tmp_path) as api, environment(api.variables, tmp_path), RunningProxy() as proxy:
        sent = ["Connection: x-drop, keep-alive", "X-Drop: 1", "Keep-Alive: timeout=5", "TE: trailers", "Cookie: a=b"]
        sent += ["Proxy-Authorization: Basic x", "Referer: http://127.0.0.1/", "X-Keep: 1", "X-Keep: 2", "User-Agent:"]
        got = proxy.curl("/x", *(part for line in sent for part in ("-H", line)))
        proxy.curl("/y", HTTP2)

    names = sorted(name.lower() for name, _ in api.requests[0][2])
    assert names == ["accept", "authorization", "host", "user-agent", "via", "x-keep", "x-keep"]
    headers = dict(api.requests[0][2])
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    assert headers["Host"] == api.host
    assert headers["User-Agent"].startswith("seic/")
    assert gzip.decompress(got.body) == b"compressed"
    assert set(got.headers) == {"server", "date", "content-encoding", "content-length", "x-kept", "content-type"}
    assert "Cookie" not in dict(api.requests[1][2])


def test_a_location_of_the_api(env: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It leads back to the proxy; one of another host is unchanged, and is not followed."""
    places: list[str] = []

    def handle(call: Any) -> None:
        call.answer(b"", ("Location", places[-1]), status=302)

    with ScriptedApi(handle, tmp_path) as api, environment(api.variables, tmp_path), RunningProxy() as proxy:
        expected = {
            f"https://{api.host}/v1/x?a=b": "/v1/x?a=b",
            f"https://{api.host}": "/",
            f"https://{api.host}//other.example/": "/.//other.example/",
            f"https://{api.host}/\\other.example/": "/./\\other.example/",
            f"//{api.host}/v1/z": "/v1/z",
            "/v1/y": "/v1/y",
            "https://other.example/z": "https://other.example/z",
            f"http://{api.host}/v1/x": f"http://{api.host}/v1/x",
        }
        for place, location in expected.items():
            places.append(place)
            assert proxy.curl("/go").headers["location"] == location
    assert len(api.requests) == len(expected)


def test_paths_arrive_as_they_are(env: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No escape is added or removed."""
    paths = ["/a%2Fb/%7Ec;d=1/~e?x=%20y+z&q=a/b?c", "//other.example/x", "/?", "/v1/%E2%82%AC"]
    with (
        ScriptedApi(lambda call: call.answer(b""), tmp_path) as api,
        environment(api.variables, tmp_path),
        RunningProxy() as proxy,
    ):
        for path in paths:
            assert proxy.curl(path, "--path-as-is").status == 200
    assert [request[1] for request in api.requests] == paths


@pytest.mark.parametrize("version", ["--http1.1", HTTP2])
def test_responses_without_a_body(env: pytest.MonkeyPatch, tmp_path: Path, version: str) -> None:
    """HEAD, 204 and 304."""

    def handle(call: Any) -> None:
        call.send_response({"/204": 204, "/304": 304}.get(call.path, 200))
        call.send_header("Content-Length", "5" if call.command == "HEAD" else "0")
        call.end_headers()

    with ScriptedApi(handle, tmp_path) as api, environment(api.variables, tmp_path), RunningProxy() as proxy:
        head = proxy.curl("/x", version, "--head")
        got = [proxy.curl(f"/{status}", version) for status in (204, 304, 200)]
    assert (head.status, head.headers["content-length"], head.body) == (200, "5", b"")
    assert [each.status for each in got] == [204, 304, 200]


def test_the_command_without_its_extra(env: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The sentence says what to install."""
    (tmp_path / "aiohttp.py").write_text("raise ModuleNotFoundError(\"No module named 'aiohttp'\", name='aiohttp')")
    done = run_program("proxy", environ={"PYTHONPATH": os.fspath(tmp_path)})

    assert done.code == 1
    assert done.err == 'seic: this command needs the package aiohttp: pip install "seic[proxy]"\n'


#: A client that fails as no client should, in the process of the proxy.
_FAILING = """
import sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "seic.cli._proxy.forwarder":
            from seic import AsyncClient
            async def send(self, *arguments, **options):
                raise KeyError("planted secret")
            AsyncClient.send = send

sys.meta_path.insert(0, Finder())
"""


@pytest.mark.parametrize("version", ["--http1.1", HTTP2])
def test_a_failure_that_nobody_expects(env: pytest.MonkeyPatch, tmp_path: Path, version: str) -> None:
    """A sentence with its class alone, since its message may quote a secret; --debug shows the traceback."""
    (tmp_path / "sitecustomize.py").write_text(_FAILING)
    env.setenv("PYTHONPATH", os.fspath(tmp_path))
    logs = []
    for arguments in ((), ("--debug",)):
        with RunningProxy(*arguments) as proxy:
            failed = proxy.curl(ECHO_PATH, version)
            logs.append(proxy.end()[1])
        assert failed.status == 502
        assert failed.problem == "an unexpected error (KeyError); run seic proxy with --debug, and report it"
    assert logs[0] == ""
    assert "Traceback" in logs[1]

"""docs/other-protocols.md: each library against a real server with mutual TLS, over a rotation if it is followed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from requests.adapters import HTTPAdapter

import seic
from seic.sandbox import IssuedCertificate, Sandbox
from tests._support.documents import blocks, set_environment
from tests._support.other_servers import grpc_server, http_and_web_socket

_FILE = "docs/other-protocols.md"


def _write(path: Path, pair: IssuedCertificate) -> None:
    staged = path.with_name("staged.pem")
    staged.write_bytes(pair.cert_pem + pair.key_pem)
    staged.chmod(0o600)
    staged.replace(path)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """Run all servers; the ports, the certificate's file and the sandbox."""
    with Sandbox() as sandbox:
        own = sandbox.authority.issue("localhost", sans=["localhost"], client=False, server=True)
        set_environment(sandbox, monkeypatch)
        path = tmp_path / "client.pem"
        _write(path, sandbox.issue_certificate())
        monkeypatch.setenv("SEIC_CERTIFICATE", str(path))
        monkeypatch.setenv("SEIC_PROVIDER", "sei-gateway")
        monkeypatch.setenv("SEIC_TOKEN_URL", f"{sandbox.mtls_url}/v2/oauthtoken")
        # Our tests of rotations look at what is presented, and these servers answer no probe.
        with (
            http_and_web_socket(tmp_path, sandbox.authority, own) as (http_port, socket_port),
            grpc_server(sandbox.authority, own) as grpc_port,
        ):
            yield {
                "aiohttp": http_port,
                "WebSocket": socket_port,
                "gRPC": grpc_port,
                "requests": http_port,
                "path": path,
                "sandbox": sandbox,
            }


def _run(place: dict[str, Any], title: str) -> dict[str, Any]:
    os.environ["SEIC_MTLS_HOST"] = f"https://localhost:{place[title]}"
    (block,) = blocks(_FILE, title)
    return block()


def _check(place: dict[str, Any], answer: str | bytes | Any) -> None:
    document = answer if isinstance(answer, dict) else json.loads(answer)
    sandbox = place["sandbox"]
    assert document == {"name": f"CN={sandbox.username}", "key": sandbox.client_id, "scheme": "Bearer"}


def test_aiohttp(place: dict[str, Any]) -> None:
    """The token, the key and the certificate arrive."""
    _check(place, _run(place, "aiohttp")["document"])


def test_web_socket(place: dict[str, Any]) -> None:
    """At the handshake."""
    _check(place, _run(place, "WebSocket")["answer"])


def test_grpc(place: dict[str, Any]) -> None:
    """With each call; a rotation opens another channel, and a foreign host gets no token."""
    found = _run(place, "gRPC")
    _check(place, found["quote"])
    _write(place["path"], place["sandbox"].issue_certificate())
    assert found["auth"].reload_certificate_sync()
    assert len(found["channels"]) == 2
    _check(place, found["channels"][-1].unary_unary("/prices.Prices/Latest")(b"", timeout=10))
    for channel in found["channels"]:
        channel.close()
    told: list[Any] = []

    class Context:
        """A call to another host."""

        service_url = "https://elsewhere.example/prices.Prices"

    found["TokenPlugin"](found["auth"])(Context(), lambda headers, error: told.append((headers, error)))
    ((headers, error),) = told
    assert headers == ()
    assert isinstance(error, seic.HostNotAllowed)


def test_requests(place: dict[str, Any]) -> None:
    """A rotation is followed, and a redirect takes nothing with it."""
    found = _run(place, "requests")
    _check(place, found["reply"].json())
    session, base_url = found["session"], found["auth"].config.base_url
    _write(place["path"], place["sandbox"].issue_certificate())
    assert found["auth"].reload_certificate_sync()
    _check(place, session.get(f"{base_url}/v1/accounts", timeout=10).json())
    seen: list[requests.PreparedRequest] = []

    class Recorder(HTTPAdapter):
        """Another host."""

        def send(self, request: requests.PreparedRequest, **_options: Any) -> requests.Response:  # type: ignore[override]
            """Note the request, and answer it."""
            seen.append(request)
            response = requests.Response()
            response.status_code, response.request, response.url = 200, request, str(request.url)
            response._content = b""
            return response

    session.mount("https://elsewhere.example", Recorder())
    session.get(f"{base_url}/away", timeout=10)
    session.close()
    (request,) = seen
    assert not {"authorization", "appkey"} & {name.lower() for name in request.headers}

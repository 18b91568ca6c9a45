"""The SDK against a real nginx that terminates mutual TLS in front of the sandbox."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import seic
from seic.sandbox import CertificateAuthority, Sandbox
from tests._support.faces import KINDS, Kind, open_client
from tests._support.nginx import Nginx, Seen
from tests._support.planted import Planted, all_logs
from tests._support.sandbox_client import ECHO_PATH

both_kinds = pytest.mark.parametrize("kind", KINDS)
Serve = Callable[..., Nginx]


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    """Run a sandbox without TLS, behind the proxy."""
    with Sandbox(behind_proxy=True) as sandbox:
        yield sandbox


@pytest.fixture
def serve(sandbox: Sandbox, tmp_path: Path) -> Iterator[Serve]:
    """Start an nginx in front of the sandbox, and stop it after the test."""
    started: list[Nginx] = []

    def start(**options: Any) -> Nginx:
        nginx = Nginx(
            tmp_path / f"nginx-{len(started)}", upstream=sandbox.proxy_url, authority=sandbox.authority, **options
        )
        started.append(nginx)
        nginx.start()
        return nginx

    yield start
    for nginx in started:
        nginx.stop()


def config_of(sandbox: Sandbox, nginx: Nginx, **options: Any) -> seic.Config:
    """Return a configuration for the sandbox behind nginx."""
    return sandbox.config(**{"hosts": seic.Hosts(api=nginx.api_url, mtls=nginx.mtls_url), **options})


def facts(seen: list[Seen]) -> list[tuple[str, str, str, int]]:
    """Return the certificate, host and status of each request in nginx's log."""
    return [(line.host, line.verify, line.request.split()[1], line.status) for line in seen]


TOKEN_PATH = "/v2/oauthtoken"


@both_kinds
async def test_a_certificate_selects_the_mtls_host_and_nginx_verifies_it(
    kind: Kind, tls: str, sandbox: Sandbox, serve: Serve
) -> None:
    """Token request and call use the mutual-TLS host with the verified certificate, by nginx's log."""
    nginx = serve(protocols=tls)
    async with open_client(kind, config_of(sandbox, nginx, certificate=True)) as client:
        reply = await client.get(ECHO_PATH)

    assert reply.json()["certificate_common_name"] == sandbox.username
    seen = nginx.seen
    assert facts(seen) == [("mtls", "SUCCESS", TOKEN_PATH, 200), ("mtls", "SUCCESS", ECHO_PATH, 200)]
    assert {line.protocol for line in seen} == {tls}
    assert {line.subject for line in seen} == {f"CN={sandbox.username}"}
    assert {line.key for line in seen} == {sandbox.client_id}


@both_kinds
async def test_without_a_certificate_the_api_host_is_used(kind: Kind, tls: str, sandbox: Sandbox, serve: Serve) -> None:
    """The same application without a certificate never calls the mutual-TLS host."""
    nginx = serve(protocols=tls)
    async with open_client(kind, config_of(sandbox, nginx)) as client:
        reply = await client.get(ECHO_PATH)

    assert reply.json()["certificate_common_name"] is None
    assert facts(nginx.seen) == [("api", "NONE", TOKEN_PATH, 200), ("api", "NONE", ECHO_PATH, 200)]


@both_kinds
async def test_a_revoked_certificate_is_refused(kind: Kind, tls: str, sandbox: Sandbox, serve: Serve) -> None:
    """It is in the revocation list: nginx refuses it, the sandbox gets no request, the error names the certificate."""
    pair = sandbox.issue_certificate()
    sandbox.authority.revoke(pair)
    nginx = serve(protocols=tls)
    async with open_client(kind, config_of(sandbox, nginx, certificate=pair)) as client:
        with pytest.raises(seic.CertificateError) as caught:
            await client.get(ECHO_PATH)

    assert caught.value.reason == "refused"
    assert f"CN={sandbox.username}" in str(caught.value)
    assert facts(nginx.seen) == [("mtls", "FAILED:certificate revoked", TOKEN_PATH, 400)]
    assert sandbox.counts.token_requests == 0


async def test_the_revocation_list_refuses_no_other_certificate(sandbox: Sandbox, serve: Serve) -> None:
    """Another certificate of the same account still works."""
    sandbox.authority.revoke(sandbox.issue_certificate())
    async with seic.AsyncClient(config_of(sandbox, serve(), certificate=True)) as client:
        assert (await client.get(ECHO_PATH)).status_code == 200


@both_kinds
async def test_a_certificate_of_another_authority_is_refused(
    kind: Kind, tls: str, sandbox: Sandbox, serve: Serve
) -> None:
    """Nginx does not know its authority."""
    nginx = serve(protocols=tls)
    stranger = CertificateAuthority("stranger").issue(sandbox.username)
    async with open_client(kind, config_of(sandbox, nginx, certificate=stranger)) as client:
        with pytest.raises(seic.CertificateError) as caught:
            await client.get(ECHO_PATH)

    assert caught.value.reason == "refused"
    assert "CN=stranger" in str(caught.value)
    (line,) = nginx.seen
    assert line.verify.startswith("FAILED:")
    assert sandbox.counts.token_requests == 0


@both_kinds
async def test_a_required_certificate_that_is_missing_is_named(
    kind: Kind, tls: str, sandbox: Sandbox, serve: Serve
) -> None:
    """Nginx's HTTP response becomes the same error as a refused handshake."""
    nginx = serve(protocols=tls)
    config = config_of(sandbox, nginx, hosts=seic.Hosts(api=nginx.mtls_url))
    async with open_client(kind, config) as client:
        with pytest.raises(seic.CertificateError) as caught:
            await client.get(ECHO_PATH)

    assert caught.value.reason == "demanded"
    assert facts(nginx.seen) == [("mtls", "NONE", TOKEN_PATH, 400)]
    assert sandbox.counts.token_requests == 0


@pytest.mark.parametrize(("certificate", "name"), [(True, "svc-sandbox"), (False, None)], ids=["with", "without"])
async def test_optional_verification_accepts_requests_with_and_without(
    certificate: bool, name: str | None, sandbox: Sandbox, serve: Serve
) -> None:
    """One host for both kinds of caller: the gateway sees which have a certificate."""
    nginx = serve(verify="optional")
    hosts = seic.Hosts(api=nginx.mtls_url, mtls=nginx.mtls_url)
    async with seic.AsyncClient(config_of(sandbox, nginx, certificate=certificate, hosts=hosts)) as client:
        reply = await client.get(ECHO_PATH)

    assert reply.json()["certificate_common_name"] == name
    assert {line.verify for line in nginx.seen} == {"SUCCESS" if certificate else "NONE"}


async def test_optional_verification_refuses_a_certificate_of_another_authority(sandbox: Sandbox, serve: Serve) -> None:
    """With optional verification a certificate must still be valid."""
    nginx = serve(verify="optional")
    stranger = CertificateAuthority("stranger").issue(sandbox.username)
    async with seic.AsyncClient(config_of(sandbox, nginx, certificate=stranger)) as client:
        with pytest.raises(seic.CertificateError):
            await client.get(ECHO_PATH)

    assert sandbox.counts.token_requests == 0


@both_kinds
async def test_requests_use_http2(kind: Kind, sandbox: Sandbox, serve: Serve) -> None:
    """`http2=True` is passed to httpx and works with the certificate, and with the token request."""
    nginx = serve(http2=True)
    async with open_client(kind, config_of(sandbox, nginx, certificate=True), http2=True) as client:
        reply = await client.get(ECHO_PATH)

    assert reply.http_version == "HTTP/2"
    assert [(line.http, line.verify) for line in nginx.seen] == [("HTTP/1.1", "SUCCESS"), ("HTTP/2.0", "SUCCESS")]


async def test_http2_logs_no_secret(sandbox: Sandbox, serve: Serve) -> None:
    """Its packages log headers at DEBUG; the token is not among them."""
    planted = Planted()
    planted.add_sandbox(sandbox)
    nginx = serve(http2=True)
    with all_logs() as logs:
        async with seic.AsyncClient(config_of(sandbox, nginx, certificate=True), http2=True) as client:
            assert (await client.get(ECHO_PATH)).http_version == "HTTP/2"

    assert "hpack.hpack" in logs.names
    assert [line for line in logs.text if planted.find(line)] == []


async def test_concurrent_requests_make_one_token_request(sandbox: Sandbox, serve: Serve) -> None:
    """Through a real proxy, also after the token has expired."""
    nginx = serve(http2=True)
    async with seic.AsyncClient(config_of(sandbox, nginx, certificate=True), http2=True, timeout=60) as client:
        first = await asyncio.gather(*(client.get(ECHO_PATH) for _ in range(100)))
        sandbox.revoke_all()
        second = await asyncio.gather(*(client.get(ECHO_PATH) for _ in range(100)))

    assert {reply.status_code for reply in (*first, *second)} == {200}
    assert sandbox.counts.token_requests == 2


@both_kinds
async def test_a_redirect_to_another_host_is_refused(kind: Kind, sandbox: Sandbox, serve: Serve) -> None:
    """The other server, of the same authority and name, gets neither a request nor a handshake with the certificate."""
    elsewhere = serve()
    nginx = serve(redirects={"/v1/away": f"{elsewhere.mtls_url}/v1/echo", "/v1/here": "/v1/echo"})
    config = config_of(sandbox, nginx, certificate=True)
    async with open_client(kind, config, follow_redirects=True) as client:
        here = await client.get("/v1/here")
        with pytest.raises(seic.HostNotAllowed) as caught:
            await client.get("/v1/away")

    assert here.status_code == 200
    assert caught.value.host == elsewhere.mtls_url.removeprefix("https://")
    assert elsewhere.seen == []
    assert "client" not in elsewhere.error_log  # no connection was opened


async def test_an_httpx_client_sends_nothing_to_another_host(sandbox: Sandbox, serve: Serve) -> None:
    """With a plain httpx transport the redirect is followed up to the handshake, but no header is sent."""
    elsewhere = serve()
    nginx = serve(redirects={"/v1/away": f"{elsewhere.api_url}/v1/echo"})
    config = config_of(sandbox, nginx, certificate=True)
    context = seic.create_ssl_context(certificate=config.certificate, ca=config.ca)
    auth = seic.OAuth2Auth(config)
    async with httpx.AsyncClient(
        auth=auth, verify=context, base_url=config.base_url, follow_redirects=True, trust_env=False
    ) as client:
        with pytest.raises(seic.HostNotAllowed):
            await client.get("/v1/away")

    assert elsewhere.seen == []


def test_an_invalid_configuration_is_reported(sandbox: Sandbox, tmp_path: Path) -> None:
    """The fixture itself: nginx's message is in the test's failure, and no process remains."""
    nginx = Nginx(tmp_path, upstream="nonsense", authority=sandbox.authority)
    try:
        with pytest.raises(pytest.fail.Exception, match="invalid URL prefix"):
            nginx.start()
    finally:
        nginx.stop()


def test_a_machine_without_nginx_is_reported(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A skip on a developer's machine, and so a failure in CI."""
    monkeypatch.setattr("tests._support.nginx_process._PLACES", str(tmp_path))

    with pytest.raises(pytest.skip.Exception, match="nginx is not installed"):
        Nginx(tmp_path / "nginx", upstream=sandbox.proxy_url, authority=sandbox.authority)

"""A token and an API call, end to end."""

from __future__ import annotations

import asyncio
import logging
import uuid
from pathlib import Path

import httpx
import pytest
import trio

import seic
from seic.sandbox import IssuedCertificate, Sandbox
from tests._support.faces import KINDS, Kind, open_client
from tests._support.sandbox_client import ACCOUNTS_PATH, ECHO_PATH

both_kinds = pytest.mark.parametrize("kind", KINDS)


def tls_version(reply: httpx.Response) -> str:
    """Return the TLS version of the connection that carried the response; it must still be open."""
    ssl_object = reply.extensions["network_stream"].get_extra_info("ssl_object")
    version: str = ssl_object.version()
    return version


@both_kinds
async def test_without_a_certificate_requests_go_to_the_api_host(
    kind: Kind, tls: str, versioned_sandbox: Sandbox
) -> None:
    """One token request and one call, both to the API host, none to the other."""
    sandbox = versioned_sandbox
    async with open_client(kind, sandbox.config()) as client:
        reply = await client.get(ECHO_PATH)
        assert tls_version(reply) == tls

    assert reply.status_code == 200
    assert reply.json()["certificate_common_name"] is None
    assert str(reply.request.url) == f"{sandbox.api_url}{ECHO_PATH}"
    assert (sandbox.counts.api.token_requests, sandbox.counts.api.api_calls) == (1, 1)
    assert sandbox.counts.mtls.connections == 0


@both_kinds
async def test_a_certificate_selects_the_mtls_host(kind: Kind, tls: str, versioned_sandbox: Sandbox) -> None:
    """Without another change, token request and call go to the mutual-TLS host, which receives the certificate."""
    sandbox = versioned_sandbox
    async with open_client(kind, sandbox.config(certificate=True)) as client:
        reply = await client.get(ECHO_PATH)
        assert tls_version(reply) == tls

    assert reply.status_code == 200
    assert reply.json()["certificate_common_name"] == sandbox.username
    assert str(reply.request.url) == f"{sandbox.mtls_url}{ECHO_PATH}"
    assert (sandbox.counts.mtls.token_requests, sandbox.counts.mtls.api_calls) == (1, 1)
    assert sandbox.counts.api.connections == 0


@pytest.mark.parametrize("key_type", ["ec", "rsa", "ed25519"])
async def test_each_type_of_key_works(key_type: str, tls: str, versioned_sandbox: Sandbox) -> None:
    """The certificate's key signs the handshake."""
    pair = versioned_sandbox.issue_certificate(key_type=key_type)  # type: ignore[arg-type]  # one of its literals
    async with seic.AsyncClient(versioned_sandbox.config(certificate=pair)) as client:
        reply = await client.get(ECHO_PATH)
        assert tls_version(reply) == tls

    assert reply.json()["certificate_common_name"] == versioned_sandbox.username


@both_kinds
async def test_one_token_serves_many_requests_on_one_connection(kind: Kind, sandbox: Sandbox) -> None:
    """The second call needs neither a token request nor a handshake."""
    async with open_client(kind, sandbox.config(certificate=True)) as client:
        for _ in range(5):
            assert (await client.get(ECHO_PATH)).status_code == 200

    assert sandbox.counts.token_requests == 1
    assert sandbox.counts.api_calls == 5
    assert sandbox.counts.mtls.connections == 2  # one for the token request, one for the calls


def _write(folder: Path, sandbox: Sandbox, pair: IssuedCertificate, passphrase: str) -> dict[str, str]:
    """Write an operator's files, and return the variables that name them."""
    files = {
        "client.pem": pair.cert_pem,
        "client.key": pair.encode_key(passphrase.encode()),
        "ca.pem": sandbox.ca_pem,
        "secret": f"{sandbox.client_secret}\n".encode(),
        "password": sandbox.password.encode(),
        "passphrase": f"{passphrase}\n".encode(),
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return {
        "SEIC_CLIENT_ID": sandbox.client_id,
        "SEIC_CLIENT_SECRET_FILE": str(folder / "secret"),
        "SEIC_USERNAME": sandbox.username,
        "SEIC_PASSWORD_FILE": str(folder / "password"),
        "SEIC_CERTIFICATE": str(folder / "client.pem"),
        "SEIC_CERTIFICATE_KEY": str(folder / "client.key"),
        "SEIC_CERTIFICATE_PASSWORD_FILE": str(folder / "passphrase"),
        "SEIC_CA": str(folder / "ca.pem"),
        "SEIC_API_HOST": sandbox.api_url,
        "SEIC_MTLS_HOST": sandbox.mtls_url.removeprefix("https://"),
    }


@both_kinds
async def test_everything_can_be_set_in_variables(
    kind: Kind, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hosts with ports, an encrypted key, a private authority, secrets in files: no code is needed."""
    for name, value in _write(tmp_path, sandbox, sandbox.issue_certificate(), "phrase").items():
        monkeypatch.setenv(name, value)
    async with open_client(kind, seic.Config.from_env()) as client:
        assert (await client.get(ECHO_PATH)).json()["certificate_common_name"] == sandbox.username


async def test_everything_can_be_set_without_files(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container has the PEM text itself in its variables."""
    pair = sandbox.issue_certificate()
    for name, value in {
        "CLIENT_ID": sandbox.client_id,
        "CLIENT_SECRET": sandbox.client_secret,
        "USERNAME": sandbox.username,
        "PASSWORD": sandbox.password,
        "CERTIFICATE": pair.cert_pem.decode().replace("\n", "\\n"),
        "CERTIFICATE_KEY": pair.key_pem.decode(),
        "CA": sandbox.ca_pem.decode(),
        "API_HOST": sandbox.api_url,
        "MTLS_HOST": sandbox.mtls_url,
    }.items():
        monkeypatch.setenv(f"SEIC_{name}", value)
    async with seic.AsyncClient.from_env() as client:
        assert (await client.get(ECHO_PATH)).json()["certificate_common_name"] == sandbox.username


async def test_the_auth_works_on_an_httpx_client(sandbox: Sandbox) -> None:
    """With a context or a transport of seic, in a custom httpx client."""
    config = sandbox.config(certificate=True)
    auth = seic.OAuth2Auth(config)
    context = seic.create_ssl_context(certificate=config.certificate, ca=config.ca)
    for options in ({"verify": context}, {"transport": seic.AsyncTransport(config)}):
        async with httpx.AsyncClient(auth=auth, base_url=config.base_url, **options) as client:
            assert (await client.get(ECHO_PATH)).json()["certificate_common_name"] == sandbox.username

    assert sandbox.counts.token_requests == 1
    assert auth.stats.token_requests == 1


def test_requests_work_with_trio(sandbox: Sandbox) -> None:
    """With trio: many tasks, one token, and real TLS."""
    statuses: list[int] = []

    async def main() -> None:
        async with seic.AsyncClient(sandbox.config(certificate=True)) as client, trio.open_nursery() as nursery:

            async def call() -> None:
                statuses.append((await client.get(ECHO_PATH)).status_code)

            for _ in range(20):
                nursery.start_soon(call)

    trio.run(main)

    assert statuses == [200] * 20
    assert sandbox.counts.token_requests == 1


def test_one_auth_serves_several_loops_and_threads(sandbox: Sandbox) -> None:
    """A client belongs to its event loop, but its token does not."""
    config = sandbox.config(certificate=True)
    auth = seic.OAuth2Auth(config)

    async def main() -> int:
        async with seic.AsyncClient(config, auth=auth) as client:
            return (await client.get(ECHO_PATH)).status_code

    statuses = [asyncio.run(main()), asyncio.run(main()), trio.run(main)]
    with seic.Client(config, auth=auth) as client:
        statuses.append(client.get(ECHO_PATH).status_code)

    assert statuses == [200] * 4
    assert sandbox.counts.token_requests == 1


async def test_a_list_is_read_to_its_end(sandbox: Sandbox) -> None:
    """A cursor is returned unchanged in the query: three pages, and each record once."""
    names: list[str] = []
    async with seic.AsyncClient(sandbox.config(certificate=True)) as client:
        cursor: dict[str, str] = {}
        while True:
            page = (await client.get(ACCOUNTS_PATH, params={"limit": "50", **cursor})).json()
            names += [account["externalId"] for account in page["accounts"]]
            if page["nextCursor"] is None:
                break
            cursor = {"cursor": page["nextCursor"]}

    assert len(names) == len(set(names)) == 120
    assert sandbox.counts.api_calls == 3


# Tracking


async def test_every_response_is_logged_with_its_tracking_id(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    """Token requests and API calls, successes and errors; without the query."""
    caplog.set_level(logging.INFO, logger="seic")
    async with seic.AsyncClient(sandbox.config()) as client:
        token = await client.token()
        replies = [await client.get(path, params={"secret": "in-a-query"}) for path in (ECHO_PATH, "/v1/nowhere")]
        sandbox.revoke_all()
        await client.get(ECHO_PATH)

    logged = [record.getMessage() for record in caplog.records if record.name.startswith("seic.api")]
    acquired = [record.getMessage() for record in caplog.records if record.getMessage().startswith("token acquired")]
    assert [reply.status_code for reply in replies] == [200, 404]
    for reply in replies:
        tracking_id = reply.headers["requesttrackingid"]
        assert sum(f"{reply.status_code} tracking_id={tracking_id}" in line for line in logged) == 1
    assert [line.split(" tracking_id=")[0].split()[-1] for line in logged] == ["200", "404", "401", "200"]
    assert token.tracking_id is not None
    assert len(acquired) == 2
    assert token.tracking_id in acquired[0]
    assert "in-a-query" not in caplog.text


async def test_a_user_in_a_url_is_not_logged(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    """A URL can contain credentials, and a path can contain a line end; the log line has neither."""
    caplog.set_level(logging.INFO, logger="seic")
    async with seic.AsyncClient(sandbox.config()) as client:
        await client.get(f"{sandbox.api_url.replace('//', '//some:pass-word@')}/v1/a%0Ab?c#d")

    (line,) = [record.getMessage() for record in caplog.records if record.name == "seic.api"]
    assert line.startswith(f"GET {sandbox.api_url}/v1/a%0Ab 404 tracking_id=")


@both_kinds
async def test_an_error_has_what_support_needs(kind: Kind, sandbox: Sandbox) -> None:
    """Status, the provider's code and message, and the tracking id of the failed call."""
    config = sandbox.config(client_secret="wrong")
    async with open_client(kind, config) as client:
        with pytest.raises(seic.TokenRequestRefused) as caught:
            await client.get(ECHO_PATH)

    error = caught.value
    assert (error.status, error.code, error.transient) == (401, "gateway.authentication.failure", False)
    assert error.tracking_id is not None
    assert str(uuid.UUID(error.tracking_id)) in str(error)
    assert sandbox.counts.token_requests == 1  # refused credentials are not sent again
    assert sandbox.counts.api_calls == 0


# No fallback


@both_kinds
async def test_a_host_that_is_down_has_no_fallback(kind: Kind, sandbox: Sandbox) -> None:
    """With a certificate nothing is sent to the API host, even if the other host is down."""
    with Sandbox() as other:
        gone = other.mtls_url
    hosts = seic.Hosts(api=sandbox.api_url, mtls=gone)
    async with open_client(kind, sandbox.config(certificate=True, hosts=hosts)) as client:
        with pytest.raises(seic.TokenEndpointUnavailable) as caught:
            await client.get(ECHO_PATH)

    assert gone.removeprefix("https://") in str(caught.value)
    assert sandbox.counts.connections == 0

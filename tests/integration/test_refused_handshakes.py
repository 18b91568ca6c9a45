"""Refused certificates: from real servers to the error messages."""

from __future__ import annotations

import asyncio
import pickle
import socket
import ssl
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest

import seic
from tests._support.edge import Edge
from tests._support.pki import DAY, NOW, Minted, authority, mint, server
from tests._support.pki import revocation_list as crl
from tests._support.reports import report
from tests._support.swapping import PairOnDisk, settings_for
from tests._support.tls_servers import TLS12, TLS13, TlsServer

_SECRETS = ("password-1", "AppSecret-1", "token-of-the-test")
_VERSIONS = {"TLSv1.2": TLS12, "TLSv1.3": TLS13}


@attrs.frozen
class Case:
    """A client certificate, and the expected message."""

    certificate: Callable[[], Minted | None]
    reason: str
    remedy: str


def _revoked() -> Minted:
    return mint(issuer=authority(), number=31)


def _unknown() -> Minted:
    return mint(issuer=authority("Another Root", 71), number=32)


@pytest.fixture(params=["TLSv1.2", "TLSv1.3"])
def protocol(request: pytest.FixtureRequest) -> str:
    """Return the only TLS version of the server."""
    return str(request.param)


def _signed(request: httpx.Request) -> httpx.Request:
    # As in an auth: the token is in the request and in no frame.
    request.headers["Authorization"] = "Bearer token-of-the-test"
    return request


async def api_call(config: seic.Config) -> httpx.Response:
    """Make an API call without a token."""
    async with httpx.AsyncClient(transport=seic.AsyncTransport(config), base_url=config.base_url) as client:
        return await client.get("/v1/echo", auth=_signed)


async def api_call_blocking(config: seic.Config) -> httpx.Response:
    """The same in a thread."""

    def call() -> httpx.Response:
        with httpx.Client(transport=seic.Transport(config), base_url=config.base_url) as client:
            return client.get("/v1/echo", auth=_signed)

    return await asyncio.to_thread(call)


async def token_call(config: seic.Config) -> seic.Token:
    """Request a token."""
    async with seic.AsyncClient(config) as client:
        return await client.token()


async def token_call_blocking(config: seic.Config) -> seic.Token:
    """The same in a thread."""

    def call() -> seic.Token:
        with seic.Client(config) as client:
            return client.token()

    return await asyncio.to_thread(call)


CALLS = pytest.mark.parametrize("call", [api_call, api_call_blocking, token_call, token_call_blocking])


async def refusal(call: Any, config: seic.Config, kind: type[Exception]) -> Any:
    """Return the error of a call, after a check that neither it nor its causes contain a secret."""
    with pytest.raises(kind) as caught:
        await call(config)
    text = report(caught.value)
    assert not [secret for secret in _SECRETS if secret in text]
    if isinstance(caught.value, seic.SeicError):
        assert not [secret for secret in _SECRETS if secret.encode() in pickle.dumps(caught.value)]
    return caught.value


# Client certificate, refused with a page


@CALLS
@pytest.mark.parametrize(
    "case",
    [
        pytest.param(Case(_revoked, "refused", "it may be revoked"), id="revoked"),
        pytest.param(Case(_unknown, "refused", "ask the server's operator"), id="unknown"),
        pytest.param(Case(lambda: None, "demanded", "pass certificate=..."), id="absent"),
    ],
)
async def test_nginx_refuses_a_certificate_with_a_page(call: Any, case: Case, protocol: str, tmp_path: Path) -> None:
    """Nginx's 400 becomes an error with the file, the reason and the remedy, for token requests and API calls."""
    root, pair = authority(), case.certificate()
    revoked = (pair,) if case.certificate is _revoked and pair else ()
    disk = None if pair is None else PairOnDisk(tmp_path / "pair", pair)
    with Edge(tmp_path / "nginx", root, protocols=protocol, revoked=revoked) as edge:
        error = await refusal(
            call, settings_for(edge, root, certificate=None if disk is None else disk.load()), seic.CertificateError
        )
        log = edge.log()

    assert error.reason == case.reason
    assert error.path == (None if disk is None else str(disk.certificate))
    assert case.remedy in str(error)
    assert f"{edge.host}: the server answered 400" in str(error)
    assert isinstance(error, httpx.ConnectError) == ("api" in call.__name__)
    assert traceback.format_exception_only(error)[0].startswith("seic.CertificateError: ")
    assert {line.status for line in log} == {400}
    assert {line.protocol for line in log} == {protocol}


async def test_optional_verification_accepts_the_request(protocol: str, tmp_path: Path) -> None:
    """Callers with and without a certificate are accepted."""
    root, pair = authority(), mint(issuer=authority(), number=33)
    disk = PairOnDisk(tmp_path / "pair", pair)
    with Edge(tmp_path / "nginx", root, verify="optional", protocols=protocol, revoked=()) as edge:
        for certificate in (None, disk.load()):
            assert (await api_call(settings_for(edge, root, certificate=certificate))).status_code == 200
        log = edge.log()

    assert [line.verify for line in log] == ["NONE", "SUCCESS"]


async def test_an_error_page_of_the_api_is_returned(tmp_path: Path) -> None:
    """Another 403 in HTML is returned completely, with its body unread."""
    root = authority()
    page = b"<h1>closed on Sundays</h1>"
    reply = b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\nX-Of: api\r\nContent-Length: %d\r\n\r\n%s"
    with TlsServer(server(root), reply=reply % (len(page), page)) as tls_server:
        config = seic_config(tls_server.port, root, None)
        async with (
            httpx.AsyncClient(transport=seic.AsyncTransport(config), base_url=config.base_url) as client,
            client.stream("GET", "/") as response,
        ):
            raw = b"".join([part async for part in response.aiter_raw()])
        blocking = await api_call_blocking(config)

    assert (response.status_code, raw, response.headers["X-Of"]) == (403, page, "api")
    assert blocking.content == page


# Client certificate, refused with an alert


def seic_config(port: int, root: Minted, certificate: seic.ClientCertificate | None) -> seic.Config:
    """Return a configuration for a server in a thread."""
    return seic.Config(
        provider=seic.SEI_GATEWAY,
        hosts=seic.Hosts(mtls=f"localhost:{port}", api=f"localhost:{port}"),
        client_id="AppKey-1",
        client_secret="AppSecret-1",
        grant=seic.ClientCredentials(username="svc-user", password="password-1"),
        certificate=certificate,
        ca=root.pem,
    )


@CALLS
@pytest.mark.parametrize(
    ("case", "reset"),
    [
        pytest.param(Case(_revoked, "revoked", "have CN=Test Root issue a new one"), False, id="revoked"),
        pytest.param(Case(_unknown, "unknown-to-server", "which authorities it accepts"), False, id="unknown"),
    ],
)
async def test_a_server_refuses_a_certificate_with_an_alert(
    call: Any, case: Case, reset: bool, protocol: str, tmp_path: Path
) -> None:
    """Over TLS 1.2 the alert ends the handshake, over 1.3 it arrives with the first read: the error is the same."""
    root, pair = authority(), case.certificate()
    assert pair is not None
    disk = PairOnDisk(tmp_path, pair)
    revoked = crl(root, pair) if case.certificate is _revoked else None
    with TlsServer(server(root), trusts=root, version=_VERSIONS[protocol], crl=revoked, reset=reset) as tls_server:
        error = await refusal(call, seic_config(tls_server.port, root, disk.load()), seic.CertificateError)

    assert error.reason == case.reason
    assert error.path == str(disk.certificate)
    assert case.remedy in str(error)
    assert error.__cause__ is not None


@CALLS
async def test_a_server_requires_a_certificate_with_an_alert(call: Any) -> None:
    """`certificate required`, and none is configured: the remedy is to pass one."""
    root = authority()
    with TlsServer(server(root), trusts=root, version=TLS13) as tls_server:
        error = await refusal(call, seic_config(tls_server.port, root, None), seic.CertificateError)

    assert error.reason == "demanded"
    assert "pass certificate=..." in str(error)


# Client certificate, checked before a connection


@CALLS
@pytest.mark.parametrize(
    ("dates", "reason"),
    [
        pytest.param({"not_before": NOW - 9 * DAY, "not_after": NOW - DAY}, "expired", id="expired"),
        pytest.param({"not_before": NOW + DAY}, "not-yet-valid", id="not yet valid"),
    ],
)
async def test_dates_are_checked_before_the_handshake(
    call: Any, dates: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    """No connection is opened, and the error names the file and the local clock."""
    root = authority()
    disk = PairOnDisk(tmp_path / "pair", mint(issuer=root, number=34, **dates))
    with Edge(tmp_path / "nginx", root) as edge:
        error = await refusal(call, settings_for(edge, root, certificate=disk.load()), seic.CertificateError)
        log = edge.log()

    assert (error.reason, error.path) == (reason, str(disk.certificate))
    assert "this machine's clock says" in str(error)
    assert log == []


# Server certificate


def _servers() -> Iterator[Any]:
    root = authority()
    dated = {"not_before": NOW - 9 * DAY, "not_after": NOW - DAY}
    yield pytest.param(lambda: server(root, **dated), "server-expired", "has expired", id="expired")
    yield pytest.param(
        lambda: server(root, "elsewhere.example"), "server-wrong-host", "another host name", id="wrong host"
    )
    yield pytest.param(
        lambda: server(authority("Another Root", 71)),
        "server-unknown-ca",
        "authority that is not trusted",
        id="unknown CA",
    )
    yield pytest.param(
        lambda: mint("server", names=("localhost",), number=90), "server-self-signed", "self-signed", id="self-signed"
    )


@CALLS
@pytest.mark.parametrize(("identity", "reason", "words"), list(_servers()))
async def test_the_servers_certificate_is_refused_by_name(
    call: Any, identity: Callable[[], Minted], reason: str, words: str, tmp_path: Path
) -> None:
    """API calls raise httpx's ConnectError and token requests TokenEndpointUnavailable: not CertificateError."""
    root = authority()
    kind = httpx.ConnectError if "api" in call.__name__ else seic.TokenEndpointUnavailable
    disk = PairOnDisk(tmp_path / "pair", mint(issuer=root, number=35))
    with Edge(tmp_path / "nginx", root, identity=identity()) as edge:
        error = await refusal(call, settings_for(edge, root, certificate=disk.load()), kind)

    assert words in str(error)
    assert edge.host in str(error)
    assert error.reason == reason
    assert not isinstance(error, seic.CertificateError)


@CALLS
async def test_errors_without_tls_are_unchanged(call: Any, tmp_path: Path) -> None:
    """A closed port has nothing to do with certificates."""
    root = authority()
    with Edge(tmp_path / "nginx", root) as edge:
        pass
    kind = httpx.ConnectError if "api" in call.__name__ else seic.TokenEndpointUnavailable
    error = await refusal(call, settings_for(edge, root, certificate=None), kind)

    assert "certificate" not in str(error)
    assert error.reason is None


@CALLS
async def test_an_exception_of_the_caller_is_not_part_of_the_failure(call: Any, tmp_path: Path) -> None:
    """A call inside an except block of another error fails normally, and that error keeps its frames."""
    root = authority()
    with Edge(tmp_path / "nginx", root) as edge:
        pass
    kind = httpx.ConnectError if "api" in call.__name__ else seic.TokenEndpointUnavailable
    try:
        raise ssl.SSLCertVerificationError("certificate has expired")
    except ssl.SSLCertVerificationError as first:
        if "blocking" in call.__name__:
            with pytest.raises(kind) as caught:
                # In this thread, since another one handles no error.
                _block(call, settings_for(edge, root, certificate=None))
        else:
            with pytest.raises(kind) as caught:
                await call(settings_for(edge, root, certificate=None))
        assert first.__traceback__ is not None  # noqa: PT017  # it is the exception that the caller is handling
    assert "expired" not in str(caught.value)


def _block(call: Any, config: seic.Config) -> None:
    if call is api_call_blocking:
        with httpx.Client(transport=seic.Transport(config), base_url=config.base_url) as client:
            client.get("/v1/echo")
    else:
        with seic.Client(config) as client:
            client.token()


# Other causes


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(b"GARBAGE GARBAGE\r\n\r\n", id="no HTTP"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", id="bad header"),
    ],
)
@pytest.mark.parametrize("call", [api_call, api_call_blocking])
async def test_a_malformed_response_is_not_attributed_to_the_certificate(call: Any, reply: bytes) -> None:
    """The server accepted the certificate and answered; httpx's message is unchanged."""
    root = authority()
    ours = seic.ClientCertificate.load(mint(issuer=root, number=36).pair)
    with TlsServer(server(root), reply=reply) as tls_server:
        error = await refusal(call, seic_config(tls_server.port, root, ours), httpx.RemoteProtocolError)

    assert "our certificate" not in str(error)


@pytest.mark.parametrize("call", [api_call, api_call_blocking])
async def test_a_connection_closed_during_the_handshake_is_reported(call: Any) -> None:
    """The message does not blame a certificate that may not have been sent."""
    root = authority()
    ours = seic.ClientCertificate.load(mint(issuer=root, number=36).pair)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)

        thread = threading.Thread(target=hang_up)
        thread.start()
        port = listener.getsockname()[1]
        config = seic_config(port, root, ours)
        error = await refusal(call, config, httpx.TransportError)
        thread.join()

    assert error.reason == "closed-early"
    assert "before the handshake ended" in str(error)
    assert "our certificate" not in str(error)

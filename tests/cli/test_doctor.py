"""`seic doctor` against breakages: each is named, with its exit code, and the checks after it still run."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import socket
import ssl
from collections.abc import Callable
from typing import TypeAlias

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from seic.sandbox import Sandbox
from tests._support import pki
from tests._support.command import run, variables_of
from tests._support.command_case import ROOT, Case, checks
from tests._support.connect_proxy import ConnectProxy
from tests._support.file_server import FileServer
from tests._support.loopback import RawServer
from tests._support.tls_servers import TlsServer

ALL = ["settings", "files", "certificate", "authorities", "clock", "dns", "proxy", "tcp", "tls", "skew", "token"]


def test_nothing_is_wrong(case: Case) -> None:
    """Each check passes, and each setting has its source."""
    code, found = checks("--path", "/v1/investments/accounts")

    assert code == 0
    assert list(found) == [*ALL, "tokeninfo", "api"]
    assert {name: one["outcome"] for name, one in found.items() if one["outcome"] != "ok"} == {"tokeninfo": "skipped"}
    assert found["settings"]["details"]["client_secret"] == "***  (SEIC_CLIENT_SECRET)"
    assert found["settings"]["details"]["username"] == f"{case.sandbox.username}  (SEIC_USERNAME)"
    assert "issuer CN=seic sandbox CA" in found["tls"]["details"]["server 1"]


def _missing_secret(case: Case) -> None:
    case.env.delenv("SEIC_CLIENT_SECRET")


def _misspelt_variable(case: Case) -> None:
    case.env.setenv("SEIC_CERTIFICAT", "client.pem")


def _unknown_profile(case: Case) -> None:
    case.env.setenv("SEIC_PROFILE", "production")


def _missing_key(case: Case) -> None:
    case.env.setenv("SEIC_CERTIFICATE_KEY", str(case.folder / "absent.key"))


def _foreign_key(case: Case) -> None:
    case.env.setenv("SEIC_CERTIFICATE_KEY", case.write("foreign.key", case.sandbox.issue_certificate().key_pem))


def _no_passphrase(case: Case) -> None:
    pair = case.sandbox.issue_certificate()
    case.use_pair(pair, pair.encode_key(b"pass-phrase"))


def _expired(case: Case) -> None:
    now = dt.datetime.now(dt.UTC)
    start = now - dt.timedelta(days=30)
    case.use_pair(case.sandbox.issue_certificate(not_before=start, not_after=now - dt.timedelta(days=2)))


def _not_yet_valid(case: Case) -> None:
    case.use_pair(case.sandbox.issue_certificate(not_before=dt.datetime.now(dt.UTC) + dt.timedelta(days=2)))


def _other_account(case: Case) -> None:
    case.use_pair(case.sandbox.issue_certificate("svc-other"))


def _ca_without_certificate(case: Case) -> None:
    case.env.setenv("SEIC_CA", case.write("key-as-ca.pem", case.sandbox.client_key_pem))


def _other_ca(case: Case) -> None:
    case.env.setenv("SEIC_CA", case.write("other-ca.pem", ROOT.pem))


def _unknown_name(case: Case) -> None:
    case.env.setenv("SEIC_MTLS_HOST", "nowhere.invalid")


def _dead_proxy(case: Case) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    case.env.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")


def _proxy_with_password(case: Case) -> None:
    proxy = case.servers.enter_context(ConnectProxy("user:right-password"))
    case.env.setenv("HTTPS_PROXY", f"http://user:wrong-password@127.0.0.1:{proxy.port}")


def _closed_port(case: Case) -> None:
    case.env.setenv("SEIC_MTLS_HOST", "localhost:1")


def _no_tls(case: Case) -> None:
    case.use_server(RawServer(lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")))
    # It answers at once, as a server that has read no HTTP request does.
    case.use_server(_Greeter())


class _Greeter(RawServer):
    """A server that speaks first, and no TLS."""

    def __init__(self) -> None:
        super().__init__(lambda _: None)

    def _answer(self, raw: socket.socket) -> None:
        with raw, contextlib.suppress(OSError):
            raw.sendall(b"220 mail.example ESMTP ready\r\n")
            raw.recv(4096)


def _server_expired(case: Case) -> None:
    old = {"not_before": pki.NOW - 30 * pki.DAY, "not_after": pki.NOW - pki.DAY}
    case.use_server(TlsServer(pki.server(ROOT, **old)))


def _server_of_another_name(case: Case) -> None:
    case.use_server(TlsServer(pki.server(ROOT, "other.example")))


def _refused_certificate(case: Case) -> None:
    case.use_server(TlsServer(pki.server(ROOT), trusts=pki.authority("Another Root", 71)))


def _demanded_certificate(case: Case) -> None:
    case.use_server(TlsServer(pki.server(ROOT), trusts=ROOT))
    case.env.delenv("SEIC_CERTIFICATE")
    case.env.delenv("SEIC_CERTIFICATE_KEY")


def _revoked_certificate(case: Case) -> None:
    client = pki.mint(case.sandbox.username, issuer=ROOT, number=3)
    case.use_pair(client)
    case.use_server(TlsServer(pki.server(ROOT), trusts=ROOT, crl=pki.revocation_list(ROOT, client)))


def _old_tls(case: Case) -> None:
    def old(context: ssl.SSLContext) -> None:
        context.set_ciphers("ALL:@SECLEVEL=0")

    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        case.use_server(TlsServer(pki.server(ROOT), version=ssl.TLSVersion.TLSv1_1, prepare=old))


def _other_clock(case: Case) -> None:
    reply = b"HTTP/1.1 200 OK\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    case.use_server(TlsServer(pki.server(ROOT), reply=reply))


def _wrong_password(case: Case) -> None:
    case.env.setenv("SEIC_PASSWORD", "wrong-password")


def _failing_endpoint(case: Case) -> None:
    sandbox = case.servers.enter_context(Sandbox())
    sandbox.fail_tokens(503, times=100, headers={"Retry-After": "60"})
    for name, value in variables_of(sandbox, case.folder).items():
        case.env.setenv(name, value)


#: The function that breaks the case, the check that names it, words of the result, the exit code.
BREAKAGES: list[tuple[Callable[[Case], None], str, str, int]] = [
    (_missing_secret, "settings", "SEIC_CLIENT_SECRET: missing", 3),
    (_misspelt_variable, "settings", "SEIC_CERTIFICAT: unknown variable", 3),
    (_unknown_profile, "settings", "config.toml cannot be read", 3),
    (_missing_key, "files", "absent.key: No such file", 4),
    (_foreign_key, "certificate", "key-mismatch", 4),
    (_no_passphrase, "certificate", "passphrase-missing", 4),
    (_expired, "certificate", "expired", 4),
    (_not_yet_valid, "certificate", "not-yet-valid", 4),
    (_other_account, "certificate", "common-name", 4),
    (_ca_without_certificate, "authorities", "no-certificate", 4),
    (_other_ca, "tls", "server-unknown-ca", 5),
    (_unknown_name, "dns", "nowhere.invalid does not resolve", 5),
    (_dead_proxy, "proxy", "cannot be reached", 5),
    (_proxy_with_password, "proxy", "407 Proxy Authentication Required", 5),
    (_closed_port, "tcp", "the connection was refused", 5),
    (_no_tls, "tls", "not-tls", 5),
    (_server_expired, "tls", "server-expired", 5),
    (_server_of_another_name, "tls", "server-wrong-host", 5),
    (_refused_certificate, "tls", "unknown-to-server", 4),
    (_demanded_certificate, "tls", "demanded", 4),
    (_revoked_certificate, "tls", "revoked", 4),
    (_old_tls, "tls", "protocol-too-old", 5),
    (_other_clock, "skew", "s ahead of the server's", 1),
    (_wrong_password, "token", "gateway.authentication.failure", 6),
    (_failing_endpoint, "token", "503", 6),
]
_Breakage: TypeAlias = Callable[[Case], None]


@pytest.mark.parametrize(
    ("break_it", "name", "words", "code"), BREAKAGES, ids=lambda value: getattr(value, "__name__", "")[1:] or None
)
def test_a_breakage_is_named(case: Case, break_it: _Breakage, name: str, words: str, code: int) -> None:
    """The first failure is the cause, with a remedy; later checks run, and the token's at the end is in the report."""
    break_it(case)
    actual, found = checks()
    failed = [result for result in found.values() if result["outcome"] == "failed"]

    assert failed[0]["name"] == name
    assert words == failed[0].get("reason") or words in failed[0]["found"]
    assert failed[0]["remedy"]
    assert actual == code
    assert list(found)[: len(ALL)] == ALL


def test_a_missing_secret_stops_only_its_own_checks(case: Case) -> None:
    """Certificate, network and TLS are checked with a placeholder; nothing is sent with it."""
    case.env.delenv("SEIC_CLIENT_SECRET")
    case.env.delenv("SEIC_PASSWORD")
    before = case.sandbox.counts.token_requests
    _, found = checks()

    assert found["certificate"]["outcome"] == found["tls"]["outcome"] == "ok"
    assert found["token"]["outcome"] == found["api"]["outcome"] == "skipped"
    assert "client_secret, password" in found["token"]["found"]
    assert case.sandbox.counts.token_requests == before


def test_a_server_that_never_answers(case: Case) -> None:
    """Each step has its time limit."""
    server = RawServer(lambda connection: server.wait(connection))  # noqa: PLW0108  # it does not exist yet
    case.use_server(server)
    done = run("doctor", "--json", "--timeout", "0.2")
    found = {result["name"]: result for result in json.loads(done.out)["checks"]}

    assert done.code == 5
    assert "no answer within 0.2 s" in found["tls"]["found"]
    assert found["token"]["found"] == "tls failed for the same host"


def test_an_api_that_refuses(case: Case) -> None:
    """The API's own error, with exit code 7."""
    code, found = checks("--path", "/v1/unknown")

    assert code == 7
    assert found["api"]["found"].startswith("GET /v1/unknown: 404: ")
    assert found["api"]["details"]["tracking_id"]


def test_an_api_whose_answer_does_not_end(files: FileServer) -> None:
    """The beginning of a body is enough; the whole one could fill the memory."""
    files.replies["/endless"] = (200, b" " * 200_000, {})
    files.endless.add("/endless")
    code, found = checks("--path", "/endless")

    assert code == 0
    assert found["api"]["found"] == "GET /endless: 200"


def test_a_key_that_others_can_read(case: Case) -> None:
    """A warning, which is not a failure."""
    (case.folder / "client.key").chmod(0o644)
    code, found = checks()

    assert code == 0
    assert found["files"]["outcome"] == "warning"
    assert found["files"]["remedy"].startswith("chmod 600 ")


def test_the_proxy_in_use_is_shown(case: Case) -> None:
    """With its variable, and without its password."""
    proxy = case.servers.enter_context(ConnectProxy("user:right-password"))
    case.env.setenv("HTTPS_PROXY", f"http://user:right-password@127.0.0.1:{proxy.port}")
    code, found = checks()

    assert code == 0
    assert found["proxy"]["found"].startswith(f"http://127.0.0.1:{proxy.port} (HTTPS_PROXY) opens a tunnel")
    assert found["tcp"]["outcome"] == "skipped"
    assert found["tls"]["outcome"] == "ok"


@pytest.mark.parametrize(("user", "advice"), [("", "the proxy asks for credentials"), ("user:wrong@", "correct the")])
def test_a_proxy_that_asks_for_credentials(case: Case, user: str, advice: str) -> None:
    """The advice is about these, not about the host."""
    proxy = case.servers.enter_context(ConnectProxy("user:right-password"))
    case.env.setenv("HTTPS_PROXY", f"http://{user}127.0.0.1:{proxy.port}")
    _, found = checks()

    assert advice in found["proxy"]["remedy"]
    assert "operator" not in found["proxy"]["remedy"]


def test_certificates_in_variables(case: Case) -> None:
    """PEM text in a variable is masked, and no file is looked for."""
    case.env.setenv("SEIC_CERTIFICATE", case.sandbox.client_certificate_pem.decode())
    case.env.setenv("SEIC_CERTIFICATE_KEY", case.sandbox.client_key_pem.decode().replace("\n", "\\n"))
    done = run("doctor")

    assert done.code == 0
    assert case.sandbox.client_key_pem.decode().splitlines()[1] not in done.out
    assert "certificate_key" in done.out


def test_the_server_sends_a_chain(case: Case) -> None:
    """Each certificate of it, also if the server's is not trusted."""
    case.use_server(
        TlsServer(pki.server(pki.authority("Stranger", 72)), chain=ROOT.certificate.public_bytes(Encoding.PEM))
    )
    _, found = checks()

    assert found["tls"]["outcome"] == "failed"
    assert "issuer CN=Stranger" in found["tls"]["details"]["server 1"]
    assert "CN=Test Root" in found["tls"]["details"]["server 2"]


@pytest.mark.parametrize("columns", [80, 120])
def test_lines_fit_a_terminal(case: Case, columns: int) -> None:
    """Folded between words, with colours."""
    case.env.setenv("COLUMNS", str(columns))
    case.env.setenv("SEIC_PASSWORD", "wrong-password")
    shown = run("doctor", at_terminal=True).out
    plain = shown
    for code in ("32", "31", "33", "2", "1", "0"):
        plain = plain.replace(f"\x1b[{code}m", "")

    assert "\x1b[32m✓\x1b[0m settings" in shown
    assert "\x1b[31m✗\x1b[0m token" in shown
    too_long = [line for line in plain.splitlines() if len(line) > columns]
    assert too_long == []
    case.env.setenv("NO_COLOR", "1")
    assert "\x1b" not in run("doctor", at_terminal=True).out

"""A real nginx that ends TLS in front of a sandbox: the test's own child process, in a folder of the test's.

It gets its ports as open sockets, so no other process can take them first, and a connection waits for it to start.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from string import Template
from typing import Literal, Self

import attrs
import pytest

from seic.sandbox import CertificateAuthority
from seic.sandbox._server.loopback import LOOPBACK_NAMES, bind_loopback

# Debian keeps servers where only root looks for programs.
_PLACES = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin"))
_PATIENCE = 10.0
_AGAIN = 0.5

_CONFIGURATION = Template(
    """
daemon off;
worker_processes 1;
pid nginx.pid;
error_log error.log info;
$user
events { worker_connections 512; }
http {
    log_format seen escape=json '{"host":"$$server_port","verify":"$$ssl_client_verify","subject":"$$ssl_client_s_dn",'
        '"protocol":"$$ssl_protocol","http":"$$server_protocol","request":"$$request","status":$$status,'
        '"key":"$$http_appkey"}';
    access_log access.log seen;
    client_body_temp_path temp; proxy_temp_path temp; fastcgi_temp_path temp; uwsgi_temp_path temp; scgi_temp_path temp;
    ssl_certificate server.pem;
    ssl_certificate_key server.key;
    ssl_protocols $protocols;
    proxy_http_version 1.1;
    proxy_set_header Host $$host;
    proxy_set_header Connection "";
    # Set on every call, empty where there is none, so that no caller can name anybody.
    proxy_set_header X-SSL-Client-Cert $$ssl_client_escaped_cert;
    server {
        listen 127.0.0.1:$api_port ssl $http2;
        $api_listen_6
        location / { proxy_pass $upstream; }
        $locations
    }
    server {
        listen 127.0.0.1:$mtls_port ssl $http2;
        $mtls_listen_6
        ssl_client_certificate clients.pem;
        ssl_verify_client $verify;
        ssl_crl clients.crl;
        location / { proxy_pass $upstream; }
        $locations
    }
}
"""
)


def end(process: subprocess.Popen[bytes], patience: float) -> int:
    """Ask an nginx to end until it does.

    It notes a signal that comes while it starts, and then sleeps until the next one, so one alone may go unheard.

    Args:
        process: The master.
        patience: Seconds.

    Returns:
        Its exit code.

    Raises:
        subprocess.TimeoutExpired: It does not end.
    """
    rounds = int(patience / _AGAIN)
    for left in reversed(range(rounds)):
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(_AGAIN)
        except subprocess.TimeoutExpired:
            if not left:
                raise
    raise AssertionError(patience)


@attrs.frozen(kw_only=True)
class Seen:
    """A line of the access log: what nginx saw of a call.

    Args:
        host: `api` or `mtls`.
        verify: `SUCCESS`, `NONE`, or `FAILED:` and the reason.
        subject: The client certificate's, as RFC 2253 writes it.
        protocol: `TLSv1.2` or `TLSv1.3`.
        http: `HTTP/1.1` or `HTTP/2.0`.
        request: Method, path and version.
        status: What was answered.
        key: The AppKey header.
    """

    host: str
    verify: str
    subject: str
    protocol: str
    http: str
    request: str
    status: int
    key: str


class Nginx:
    """nginx with a host that asks for no client certificate and one that does, between entry and exit.

    Args:
        folder: Everything of it lies there.
        upstream: Where the calls go on to, in clear.
        authority: Signs its certificate, and vouches for clients.
        verify: `on` refuses whoever proves no certificate of the authority, `optional` lets through who has none.
        protocols: The versions of TLS that it speaks.
        http2: Whether it offers HTTP/2.
        redirects: Locations that lead elsewhere: a path, and the whole URL.
    """

    def __init__(
        self,
        folder: Path,
        *,
        upstream: str,
        authority: CertificateAuthority,
        verify: Literal["on", "optional"] = "on",
        protocols: str = "TLSv1.2 TLSv1.3",
        http2: bool = False,
        redirects: dict[str, str] | None = None,
    ) -> None:
        program = shutil.which("nginx", path=_PLACES)
        if program is None:
            pytest.skip("nginx is not installed")
        self._program = program
        self._folder = folder
        self._authority = authority
        self._process: subprocess.Popen[bytes] | None = None
        self._sockets = {"api": bind_loopback(), "mtls": bind_loopback()}
        self._ports = {host: sockets[0].getsockname()[1] for host, sockets in self._sockets.items()}
        settings = {
            "user": "user root;" if hasattr(os, "geteuid") and os.geteuid() == 0 else "",
            "upstream": upstream,
            "verify": verify,
            "protocols": protocols,
            "http2": "http2" if http2 else "",
            "locations": " ".join(
                f"location = {path} {{ return 302 {target}; }}" for path, target in (redirects or {}).items()
            ),
        }
        for host, sockets in self._sockets.items():
            port = self._ports[host]
            settings[f"{host}_port"] = str(port)
            has_ipv6 = len(sockets) > 1
            settings[f"{host}_listen_6"] = f"listen [::1]:{port} ssl {settings['http2']};" if has_ipv6 else ""
        folder.mkdir(parents=True, exist_ok=True)
        server = authority.issue("localhost", sans=LOOPBACK_NAMES, client=False, server=True)
        (folder / "server.pem").write_bytes(server.cert_pem)
        (folder / "server.key").write_bytes(server.key_pem)
        (folder / "clients.pem").write_bytes(authority.cert_pem)
        (folder / "clients.crl").write_bytes(authority.crl_pem())
        (folder / "nginx.conf").write_text(_CONFIGURATION.substitute(settings), encoding="utf-8")

    @property
    def api_url(self) -> str:
        """The host that asks for no client certificate."""
        return f"https://localhost:{self._ports['api']}"

    @property
    def mtls_url(self) -> str:
        """The host that asks for one."""
        return f"https://localhost:{self._ports['mtls']}"

    def start(self) -> None:
        """Start it; a mistake in its configuration is told in its own words."""
        command = [self._program, "-p", str(self._folder), "-c", "nginx.conf", "-e", "error.log"]
        checked = subprocess.run([*command, "-t"], capture_output=True, text=True, timeout=_PATIENCE, check=False)
        if checked.returncode:
            pytest.fail(f"nginx refuses its configuration:\n{checked.stderr}")
        sockets = [sock for sockets in self._sockets.values() for sock in sockets]
        for sock in sockets:
            sock.listen(512)
        # How an nginx hands its listeners to the next one: numbers of descriptors, each with a semicolon.
        inherited = "".join(f"{sock.fileno()};" for sock in sockets)
        self._process = subprocess.Popen(
            command,
            env={**os.environ, "NGINX": inherited},
            pass_fds=[sock.fileno() for sock in sockets],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._close_sockets()

    def revoke(self, *certificates: object) -> None:
        """Put certificates of the authority on the revocation list; before the start."""
        for certificate in certificates:
            self._authority.revoke(certificate)  # type: ignore[arg-type]  # what the authority takes
        (self._folder / "clients.crl").write_bytes(self._authority.crl_pem())

    def stop(self) -> None:
        """End it and wait for its end; a second time changes nothing."""
        self._close_sockets()
        process, self._process = self._process, None
        if process is None:
            return
        try:
            code = end(process, _PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        # Its signal may come before nginx has a handler for it.
        if code not in (0, -signal.SIGTERM):
            pytest.fail(f"nginx ended with {code}:\n{self.error_log}")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    @property
    def seen(self) -> list[Seen]:
        """What it has seen; it writes a call down after the answer, so stop it first."""
        self.stop()
        lines = (self._folder / "access.log").read_text(encoding="utf-8").splitlines()
        hosts = {str(port): host for host, port in self._ports.items()}
        return [Seen(**{**facts, "host": hosts[facts["host"]]}) for facts in map(json.loads, lines)]

    @property
    def error_log(self) -> str:
        """What it says of itself."""
        with contextlib.suppress(FileNotFoundError):
            return (self._folder / "error.log").read_text(encoding="utf-8")
        return ""

    def _close_sockets(self) -> None:
        for sockets in self._sockets.values():
            for sock in sockets:
                sock.close()

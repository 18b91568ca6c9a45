"""An nginx that terminates mutual TLS and answers requests itself; its log has the certificate of each request."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from string import Template
from typing import Literal, Self

import attrs
import pytest

from tests._support.nginx import end
from tests._support.pki import Minted, revocation_list, server

# Debian installs servers in a folder that is on root's PATH only.
_PLACES = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin"))
_PATIENCE = 10.0

_CONFIGURATION = Template(
    """
daemon off;
worker_processes 1;
pid nginx.pid;
error_log error.log info;
$user
events { worker_connections 1024; }
http {
    log_format seen escape=json '{"at":$$msec,"verify":"$$ssl_client_verify","serial":"$$ssl_client_serial",'
        '"protocol":"$$ssl_protocol","resumed":"$$ssl_session_reused","path":"$$uri","status":$$status,'
        '"authorization":"$$http_authorization",'
        '"address":"$$remote_addr"}';
    access_log access.log seen;
    client_body_temp_path temp; proxy_temp_path temp; fastcgi_temp_path temp; uwsgi_temp_path temp; scgi_temp_path temp;
    ssl_certificate server.pem;
    ssl_certificate_key server.key;
    ssl_protocols $protocols;
    ssl_client_certificate clients.pem;
    ssl_verify_client $verify;
    $crl
    default_type application/json;
    server {
        listen $address:$port ssl;
        location = /v2/oauthtoken {
            return 200 '{"access_token":"token-$$ssl_client_serial","token_type":"BearerToken","expires_in":"3600"}';
        }
        location / { return 200 '{"serial":"$$ssl_client_serial"}'; }
    }
}
"""
)


@attrs.frozen(kw_only=True)
class Line:
    """A line of the access log.

    Args:
        at: The time of the response, in seconds since the epoch.
        verify: `SUCCESS`, `NONE`, or `FAILED:` and the reason.
        serial: The client certificate's serial number.
        protocol: `TLSv1.2` or `TLSv1.3`.
        resumed: `r` where the TLS session was an earlier one's.
        path: The path.
        status: The status of the response.
        authorization: The header.
        address: The address of the client.
    """

    at: float
    verify: str
    serial: str
    protocol: str
    resumed: str
    path: str
    status: int
    authorization: str
    address: str


class Edge:
    """nginx, running inside `with`; a connection waits until it has started.

    Args:
        folder: The folder of its files.
        root: The authority of its certificate and of clients.
        verify: `on` refuses clients without a certificate of the authority, `optional` accepts those without any.
        protocols: The TLS versions that it supports.
        revoked: Client certificates that were revoked; None for no revocation list.
        identity: Its own certificate; None for a good one.
        address: The address that it listens on.
    """

    def __init__(
        self,
        folder: Path,
        root: Minted,
        *,
        verify: Literal["on", "optional"] = "on",
        protocols: str = "TLSv1.2 TLSv1.3",
        revoked: tuple[Minted, ...] | None = None,
        identity: Minted | None = None,
        address: Literal["127.0.0.1", "::1"] = "127.0.0.1",
    ) -> None:
        program = shutil.which("nginx", path=_PLACES)
        if program is None:
            pytest.skip("nginx is not installed")
        self.folder = folder
        self._command = [program, "-p", str(folder), "-c", "nginx.conf", "-e", "error.log"]
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._socket = socket.create_server((address, 0), family=family, backlog=512)
        self._process: subprocess.Popen[bytes] | None = None
        self.port: int = self._socket.getsockname()[1]
        folder.mkdir(parents=True, exist_ok=True)
        own = identity or server(root)
        (folder / "server.pem").write_bytes(own.pem)
        (folder / "server.key").write_bytes(own.key_pem)
        (folder / "clients.pem").write_bytes(root.pem)
        if revoked is not None:
            (folder / "clients.crl").write_bytes(revocation_list(root, *revoked))
        settings = {
            "user": "user root;" if hasattr(os, "geteuid") and os.geteuid() == 0 else "",
            "protocols": protocols,
            "verify": verify,
            "crl": "" if revoked is None else "ssl_crl clients.crl;",
            "address": "[::1]" if ":" in address else address,
            "port": str(self.port),
        }
        (folder / "nginx.conf").write_text(_CONFIGURATION.substitute(settings), encoding="utf-8")

    @property
    def host(self) -> str:
        """Host and port."""
        return f"localhost:{self.port}"

    def __enter__(self) -> Self:
        checked = subprocess.run([*self._command, "-t"], capture_output=True, text=True, timeout=_PATIENCE, check=False)
        if checked.returncode:
            pytest.fail(f"nginx refuses its configuration:\n{checked.stderr}")
        # The variable by which nginx inherits listening sockets: descriptors, each followed by a semicolon.
        self._process = subprocess.Popen(
            self._command,
            env={**os.environ, "NGINX": f"{self._socket.fileno()};"},
            pass_fds=[self._socket.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._socket.close()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop it, and wait for its exit; a second call does nothing."""
        process, self._process = self._process, None
        if process is None:
            return
        try:
            code = end(process, _PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        # The signal may arrive before nginx has installed a handler.
        if code not in (0, -signal.SIGTERM):
            pytest.fail(f"nginx ended with {code}:\n{(self.folder / 'error.log').read_text(encoding='utf-8')}")

    def log(self) -> list[Line]:
        """Return its log; nginx writes it after the response, so it is stopped first."""
        self.stop()
        text = (self.folder / "access.log").read_text(encoding="utf-8")
        return [Line(**json.loads(line)) for line in text.splitlines()]

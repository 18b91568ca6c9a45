"""An nginx that terminates mutual TLS and answers requests itself; its log has the certificate of each request."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from string import Template
from typing import Literal

import attrs

from tests._support.nginx_process import NginxProcess
from tests._support.pki import Minted, revocation_list, server

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
        '"protocol":"$$ssl_protocol","resumed":"$$ssl_session_reused","path":"$$uri","status":$$status,"method":"$$request_method",'
        '"authorization":"$$http_authorization","agent":"$$http_user_agent",'
        '"connection":$$connection,"address":"$$remote_addr"}';
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
        listen $address:$port ssl$http2;
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
        agent: The `User-Agent`.
        connection: The number of the connection.
        address: The address of the client.
        method: The method.
    """

    at: float
    verify: str
    serial: str
    protocol: str
    resumed: str
    path: str
    status: int
    authorization: str
    agent: str
    connection: int
    address: str
    method: str


class Edge(NginxProcess):
    """nginx, running inside `with`; a connection waits until it has started.

    Args:
        folder: The folder of its files.
        root: The authority of its certificate and of clients.
        verify: `on` refuses clients without a certificate of the authority, `optional` accepts those without any.
        protocols: The TLS versions that it supports.
        revoked: Client certificates that were revoked; None for no revocation list.
        identity: Its own certificate; None for a good one.
        address: The address that it listens on.
        http2: Whether it also speaks HTTP/2.
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
        http2: bool = False,
    ) -> None:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        listener = socket.create_server((address, 0), family=family, backlog=512)
        super().__init__(folder, [listener])
        self.port: int = listener.getsockname()[1]
        self._own = identity or server(root)
        self._clients = root
        self._write()
        if revoked is not None:
            (folder / "clients.crl").write_bytes(revocation_list(root, *revoked))
        settings = {
            "user": self.user,
            "protocols": protocols,
            "verify": verify,
            "crl": "" if revoked is None else "ssl_crl clients.crl;",
            "address": "[::1]" if ":" in address else address,
            "port": str(self.port),
            "http2": " http2" if http2 else "",
        }
        (folder / "nginx.conf").write_text(_CONFIGURATION.substitute(settings), encoding="utf-8")

    def change(self, *, identity: Minted | None = None, clients: Minted | None = None) -> None:
        """Replace its certificate, or the authority of clients, while it runs."""
        self._own, self._clients = identity or self._own, clients or self._clients
        self._write()
        self.reload()

    def _write(self) -> None:
        (self.folder / "server.pem").write_bytes(self._own.pem)
        (self.folder / "server.key").write_bytes(self._own.key_pem)
        (self.folder / "clients.pem").write_bytes(self._clients.pem)

    @property
    def host(self) -> str:
        """Host and port."""
        return f"localhost:{self.port}"

    def log(self, *, probes: bool = False) -> list[Line]:
        """Return its access log; it is stopped first.

        Args:
            probes: Whether the requests that try a renewed certificate are wanted too.
        """
        lines = [Line(**json.loads(line)) for line in self.access_log()]
        return [line for line in lines if probes or line.method != "OPTIONS"]

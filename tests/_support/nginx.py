"""An nginx that terminates TLS in front of a sandbox, with a host for each kind of client."""

from __future__ import annotations

import json
from pathlib import Path
from string import Template
from typing import Literal

import attrs

from seic.sandbox import CertificateAuthority
from tests._support.nginx_process import LOOPBACK_NAMES, NginxProcess, bind_loopback

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
    # Set on each request, empty without a certificate, so that no client can set them.
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


@attrs.frozen(kw_only=True)
class Seen:
    """A line of the access log.

    Args:
        host: `api` or `mtls`.
        verify: `SUCCESS`, `NONE`, or `FAILED:` and the reason.
        subject: The client certificate's, as RFC 2253 writes it.
        protocol: `TLSv1.2` or `TLSv1.3`.
        http: `HTTP/1.1` or `HTTP/2.0`.
        request: Method, path and version.
        status: The status of the response.
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


class Nginx(NginxProcess):
    """nginx with a host that requests no client certificate and one that does, running inside `with`.

    Args:
        folder: The folder of its files.
        upstream: The http URL to which it forwards requests.
        authority: The authority of its certificate and of clients.
        verify: `on` refuses clients without a certificate of the authority, `optional` accepts those without any.
        protocols: The TLS versions that it supports.
        http2: Whether it offers HTTP/2.
        redirects: Redirects: a path, and the target URL.
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
        hosts = {"api": bind_loopback(), "mtls": bind_loopback()}
        super().__init__(folder, [sock for sockets in hosts.values() for sock in sockets])
        self._authority = authority
        self._ports = {host: sockets[0].getsockname()[1] for host, sockets in hosts.items()}
        settings = {
            "user": self.user,
            "upstream": upstream,
            "verify": verify,
            "protocols": protocols,
            "http2": "http2" if http2 else "",
            "locations": " ".join(
                f"location = {path} {{ return 302 {target}; }}" for path, target in (redirects or {}).items()
            ),
        }
        for host, sockets in hosts.items():
            port = self._ports[host]
            settings[f"{host}_port"] = str(port)
            has_ipv6 = len(sockets) > 1
            settings[f"{host}_listen_6"] = f"listen [::1]:{port} ssl {settings['http2']};" if has_ipv6 else ""
        server = authority.issue("localhost", sans=LOOPBACK_NAMES, client=False, server=True)
        (folder / "server.pem").write_bytes(server.cert_pem)
        (folder / "server.key").write_bytes(server.key_pem)
        (folder / "clients.pem").write_bytes(authority.cert_pem)
        (folder / "clients.crl").write_bytes(authority.crl_pem())
        (folder / "nginx.conf").write_text(_CONFIGURATION.substitute(settings), encoding="utf-8")

    @property
    def api_url(self) -> str:
        """The URL of the host that requests no client certificate."""
        return f"https://localhost:{self._ports['api']}"

    @property
    def mtls_url(self) -> str:
        """The URL of the host that requests one."""
        return f"https://localhost:{self._ports['mtls']}"

    def revoke(self, *certificates: object) -> None:
        """Revoke certificates of the authority; call it before the start."""
        for certificate in certificates:
            self._authority.revoke(certificate)  # type: ignore[arg-type]  # what the authority takes
        (self.folder / "clients.crl").write_bytes(self._authority.crl_pem())

    @property
    def seen(self) -> list[Seen]:
        """The requests of its access log; it is stopped first."""
        hosts = {str(port): host for host, port in self._ports.items()}
        return [Seen(**{**facts, "host": hosts[facts["host"]]}) for facts in map(json.loads, self.access_log())]

"""`seic certs inspect https://host`: the certificates that a server sends, and whether they are trusted."""

from __future__ import annotations

import datetime as dt
import socket
import ssl
from argparse import Namespace

import httpx

from seic._model.hosts import Origin
from seic._network.proxies import Network
from seic._setting_errors import with_setting_names
from seic._tls.context import create_ssl_context
from seic._tls.diagnose import HandshakeContext, explain_failure
from seic._x509.certificate_info import CertificateInfo, format_time
from seic.cli._configuration import environment_of
from seic.cli._exit_code import ExitCode
from seic.cli._health_checks.check_result import split_remedy
from seic.cli._health_checks.connection import ProxyConnectError, chain_of, connect
from seic.cli._setting_sources import list_settings
from seic.cli._terminal import Terminal

_SECONDS = 10.0


def inspect_server(options: Namespace, terminal: Terminal) -> int:
    """Show the chain of a server; the exit code tells whether it is trusted."""
    url = httpx.URL(options.source)
    origin = Origin.parse(f"https://{url.netloc.decode('ascii')}", field="URL")
    settings = {setting.name: setting.text for setting in list_settings(environment_of(options))}
    network = Network.of(
        proxy=settings.get("proxy"), local_address=None, trust_env=settings.get("trust_env") not in {"false", "0"}
    )
    proxy = network.choose_proxy(origin)
    context = create_ssl_context(ca=settings.get("ca", "").replace("\\n", "\n") or None)
    problem: str | None = None
    try:
        with (
            connect(origin, proxy, _SECONDS) as raw,
            context.wrap_socket(raw, server_hostname=origin.host) as stream,
        ):
            links, version = chain_of(stream), stream.version()
    except ssl.SSLCertVerificationError as error:
        handshake = HandshakeContext(
            host=origin.host, port=origin.port, certificate=None, now=dt.datetime.now(dt.UTC), context=context
        )
        explanation = explain_failure(error, handshake)
        text = str(error) if explanation is None else explanation.text
        problem = with_setting_names(text, {"ca=...": "SEIC_CA"})
        links, version = _unverified(origin, proxy)
    except (OSError, ProxyConnectError) as error:
        raise _unreachable(origin, error) from None
    if options.json:
        terminal.json(
            {
                "host": f"{origin.host}:{origin.port}",
                "trusted": problem is None,
                "problem": problem,
                "protocol": version,
                "chain": [
                    {
                        "subject": link.subject,
                        "issuer": link.issuer,
                        "not_before": f"{link.not_before:%Y-%m-%dT%H:%M:%SZ}",
                        "not_after": f"{link.not_after:%Y-%m-%dT%H:%M:%SZ}",
                        "key": link.key_type,
                        "thumbprint": link.thumbprint,
                    }
                    for link in links
                ],
            }
        )
    else:
        rows = [
            (
                str(number),
                link.name,
                "itself" if link.is_self_signed else link.issuer,
                format_time(link.not_after),
                link.key_type,
            )
            for number, link in enumerate(links, 1)
        ]
        terminal.table(rows, header=["", "subject", "issuer", "valid until", "key"])
        if problem is None:
            terminal.print(f"trusted, over {version}")
        else:
            found, remedy = split_remedy(problem)
            terminal.sentence(f"not trusted: {found}" + (f"; {remedy}" if remedy else ""))
    return ExitCode.OK if problem is None else ExitCode.NETWORK


def _unverified(origin: Origin, proxy: httpx.Proxy | None) -> tuple[list[CertificateInfo], str | None]:
    # Nothing is sent over this connection.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        connect(origin, proxy, _SECONDS) as raw,
        context.wrap_socket(raw, server_hostname=origin.host) as stream,
    ):
        return chain_of(stream), stream.version()


def _unreachable(origin: Origin, error: Exception) -> Exception:
    if isinstance(error, socket.gaierror):
        why = "the host name does not resolve"
    else:
        why = getattr(error, "strerror", None) or str(error) or "no answer"
    return httpx.ConnectError(f"{origin.host}:{origin.port}: no TLS connection ({why}); check host and port")

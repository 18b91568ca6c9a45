"""The way to the host: its name, the proxy, a TCP connection, the TLS handshake with both chains, and the clocks."""

from __future__ import annotations

import datetime as dt
import email.utils
import socket
import ssl
import time
import warnings
from collections.abc import Iterator

import attrs
import httpx

from seic._config import Config, network_of, setting_names_of
from seic._errors import CertificateError, ConfigurationError
from seic._network.connect_errors import explain_connect_error
from seic._setting_errors import with_setting_names
from seic._tls.context import create_ssl_context
from seic._tls.diagnose import (
    HandshakeContext,
    HandshakeFailure,
    Stage,
    explain_close,
    explain_failure,
    explain_reply,
)
from seic._version import user_agent
from seic._x509.reasons import CertificateWarning
from seic.cli._exit_code import ExitCode
from seic.cli._health_checks.check_result import CheckResult, HealthState, Outcome, failure_of, split_remedy
from seic.cli._health_checks.connection import (
    ProxyConnectError,
    ServerResponse,
    ask,
    chain_of,
    connect,
    credentials_of_proxy,
)
from seic.cli._health_checks.identity_checks import describe_link
from seic.cli._health_checks.settings_checks import usable_certificate

#: Seconds between the clocks: from the first on a warning, from the second on signed documents are refused.
_NOTABLE_SKEW, _HARMFUL_SKEW = 30, 300
_PROXY_USER = "put its user and password into its URL (http://user:password@host:port)"


def _proxy(config: Config) -> httpx.Proxy | None:
    return network_of(config).choose_proxy(config.origin)


def check_name(state: HealthState) -> Iterator[CheckResult]:
    """Resolve the host's name, or the proxy's, which resolves the host's itself."""
    config = state.require_config()
    try:
        proxy = _proxy(config)
    except ConfigurationError:
        proxy = None
    host = config.origin.host if proxy is None else proxy.url.host
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        text = f"{host} does not resolve ({getattr(error, 'strerror', None) or 'it is not a host name'})"
        remedy = "check its spelling and this machine's DNS; if only a proxy resolves names, set HTTPS_PROXY"
        yield CheckResult("dns", Outcome.FAILED, text, remedy, ExitCode.NETWORK)
        return
    addresses = ", ".join(dict.fromkeys(str(entry[4][0]) for entry in found))
    of_proxy = "" if proxy is None else " (the proxy, which resolves the host's name)"
    yield CheckResult("dns", Outcome.OK, f"{host}{of_proxy}: {addresses}")


def check_proxy(state: HealthState) -> Iterator[CheckResult]:
    """Check which proxy is in use, and that it opens a tunnel to the host."""
    config = state.require_config()
    try:
        proxy = _proxy(config)
    except ConfigurationError as error:
        yield failure_of("proxy", error)
        return
    named = repr(network_of(config)).removeprefix("Network(proxy=").partition(", local_address=")[0]
    if proxy is None:
        yield CheckResult(
            "proxy", Outcome.OK, "none" if named == "None" else f"none: {named[5:].strip('()')} exempts it"
        )
        return
    state.proxied = True
    state.secrets |= credentials_of_proxy(proxy)
    if proxy.url.scheme.startswith("socks"):
        yield CheckResult("proxy", Outcome.SKIPPED, f"{named}: a SOCKS proxy is tried by the token request only")
        return
    try:
        connect(config.origin, proxy, state.timeout).close()
    except ProxyConnectError as error:
        remedy = _proxy_remedy(error, proxy)
        yield CheckResult("proxy", Outcome.FAILED, f"{named} opens no tunnel: {error}", remedy, ExitCode.NETWORK)
    except OSError as error:
        text = f"{named} cannot be reached ({error.strerror or 'no answer'})"
        remedy = "check HTTPS_PROXY, or add the host to NO_PROXY"
        yield CheckResult("proxy", Outcome.FAILED, text, remedy, ExitCode.NETWORK)
    else:
        state.reached = True
        yield CheckResult("proxy", Outcome.OK, f"{named} opens a tunnel to {config.origin.host}:{config.origin.port}")


def _proxy_remedy(error: ProxyConnectError, proxy: httpx.Proxy) -> str:
    if error.status != "407":
        return f"have the proxy's operator allow the host, and {_PROXY_USER} if the proxy needs them"
    if proxy.raw_auth is None:
        return f"the proxy asks for credentials: {_PROXY_USER}"
    return "correct the proxy's user and password in its URL; special characters are written as %XX"


def check_connection(state: HealthState) -> Iterator[CheckResult]:
    """Open a TCP connection to the host."""
    config = state.require_config()
    if state.proxied:
        yield CheckResult("tcp", Outcome.SKIPPED, "the proxy connects to the host")
        return
    origin = config.origin
    started = time.perf_counter()
    try:
        with connect(origin, None, state.timeout) as raw:
            peer = raw.getpeername()[0]
    except (OSError, UnicodeError) as error:
        said = _explain_connection(error, config, state.timeout)
        found, remedy = said.split("; ", 1) if "; " in said else (said, None)
        yield CheckResult("tcp", Outcome.FAILED, f"{origin.host}:{origin.port}: {found}", remedy, ExitCode.NETWORK)
        return
    state.reached = True
    took = (time.perf_counter() - started) * 1000
    yield CheckResult("tcp", Outcome.OK, f"{origin.host}:{origin.port} ({peer}) in {took:.0f} ms")


def _explain_connection(error: Exception, config: Config, timeout: float) -> str:
    if isinstance(error, TimeoutError):
        return (
            f"no answer within {timeout:.3g} s; check host and port, whether this machine's address is on the "
            "server's allow-list, and whether a proxy is needed (HTTPS_PROXY)"
        )
    request = httpx.Request("GET", str(config.origin))
    return explain_connect_error(error, request, config.local_address) or (
        getattr(error, "strerror", None) or "it failed"
    )


def check_tls(state: HealthState) -> Iterator[CheckResult]:
    """Complete a TLS handshake, and see that the server accepts our certificate; an answer is part of that."""
    config = state.require_config()
    if config.origin.scheme != "https":
        yield CheckResult("tls", Outcome.SKIPPED, f"{config.origin} is not https")
        return
    if not state.reached:
        yield CheckResult("tls", Outcome.SKIPPED, "there is no connection")
        return
    certificate = usable_certificate(state)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CertificateWarning)
            context = create_ssl_context(certificate=certificate, ca=config.ca)
    except CertificateError as error:
        yield failure_of("tls", error)
        return
    handshake = HandshakeContext(
        host=config.origin.host,
        port=config.origin.port,
        certificate=certificate,
        now=dt.datetime.now(dt.UTC),
        stage="handshake",
        context=context,
    )
    yield _shake_hands(state, config, handshake, context)


def _shake_hands(
    state: HealthState, config: Config, handshake: HandshakeContext, context: ssl.SSLContext
) -> CheckResult:
    details: dict[str, str] = {}
    stage: Stage = "handshake"
    try:
        with (
            connect(config.origin, _proxy(config), state.timeout) as raw,
            context.wrap_socket(raw, server_hostname=config.origin.host) as stream,
        ):
            stage = "first"
            details = _describe_server(stream)
            answer = ask(stream, config.origin, user_agent())
    except (OSError, UnicodeError, ProxyConnectError) as error:
        details = details or _describe_unverified(state, config)
        explanation = explain_failure(error, _at(handshake, stage))
        if explanation is not None:
            return _explained(explanation, config, details)
        said = _explain_connection(error, config, state.timeout)
        return CheckResult("tls", Outcome.FAILED, *split_remedy(said), ExitCode.NETWORK, details=details)
    if answer is None:
        explanation = explain_close(_at(handshake, stage))
        if explanation is not None:
            return _explained(explanation, config, details)
        return CheckResult(
            "tls",
            Outcome.FAILED,
            "the server answered, but not in HTTP",
            "check the port",
            ExitCode.NETWORK,
            details=details,
        )
    explanation = explain_reply(answer.status, answer.body, _at(handshake, "agreed"))
    if explanation is not None:
        return _explained(explanation, config, details)
    return _accepted(state, handshake, answer, details)


def _accepted(
    state: HealthState, handshake: HandshakeContext, answer: ServerResponse, details: dict[str, str]
) -> CheckResult:
    state.accepted = True
    sent = email.utils.parsedate_to_datetime(answer.headers["Date"]) if _has_date(answer) else None
    if sent is not None:
        state.server_time = (sent.replace(tzinfo=sent.tzinfo or dt.UTC), dt.datetime.now(dt.UTC))
    ours = "a connection without a client certificate"
    if handshake.certificate is not None:
        ours = f"our {handshake.certificate.leaf.name}"
    found = f"{details.get('protocol', 'TLS')}; the server's chain is trusted, {ours} was not refused"
    return CheckResult("tls", Outcome.OK, found, details=details)


def _has_date(answer: ServerResponse) -> bool:
    try:
        email.utils.parsedate_to_datetime(answer.headers.get("Date", ""))
    except ValueError:
        return False
    return True


def _at(handshake: HandshakeContext, stage: Stage) -> HandshakeContext:
    return attrs.evolve(handshake, stage=stage)


def _explained(explanation: HandshakeFailure, config: Config, details: dict[str, str]) -> CheckResult:
    text = with_setting_names(explanation.text, setting_names_of(config).arguments)
    found, remedy = split_remedy(text)
    code = ExitCode.CERTIFICATE if explanation.side == "client" else ExitCode.NETWORK
    return CheckResult("tls", Outcome.FAILED, found, remedy, code, explanation.reason.value, details)


def _describe_server(stream: ssl.SSLSocket) -> dict[str, str]:
    cipher = stream.cipher()
    links = {f"server {number}": describe_link(facts) for number, facts in enumerate(chain_of(stream), 1)}
    return {"protocol": stream.version() or "TLS", "cipher": cipher[0] if cipher else "not known", **links}


def _describe_unverified(state: HealthState, config: Config) -> dict[str, str]:
    """Return the facts of the server's chain, which a failed handshake does not show."""
    # Nothing is sent over this connection, neither a certificate nor a request.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            connect(config.origin, _proxy(config), state.timeout) as raw,
            context.wrap_socket(raw, server_hostname=config.origin.host) as stream,
        ):
            return _describe_server(stream)
    except (OSError, UnicodeError, ProxyConnectError):
        return {}


def check_server_time(state: HealthState) -> Iterator[CheckResult]:
    """Compare this machine's clock with the server's `Date`."""
    if state.server_time is None:
        why = "the server's answer has no Date" if state.accepted else "the server did not answer"
        yield CheckResult("skew", Outcome.SKIPPED, why)
        return
    theirs, ours = state.server_time
    # `Date` has whole seconds.
    skew = max(abs((ours - theirs).total_seconds()) - 1, 0)
    direction = "behind" if theirs > ours else "ahead of"
    if skew < _NOTABLE_SKEW:
        yield CheckResult("skew", Outcome.OK, "this machine's clock agrees with the server's")
        return
    outcome = Outcome.WARNING if skew < _HARMFUL_SKEW else Outcome.FAILED
    text = f"this machine's clock is {skew:.0f} s {direction} the server's"
    code = ExitCode.OK if outcome == Outcome.WARNING else ExitCode.FAILED
    yield CheckResult("skew", outcome, text, "set this machine's clock, for example with NTP", code)

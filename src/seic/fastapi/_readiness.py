"""The readiness route: whether the clients and logins of an application can call their provider."""

from __future__ import annotations

import datetime as dt
import math
import os
import time
from collections.abc import Sequence
from typing import Any

import attrs
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from seic import CertificateError, ClientCertificate, Token
from seic._html import CONTENT_SECURITY_POLICY
from seic.fastapi._app_state import Monitor, find_state
from seic.fastapi._certificate_probe import CertificateProbe
from seic.fastapi._clients import clients_of
from seic.fastapi._health import CertificateHealth, ClientHealth, Health, LastError, LoginHealth, TokenHealth
from seic.fastapi._health_problems import problems_of
from seic.fastapi._readiness_page import render_readiness

#: A short-lived certificate fails readiness below this share of its lifetime, however many days `red_days` is; one that
#: is valid for a day would never be ready otherwise.
_RED_SHARE = 0.05
_SECONDS_PER_DAY = 86400.0
#: Seconds that a request waits for certificates, which callbacks may supply: orchestrators wait a second by default.
_CERTIFICATE_TIMEOUT = 0.5


def readiness_route(path: str = "/ready", *, red_days: float = 3.0, name: str = "seic-readiness") -> Route:
    """Return a route that reports whether the application's clients and logins can call their provider.

        app.routes.append(readiness_route())

    The status is 200, or 503 if a client cannot work: there is no valid token and the last request for one failed, or
    the client certificate is about to expire. Failing logins are a warning, because users who are logged in are not
    affected. A certificate that expires soon is a warning first (`ClientCertificate.expires_soon`). Before the first
    token request the status is 200 and the word is `idle`: nothing has been tried yet. The body is JSON, or a page for
    browsers, with the cause and the remedy of each problem; it reveals no host, account, subject or secret.

    The route does not wait for tokens. If a missing token makes it fail, it requests one in the background, because an
    instance out of service gets no other requests. The pauses after failures apply, so frequent probes cost nothing.

    Args:
        path: The route's path.
        red_days: Days before the certificate's expiry from which the status is 503, for a short-lived certificate at
            most a twentieth of its lifetime. An orchestrator takes a failing instance out of service, so alert on the
            warning instead.
        name: The route's name, for `url_path_for`.
    """

    async def ready(request: Request) -> Response:
        state = find_state(request)
        monitors = () if state is None else tuple(state.monitors)
        if all(monitor.auth is not None for monitor in monitors):
            # An application with logins needs no client; without both, the lifespan was forgotten.
            clients_of(request)
        certificates = await _certificate_health([monitor.certificate for monitor in monitors], red_days)
        clients = list(map(_client_health, monitors, certificates))
        for monitor, client in zip(monitors, clients, strict=True):
            if monitor.auth is not None and client.token is not None and client.token.health is Health.FAIL:
                monitor.refresh(monitor.auth)
        return _respond(request, clients)

    return Route(path, ready, name=name)


def _respond(request: Request, clients: Sequence[ClientHealth]) -> Response:
    healths = [client.health for client in clients]
    health = max(healths, default=Health.PASS)
    if health is Health.IDLE and Health.PASS in healths:
        # Something has worked and nothing has failed. Logins that nobody uses tonight are normal.
        health = Health.PASS
    clients = sorted(clients, key=lambda client: -client.health)
    as_of, worker = dt.datetime.now(dt.UTC), os.getpid()
    status = 503 if health is Health.FAIL else 200
    headers = {"Cache-Control": "no-store", "Vary": "Accept"}
    if _prefers_html(request.headers.get("accept", "")):
        headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
        return HTMLResponse(render_readiness(health, clients, as_of=as_of, worker=worker), status, headers)
    document = {
        "status": health.word,
        "as_of": as_of.isoformat(timespec="seconds"),
        "worker": worker,
        "clients": {client.name: _as_json(client) for client in clients if client.logins is None},
        "logins": {client.name: _as_json(client) for client in clients if client.logins is not None},
    }
    return JSONResponse(document, status, headers)


async def _certificate_health(probes: Sequence[CertificateProbe], red_days: float) -> list[CertificateHealth | None]:
    for probe in probes:
        probe.start()
    deadline = time.monotonic() + _CERTIFICATE_TIMEOUT
    found: list[CertificateHealth | None] = []
    for probe in probes:
        try:
            certificate = await probe.result(max(0.0, deadline - time.monotonic()))
            found.append(None if certificate is None else _health_of_certificate(certificate, red_days))
        except CertificateError as error:
            found.append(CertificateHealth(health=Health.FAIL, reason=error.reason))
        except TimeoutError:
            found.append(CertificateHealth(health=Health.FAIL, reason="timeout"))
    return found


def _health_of_certificate(certificate: ClientCertificate, red_days: float) -> CertificateHealth:
    days_left = certificate.days_left()
    lifetime = (certificate.not_after - certificate.not_before).total_seconds() / _SECONDS_PER_DAY
    if days_left < min(red_days, lifetime * _RED_SHARE):
        health = Health.FAIL
    else:
        health = Health.WARN if certificate.expires_soon() else Health.PASS
    return CertificateHealth(
        health=health,
        # Rounded down: the page shall not say "3.0" when less is left.
        days_left=math.floor(days_left * 10) / 10,
        expires_at=certificate.not_after.isoformat(),
        lifetime=lifetime,
    )


def _client_health(monitor: Monitor, certificate: CertificateHealth | None) -> ClientHealth:
    tracker, auth = monitor.tracker, monitor.auth
    token = logins = None
    if auth is None:
        health = Health.WARN if tracker.token_error else Health.PASS if tracker.acquired else Health.IDLE
        logins = LoginHealth(health=health, used=tracker.acquired, error=tracker.token_error)
    else:
        token = _token_health(auth.current, error=tracker.token_error, used=tracker.acquired)
    return ClientHealth(
        name=monitor.name, token=token, logins=logins, certificate=certificate, last_error=tracker.last_error
    )


def _token_health(token: Token | None, *, error: LastError | None, used: bool) -> TokenHealth:
    if token is None:
        # The next request obtains one, unless the last attempt says otherwise.
        health = Health.FAIL if error else Health.PASS if used else Health.IDLE
        return TokenHealth(health=health, used=used, error=error)
    age = max(0.0, time.time() - token.obtained_at)
    return TokenHealth(
        health=Health.WARN if error else Health.PASS,
        used=True,
        age=int(age),
        expires_in=None if token.expires_in is None else int(max(0.0, token.expires_in - age)),
        lifetime=token.expires_in,
        error=error,
    )


def _as_json(client: ClientHealth) -> dict[str, Any]:
    token, certificate, error = client.token, client.certificate, client.last_error
    document: dict[str, Any] = {
        "status": client.health.word,
        "problems": [{"cause": problem.cause, "remedy": problem.remedy} for problem in problems_of(client)],
    }
    if token is not None:
        document["token"] = {
            "status": token.health.word,
            "age_seconds": token.age,
            "expires_in_seconds": token.expires_in,
        }
    document["certificate"] = certificate and {
        "status": certificate.health.word,
        "days_left": certificate.days_left,
        "expires_at": certificate.expires_at,
        "reason": certificate.reason,
    }
    document["last_error"] = error and {**attrs.asdict(error), "at": error.at.isoformat()}
    return document


def _prefers_html(accept: str) -> bool:
    """Whether a client asks for HTML by name and prefers it to JSON (RFC 9110 §12.5.1)."""
    qualities: dict[str, float] = {}
    for entry in accept.lower().split(","):
        kind, *parameters = (part.strip() for part in entry.split(";"))
        qualities[kind] = next((_quality(text[2:]) for text in parameters if text.startswith("q=")), 1.0)
    json = next((qualities[kind] for kind in ("application/json", "application/*", "*/*") if kind in qualities), 0.0)
    return qualities.get("text/html", 0.0) > json


def _quality(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0

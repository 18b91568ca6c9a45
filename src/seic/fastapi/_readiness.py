"""Whether the application is ready to call its provider: gathered from the clients, who fetch beside it."""

from __future__ import annotations

import enum
import time
from collections.abc import Sequence
from typing import Any

import attrs
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from seic._auth import OAuth2Auth
from seic._client import AsyncClient
from seic._errors import CertificateError
from seic._tls.certificate import ClientCertificate
from seic.fastapi._certificate_probe import CertificateProbe
from seic.fastapi._clients import Clients, LoginRealm, clients_of, find_clients, realms_of
from seic.fastapi._health import HealthTracker, LastError
from seic.fastapi._html import CONTENT_SECURITY_POLICY, render

#: A certificate that ends sooner than this share of its lifetime makes red, however many days were asked for: one that
#: lives for a day would never be ready otherwise.
_RED_SHARE = 0.05
_SECONDS_A_DAY = 86400.0
#: Seconds that a probe waits for certificates, of which a callback may give the first: a probe's own patience is short.
_PATIENCE = 0.5


class Health(enum.IntEnum):
    """How well something is; the worst of its parts is the whole's."""

    PASS = 0
    WARN = 1
    FAIL = 2

    @property
    def word(self) -> str:
        """The word in JSON."""
        return self.name.lower()


@attrs.frozen(kw_only=True)
class TokenHealth:
    """The token in hand; `age` and `expires_in` are seconds, None where there is none or its end is not known."""

    health: Health
    age: float | None = None
    expires_in: float | None = None
    lifetime: float | None = None


@attrs.frozen(kw_only=True)
class CertificateHealth:
    """The client certificate; `lifetime` is days, too; all are None for one that cannot be had."""

    health: Health
    days_left: float | None = None
    expires_at: str | None = None
    lifetime: float | None = None


@attrs.frozen(kw_only=True)
class LoginsHealth:
    """How the provider answers where people log in; `asked` is whether it was needed yet."""

    health: Health
    asked: bool


@attrs.frozen(kw_only=True)
class ClientHealth:
    """One client by its parts; or all clients of people who log in, whose tokens are their own."""

    name: str
    token: TokenHealth | None = None
    logins: LoginsHealth | None = None
    certificate: CertificateHealth | None
    last_error: LastError | None

    @property
    def health(self) -> Health:
        """The worst of its parts."""
        parts = (self.token, self.logins, self.certificate)
        return max(part.health for part in parts if part is not None)


def readiness_route(path: str = "/ready", *, red_days: float = 3.0, name: str = "seic-readiness") -> Route:
    """Return a route that tells whether the application's clients and its logins can call their provider.

        app.routes.append(readiness_route())

    It answers 200, or 503 when a client cannot work: the last fetch of a token failed and no token lives, or the client
    certificate is about to end. Logins that fail are a warning: whoever is logged in goes on. A certificate that ends
    soon is a warning first (`ClientCertificate.expires_soon`). JSON for machines, a page for whoever prefers HTML. No
    host, account, subject or secret is shown. It waits for no fetch. Where a missing token makes it red, it has one
    fetched in the background, as no call would come to do that any more; the pauses after failures hold, so asking
    often costs nothing.

    Args:
        path: Where it answers.
        red_days: Days before the end of the certificate from which the answer is 503; for a short-lived one at most a
            twentieth of its lifetime. An orchestrator takes a red instance out of service, so this is the last call,
            not the first.
        name: The route's name, for `url_path_for`.
    """

    async def answer(request: Request) -> Response:
        people = realms_of(request)
        # An application where people log in may have no client of its own.
        clients = (find_clients(request) if people else clients_of(request)) or Clients()
        now = time.time()
        looks = [*clients.certificates.values(), *(one.certificate for one in people)]
        found = iter(await _look(looks, red_days))
        states = [client_health(name, clients, next(found), now=now) for name in clients]
        logins = [login_health(one, next(found)) for one in people]
        for state in states:
            if state.token is not None and state.token.health is Health.FAIL:
                clients.renew(state.name)
        health = max((state.health for state in (*states, *logins)), default=Health.PASS)
        status = 503 if health is Health.FAIL else 200
        headers = {"Cache-Control": "no-store", "Vary": "Accept"}
        if _prefers_html(request.headers.get("accept", "")):
            headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
            return HTMLResponse(render(health, [*states, *logins]), status, headers)
        document = {
            "status": health.word,
            "clients": {state.name: _as_json(state) for state in states},
            "logins": {state.name: _as_json(state) for state in logins},
        }
        return JSONResponse(document, status, headers)

    return Route(path, answer, name=name)


async def _look(looks: Sequence[CertificateProbe], red_days: float) -> list[CertificateHealth | None]:
    """Return how well certificates are; one that does not come at once is as good as none."""
    for look in looks:
        look.begin()
    ends = time.monotonic() + _PATIENCE
    found: list[CertificateHealth | None] = []
    for look in looks:
        try:
            certificate = await look.end(max(0.0, ends - time.monotonic()))
            found.append(None if certificate is None else _examine_certificate(certificate, red_days))
        except (CertificateError, TimeoutError):
            found.append(CertificateHealth(health=Health.FAIL))
    return found


def client_health(name: str, clients: Clients, certificate: CertificateHealth | None, *, now: float) -> ClientHealth:
    """Return how well a client is.

    Args:
        name: Which.
        clients: All.
        certificate: How well its certificate is.
        now: Seconds since the epoch.
    """
    tracker = clients.trackers[name]
    auth = _auth_of(clients[name])
    return ClientHealth(
        name=name,
        token=_examine_token(auth, tracker, now),
        certificate=certificate,
        last_error=tracker.last_error,
    )


def login_health(people: LoginRealm, certificate: CertificateHealth | None) -> ClientHealth:
    """Return how well the logins are.

    Args:
        people: Who logs in where.
        certificate: How well their certificate is.
    """
    tracker = people.tracker
    logins = LoginsHealth(health=Health.WARN if tracker.fetch_failed else Health.PASS, asked=tracker.fetched)
    return ClientHealth(name=people.name, logins=logins, certificate=certificate, last_error=tracker.last_error)


def _auth_of(client: AsyncClient) -> OAuth2Auth:
    auth = client.auth
    assert isinstance(auth, OAuth2Auth)  # noqa: S101  # AsyncClient takes no other; for the type checker
    return auth


def _examine_token(auth: OAuth2Auth, tracker: HealthTracker, now: float) -> TokenHealth:
    token = auth.source.current
    if token is None:
        # None yet, or none any more: the next call fetches one, unless the last attempt says otherwise.
        return TokenHealth(health=Health.FAIL if tracker.fetch_failed else Health.PASS)
    age = max(0.0, now - token.obtained_at)
    return TokenHealth(
        health=Health.WARN if tracker.fetch_failed else Health.PASS,
        age=age,
        expires_in=None if token.expires_in is None else max(0.0, token.expires_in - age),
        lifetime=token.expires_in,
    )


def _examine_certificate(certificate: ClientCertificate, red_days: float) -> CertificateHealth:
    days_left = certificate.days_left()
    lifetime = (certificate.not_after - certificate.not_before).total_seconds() / _SECONDS_A_DAY
    if days_left < min(red_days, lifetime * _RED_SHARE):
        health = Health.FAIL
    else:
        health = Health.WARN if certificate.expires_soon() else Health.PASS
    return CertificateHealth(
        health=health, days_left=days_left, expires_at=certificate.not_after.isoformat(), lifetime=lifetime
    )


def _as_json(state: ClientHealth) -> dict[str, Any]:
    token, certificate, last_error = state.token, state.certificate, state.last_error
    document: dict[str, Any] = {"status": state.health.word}
    if token is not None:
        document["token"] = {
            "status": token.health.word,
            "age_seconds": _rounded(token.age),
            "expires_in_seconds": _rounded(token.expires_in),
        }
    document["certificate"] = (
        None
        if certificate is None
        else {
            "status": certificate.health.word,
            "days_left": _rounded(certificate.days_left),
            "expires_at": certificate.expires_at,
        }
    )
    document["last_error"] = (
        None
        if last_error is None
        else {"what": last_error.what, "at": last_error.at.isoformat(), "tracking_id": last_error.tracking_id}
    )
    return document


def _rounded(number: float | None) -> float | None:
    return None if number is None else round(number, 1)


def _prefers_html(accept: str) -> bool:
    """Whether HTML is asked for by name, and JSON is not liked as well (RFC 9110 §12.5.1)."""
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

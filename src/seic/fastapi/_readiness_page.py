"""The readiness page: problems and remedies first, then each client, the worst first.

On narrow screens healthy clients are collapsed to one line.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from html import escape

from seic._html import render_page
from seic.fastapi._health import CertificateHealth, ClientHealth, Health, LoginHealth, TokenHealth
from seic.fastapi._health_problems import HealthProblem, problems_of

_TITLES = {
    Health.PASS: ("Ready", "Every client can call its provider."),
    Health.IDLE: ("Not tried yet", "No token has been requested yet, so nothing is known."),
    Health.WARN: ("Ready, with a warning", "Requests work. Something needs attention."),
    Health.FAIL: ("Not ready", "A client cannot call its provider, or soon will not be able to."),
}
_BADGES = {Health.PASS: "healthy", Health.IDLE: "not tried yet", Health.WARN: "warning", Health.FAIL: "failing"}
_REFRESH_SECONDS = 15
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def render_readiness(health: Health, clients: Sequence[ClientHealth], *, as_of: dt.datetime, worker: int) -> str:
    """Return the page.

    Args:
        health: The health of the whole.
        clients: The clients, the worst first.
        as_of: The time of the values.
        worker: The process that reports them; each has its own clients and tokens.
    """
    title, summary = _TITLES[health]
    if health is Health.PASS and any(client.health is Health.IDLE for client in clients):
        summary = "Nothing fails. Not everything below has been tried yet."
    problems = "".join(_problem_html(client, problem) for client in clients for problem in problems_of(client))
    sections = "".join(_section(client) for client in clients)
    footer = (
        f"<footer>As of {_time(as_of)}, worker {worker}. The page reloads every {_REFRESH_SECONDS} seconds.</footer>"
    )
    refresh = f'<meta http-equiv="refresh" content="{_REFRESH_SECONDS}">'
    return render_page(title, summary, problems + sections + footer, lamp=health.word, head=refresh)


def _problem_html(client: ClientHealth, problem: HealthProblem) -> str:
    error = problem.error
    note = "" if error is None else f", {_time(error.at)}{_tracking(error.tracking_id)}"
    return (
        f'<div class="problem edge-{problem.health.word}" role="alert"><p class="cause">{escape(problem.cause)}</p>'
        f'<p class="remedy">{escape(problem.remedy)}</p><p class="note"><b>{escape(client.name)}</b>{note}</p></div>'
    )


def _section(client: ClientHealth) -> str:
    health = client.health
    facts = [
        "" if client.token is None else _token(client.token),
        "" if client.logins is None else _logins(client.logins),
        _certificate(client.certificate),
        _last_error(client),
    ]
    is_open = " open" if health >= Health.WARN else ""
    return (
        f'<section class="edge-{health.word}"><details{is_open}><summary>'
        f'<h2>{escape(client.name)}<span class="kind">{"client" if client.token else "logins"}</span></h2>'
        f'<span class="badge {health.word}">{_BADGES[health]}</span>'
        f'<span class="brief">{_brief(client)}</span></summary>'
        f"<dl>{''.join(facts)}</dl></details></section>"
    )


def _brief(client: ClientHealth) -> str:
    """Return the times left in one line, for a collapsed client."""
    found = []
    if client.token is not None and client.token.expires_in is not None:
        found.append(f"token {_duration(client.token.expires_in)}")
    if client.certificate is not None and client.certificate.days_left is not None:
        found.append(f"certificate {client.certificate.days_left} days")
    return " · ".join(found)


def _logins(logins: LoginHealth) -> str:
    if logins.error is not None:
        return _fact("Logins", logins.health, "failing", "users who are logged in are not affected")
    if logins.used:
        return _fact("Logins", logins.health, "working", "the last one succeeded")
    return _fact("Logins", logins.health, "none yet", "nobody has logged in since the start")


def _token(token: TokenHealth) -> str:
    if token.age is None:
        if token.error is not None:
            return _fact("Token", token.health, "none", "the last token request failed")
        if token.used:
            return _fact("Token", token.health, "none", "the last one expired; the next request gets another")
        return _fact("Token", token.health, "none yet", "the next request gets the first one")
    if token.expires_in is None:
        return _fact("Token", token.health, "valid", f"expiry unknown, obtained {_duration(token.age)} ago")
    figure = f"{_duration(token.expires_in)} left"
    note = f"{token.expires_in} s, obtained {_duration(token.age)} ago"
    bar = _bar(token.expires_in / token.lifetime) if token.lifetime else ""
    return _fact("Token", token.health, figure, note, bar)


def _certificate(certificate: CertificateHealth | None) -> str:
    name = "Client certificate"
    if certificate is None:
        return _fact(name, Health.IDLE, "none", "requests are sent without one")
    if certificate.days_left is None or certificate.expires_at is None or not certificate.lifetime:
        return _fact(name, certificate.health, "unusable", "it could not be loaded")
    is_expired = certificate.days_left <= 0
    figure = "expired" if is_expired else f"{certificate.days_left} days left"
    note = f"{'expired' if is_expired else 'expires'} {certificate.expires_at[:10]}"
    return _fact(name, certificate.health, figure, note, _bar(certificate.days_left / certificate.lifetime))


def _last_error(client: ClientHealth) -> str:
    error = client.last_error
    if error is None or any(problem.error is error for problem in problems_of(client)):
        return ""
    return (
        f'<div class="error"><dt>Last error</dt><dd>{escape(error.what + error.facts)}'
        f'<div class="note">{_time(error.at)}{_tracking(error.tracking_id)}</div></dd></div>'
    )


def _fact(name: str, health: Health, figure: str, note: str, bar: str = "") -> str:
    return (
        f'<div><dt>{name}</dt><dd class="{health.word}"><span class="figure">{figure}</span>{bar}'
        f'<span class="note">{note}</span></dd></div>'
    )


def _bar(share: float) -> str:
    # Hidden from screen readers: the words next to it say the same.
    return f'<progress aria-hidden="true" max="1" value="{min(max(share, 0.0), 1.0):.3f}"></progress>'


def _tracking(tracking_id: str | None) -> str:
    return f", tracking id <code>{escape(tracking_id)}</code>" if tracking_id else ""


def _time(time: dt.datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S} UTC"


def _duration(seconds: int) -> str:
    """Return a duration in the two largest units, rounded down."""
    if seconds >= _DAY:
        return f"{seconds // _DAY} d {seconds % _DAY // _HOUR} h"
    if seconds >= _HOUR:
        return f"{seconds // _HOUR} h {seconds % _HOUR // _MINUTE} min"
    if seconds >= _MINUTE:
        return f"{seconds // _MINUTE} min {seconds % _MINUTE} s"
    return f"{seconds} s"

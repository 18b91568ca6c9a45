"""The pages for people: each one file, no script, nothing loaded from anywhere."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seic.fastapi._readiness import CertificateHealth, ClientHealth, Health, LoginsHealth, TokenHealth

_STYLE = """
:root { color-scheme: light dark; --ink: #16202a; --soft: #5c6b7a; --paper: #f3f5f7; --card: #fff; --line: #dfe5ea;
  --pass: #12805c; --warn: #a86200; --fail: #c0293a; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8edf2; --soft: #9aa8b5; --paper: #10161c; --card: #19212a;
  --line: #2a3540; --pass: #3ecf9a; --warn: #f0a93b; --fail: #ff6b7a; } }
* { box-sizing: border-box; }
body { margin: 0; padding: 3rem 1.25rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; }
main { max-width: 46rem; margin: 0 auto; }
header { display: flex; align-items: center; gap: 1rem; margin-bottom: 2rem; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0; letter-spacing: -0.01em; }
header p { margin: 0.15rem 0 0; color: var(--soft); }
.lamp { width: 2.75rem; height: 2.75rem; border-radius: 50%; flex: none; background: currentColor;
  box-shadow: 0 0 0 0.45rem color-mix(in srgb, currentColor 18%, transparent); margin: 0.45rem; }
.pass { color: var(--pass); } .warn { color: var(--warn); } .fail { color: var(--fail); }
section { background: var(--card); border: 1px solid var(--line); border-radius: 0.9rem; padding: 1.4rem 1.5rem;
  margin-bottom: 1.25rem; }
h2 { display: flex; justify-content: space-between; align-items: baseline; font-size: 1.05rem; margin: 0 0 1.1rem; }
.badge { font-size: 0.8rem; font-weight: 600; }
.kind { color: var(--soft); font-weight: 400; margin-left: 0.5rem; }
dl { display: grid; grid-template-columns: 1fr 1fr; gap: 1.4rem; margin: 0; }
dt { color: var(--soft); font-size: 0.85rem; }
dd { margin: 0; }
.figure, .note { display: block; }
.figure { font-size: 1.5rem; font-weight: 600; font-variant-numeric: tabular-nums; letter-spacing: -0.01em; }
.note { color: var(--soft); font-size: 0.85rem; }
progress { appearance: none; width: 100%; height: 0.45rem; border: 0; border-radius: 1rem; overflow: hidden;
  background: var(--line); margin: 0.5rem 0 0.4rem; color: inherit; display: block; }
progress::-webkit-progress-bar { background: var(--line); }
progress::-webkit-progress-value { background: currentColor; }
progress::-moz-progress-bar { background: currentColor; }
.last_error { grid-column: 1 / -1; border-top: 1px solid var(--line); padding-top: 1.1rem; }
a { color: inherit; font-weight: 600; }
code { font-size: 0.85em; overflow-wrap: anywhere; }
@media (max-width: 34rem) { body { padding: 1.5rem 1rem; } header { margin-bottom: 1.5rem; } h1 { font-size: 1.4rem; }
  .lamp { width: 2rem; height: 2rem; } section { padding: 1.1rem 1.2rem; }
  dl { grid-template-columns: 1fr; gap: 1.1rem; } }
"""
#: Nothing may load or run; the page's own style is known by its digest.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    f"style-src 'sha256-{base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'"
)
_TITLES = {
    "pass": ("Ready", "Every client can call its provider."),
    "warn": ("Ready, with a warning", "Calls go through. Something below wants attention."),
    "fail": ("Not ready", "A client cannot call its provider, or is about to be unable to."),
}
_BADGES = {"pass": "fine", "warn": "warning", "fail": "failing"}
_RELOAD_SECONDS = 15
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def render(health: Health, clients: Sequence[ClientHealth]) -> str:
    """Return the page."""
    title, summary = _TITLES[health.word]
    sections = "".join(_section(client) for client in clients)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="refresh" content="{_RELOAD_SECONDS}">'
        f"<title>{title}</title><style>{_STYLE}</style></head><body><main>"
        f'<header><span class="lamp {health.word}" aria-hidden="true"></span>'
        f"<div><h1>{title}</h1><p>{summary}</p></div></header>"
        f"{sections}</main></body></html>"
    )


def render_message(title: str, text: str, *, link: str, label: str) -> str:
    """Return a page that says one thing, and leads on.

    Args:
        title: What happened.
        text: What it means.
        link: Where to go on.
        label: What the link says.
    """
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><main>"
        '<header><span class="lamp warn" aria-hidden="true"></span>'
        f"<div><h1>{escape(title)}</h1><p>{escape(text)}</p></div></header>"
        f'<p><a href="{escape(link)}">{escape(label)}</a></p></main></body></html>'
    )


def _section(client: ClientHealth) -> str:
    word = client.health.word
    last_error = ""
    if client.last_error is not None:
        tracked = (
            f", tracking id <code>{escape(client.last_error.tracking_id)}</code>"
            if client.last_error.tracking_id
            else ""
        )
        last_error = (
            f'<div class="last_error"><dt>Last error</dt><dd>{escape(client.last_error.what)}'
            f'<div class="note">{client.last_error.at:%Y-%m-%d %H:%M:%S} UTC{tracked}</div></dd></div>'
        )
    facts = [
        "" if client.token is None else _token(client.token),
        "" if client.logins is None else _logins(client.logins),
        _certificate(client.certificate),
        last_error,
    ]
    return (
        f'<section><h2><span>{escape(client.name)}<span class="kind">{"client" if client.token else "logins"}</span>'
        f'</span><span class="badge {word}">{_BADGES[word]}</span></h2>'
        f"<dl>{''.join(facts)}</dl></section>"
    )


def _logins(logins: LoginsHealth) -> str:
    if logins.health:
        figure, note = "failing", "whoever is logged in goes on"
    else:
        figure = "working" if logins.asked else "none yet"
        note = "the last person's went well" if logins.asked else "nobody has logged in since the start"
    return _fact("LoginRealm's logins", logins.health.word, figure, note, "")


def _token(token: TokenHealth) -> str:
    if token.age is None:
        figure, note, bar = (
            ("none", "the last request for one failed", "")
            if token.health
            else (
                "none yet",
                "the next call gets one",
                "",
            )
        )
    else:
        figure = _span(token.age)
        note = "no end is known" if token.expires_in is None else f"{_span(token.expires_in)} left"
        bar = "" if token.expires_in is None or not token.lifetime else _bar(token.expires_in / token.lifetime)
    return _fact("Token age", token.health.word, figure, note, bar)


def _certificate(certificate: CertificateHealth | None) -> str:
    if certificate is None:
        return _fact("Client certificate", "none", "none", "calls go without one", "")
    if certificate.days_left is None or certificate.expires_at is None or not certificate.lifetime:
        return _fact("Client certificate", certificate.health.word, "unusable", "it cannot be had", "")
    expired = certificate.days_left <= 0
    figure = "expired" if expired else f"{_span(certificate.days_left * _DAY)} left"
    note = f"{'ended' if expired else 'ends'} {certificate.expires_at[:10]}"
    share = certificate.days_left / certificate.lifetime
    return _fact("Client certificate", certificate.health.word, figure, note, _bar(share))


def _fact(name: str, word: str, figure: str, note: str, bar: str) -> str:
    return (
        f'<div><dt>{name}</dt><dd class="{word}"><span class="figure">{figure}</span>{bar}'
        f'<span class="note">{note}</span></dd></div>'
    )


def _bar(share: float) -> str:
    # What it shows stands in words beside it.
    return f'<progress aria-hidden="true" max="1" value="{min(max(share, 0.0), 1.0):.3f}"></progress>'


def _span(seconds: float) -> str:
    """Return a duration as people say it, rounded down."""
    for unit, name in ((_DAY, "day"), (_HOUR, "hour"), (_MINUTE, "minute")):
        if seconds >= unit * (2 if unit is not _MINUTE else 1):
            count = int(seconds // unit)
            return f"{count} {name}{'' if count == 1 else 's'}"
    count = int(seconds)
    return f"{count} second{'' if count == 1 else 's'}"

"""The HTML pages: each is one file without scripts that loads nothing."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from html import escape

from seic.fastapi._health import CertificateHealth, ClientHealth, Health, LoginHealth, TokenHealth

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
.error { grid-column: 1 / -1; border-top: 1px solid var(--line); padding-top: 1.1rem; }
a { color: inherit; font-weight: 600; }
code { font-size: 0.85em; overflow-wrap: anywhere; }
@media (max-width: 34rem) { body { padding: 1.5rem 1rem; } header { margin-bottom: 1.5rem; } h1 { font-size: 1.4rem; }
  .lamp { width: 2rem; height: 2rem; } section { padding: 1.1rem 1.2rem; }
  dl { grid-template-columns: 1fr; gap: 1.1rem; } }
"""
#: Nothing may load or run; the page's style is allowed by its digest.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    f"style-src 'sha256-{base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()}'"
)
_TITLES = {
    "pass": ("Ready", "Every client can call its provider."),
    "warn": ("Ready, with a warning", "Requests work. Something below needs attention."),
    "fail": ("Not ready", "A client cannot call its provider, or soon will not be able to."),
}
_BADGES = {"pass": "healthy", "warn": "warning", "fail": "failing"}
_REFRESH_SECONDS = 15
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def render_readiness(health: Health, clients: Sequence[ClientHealth]) -> str:
    """Return the readiness page."""
    title, summary = _TITLES[health.word]
    sections = "".join(_section(client) for client in clients)
    refresh = f'<meta http-equiv="refresh" content="{_REFRESH_SECONDS}">'
    return _page(title, summary, sections, lamp=health.word, head=refresh)


def render_message(title: str, text: str, *, link: str, label: str) -> str:
    """Return a page with one message and one link.

    Args:
        title: The heading.
        text: The explanation.
        link: The address of the link.
        label: The text of the link.
    """
    return _page(escape(title), escape(text), f'<p><a href="{escape(link)}">{escape(label)}</a></p>', lamp="warn")


def _page(title: str, summary: str, body: str, *, lamp: str, head: str = "") -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">{head}'
        f"<title>{title}</title><style>{_STYLE}</style></head><body><main>"
        f'<header><span class="lamp {lamp}" aria-hidden="true"></span>'
        f"<div><h1>{title}</h1><p>{summary}</p></div></header>"
        f"{body}</main></body></html>"
    )


def _section(client: ClientHealth) -> str:
    word = client.health.word
    facts = [
        "" if client.token is None else _token(client.token),
        "" if client.logins is None else _logins(client.logins),
        _certificate(client.certificate),
        _last_error(client),
    ]
    return (
        f'<section><h2><span>{escape(client.name)}<span class="kind">{"client" if client.token else "logins"}</span>'
        f'</span><span class="badge {word}">{_BADGES[word]}</span></h2>'
        f"<dl>{''.join(facts)}</dl></section>"
    )


def _logins(logins: LoginHealth) -> str:
    if logins.health:
        return _fact("Logins", logins.health.word, "failing", "users who are logged in are not affected")
    if logins.used:
        return _fact("Logins", logins.health.word, "working", "the last one succeeded")
    return _fact("Logins", logins.health.word, "none yet", "nobody has logged in since the start")


def _token(token: TokenHealth) -> str:
    if token.age is None:
        figure, note = (
            ("none", "the last token request failed") if token.health else ("none yet", "requested by the next call")
        )
        return _fact("Token age", token.health.word, figure, note)
    note = "expiry unknown" if token.expires_in is None else f"{_duration(token.expires_in)} left"
    bar = "" if token.expires_in is None or not token.lifetime else _bar(token.expires_in / token.lifetime)
    return _fact("Token age", token.health.word, _duration(token.age), note, bar)


def _certificate(certificate: CertificateHealth | None) -> str:
    if certificate is None:
        return _fact("Client certificate", "none", "none", "requests are sent without one")
    if certificate.days_left is None or certificate.expires_at is None or not certificate.lifetime:
        return _fact("Client certificate", certificate.health.word, "unusable", "it could not be loaded")
    expired = certificate.days_left <= 0
    figure = "expired" if expired else f"{_duration(certificate.days_left * _DAY)} left"
    note = f"{'expired' if expired else 'expires'} {certificate.expires_at[:10]}"
    share = certificate.days_left / certificate.lifetime
    return _fact("Client certificate", certificate.health.word, figure, note, _bar(share))


def _last_error(client: ClientHealth) -> str:
    error = client.last_error
    if error is None:
        return ""
    tracking = f", tracking id <code>{escape(error.tracking_id)}</code>" if error.tracking_id else ""
    return (
        f'<div class="error"><dt>Last error</dt><dd>{escape(error.what)}'
        f'<div class="note">{error.at:%Y-%m-%d %H:%M:%S} UTC{tracking}</div></dd></div>'
    )


def _fact(name: str, word: str, figure: str, note: str, bar: str = "") -> str:
    return (
        f'<div><dt>{name}</dt><dd class="{word}"><span class="figure">{figure}</span>{bar}'
        f'<span class="note">{note}</span></dd></div>'
    )


def _bar(share: float) -> str:
    # Hidden from screen readers: the words next to it say the same.
    return f'<progress aria-hidden="true" max="1" value="{min(max(share, 0.0), 1.0):.3f}"></progress>'


def _duration(seconds: float) -> str:
    """Return a duration in words, rounded down."""
    for unit, name in ((_DAY, "day"), (_HOUR, "hour"), (_MINUTE, "minute")):
        if seconds >= unit * (2 if unit is not _MINUTE else 1):
            count = int(seconds // unit)
            return f"{count} {name}{'' if count == 1 else 's'}"
    count = int(seconds)
    return f"{count} second{'' if count == 1 else 's'}"

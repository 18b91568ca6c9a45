"""The frame and the style of HTML pages: each page is one file that loads nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from html import escape

_STYLE = """
:root { color-scheme: light dark; --ink: #16202a; --soft: #5c6b7a; --paper: #f3f5f7; --card: #fff; --line: #dfe5ea;
  --pass: #12805c; --warn: #a86200; --fail: #c0293a; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8edf2; --soft: #9aa8b5; --paper: #10161c; --card: #19212a;
  --line: #2a3540; --pass: #3ecf9a; --warn: #f0a93b; --fail: #ff6b7a; } }
* { box-sizing: border-box; }
body { margin: 0; padding: 2.5rem 1.25rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; }
main { max-width: 46rem; margin: 0 auto; }
header { display: flex; align-items: center; gap: 1rem; margin-bottom: 1.75rem; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0; letter-spacing: -0.01em; }
header p { margin: 0.15rem 0 0; color: var(--soft); }
.lamp { width: 2.75rem; height: 2.75rem; border-radius: 50%; flex: none; background: currentColor;
  box-shadow: 0 0 0 0.45rem color-mix(in srgb, currentColor 18%, transparent); margin: 0.45rem; }
.lamp.idle { background: none; border: 0.35rem solid currentColor; }
.pass { color: var(--pass); } .idle { color: var(--soft); } .warn { color: var(--warn); } .fail { color: var(--fail); }
section, .problem { background: var(--card); border: 1px solid var(--line); border-radius: 0.9rem;
  margin-bottom: 1.25rem; }
.edge-warn { border-left: 0.4rem solid var(--warn); } .edge-fail { border-left: 0.4rem solid var(--fail); }
.problem { padding: 1.1rem 1.4rem; }
.problem p { margin: 0; }
.problem .cause { font-size: 1.1rem; font-weight: 600; line-height: 1.4; }
.problem .remedy { margin-top: 0.35rem; }
summary { display: flex; align-items: baseline; gap: 0.25rem 0.75rem; flex-wrap: wrap; padding: 1.3rem 1.5rem;
  cursor: pointer; list-style: none; }
summary::-webkit-details-marker { display: none; }
h2 { font-size: 1.05rem; margin: 0; margin-right: auto; overflow-wrap: anywhere; }
.badge { font-size: 0.85rem; font-weight: 600; }
.brief { color: var(--soft); font-size: 0.85rem; font-variant-numeric: tabular-nums; }
.kind { color: var(--soft); font-weight: 400; margin-left: 0.5rem; }
dl { display: grid; grid-template-columns: 1fr 1fr; gap: 1.4rem; margin: 0; padding: 0 1.5rem 1.4rem; }
dt { color: var(--soft); font-size: 0.85rem; }
dd { margin: 0; }
.figure, .note { display: block; }
.figure { font-size: 1.75rem; line-height: 1.3; font-weight: 600; font-variant-numeric: tabular-nums;
  letter-spacing: -0.01em; }
.note { color: var(--soft); font-size: 0.85rem; }
progress { appearance: none; width: 100%; height: 0.45rem; border: 0; border-radius: 1rem; overflow: hidden;
  background: var(--line); margin: 0.5rem 0 0.4rem; color: inherit; display: block; }
progress::-webkit-progress-bar { background: var(--line); }
progress::-webkit-progress-value { background: currentColor; }
progress::-moz-progress-bar { background: currentColor; }
.error { grid-column: 1 / -1; border-top: 1px solid var(--line); padding-top: 1.1rem; }
footer { color: var(--soft); font-size: 0.85rem; font-variant-numeric: tabular-nums; }
a { color: inherit; font-weight: 600; }
code { font-size: 0.9em; overflow-wrap: anywhere; }
@media (min-width: 34.01rem) { details::details-content { content-visibility: visible; } .brief { display: none; }
  summary { pointer-events: none; padding-bottom: 1rem; } }
@media (max-width: 34rem) { body { padding: 1.25rem 1rem; } header { margin-bottom: 1.25rem; } h1 { font-size: 1.4rem; }
  .lamp { width: 2rem; height: 2rem; } section, .problem { margin-bottom: 0.75rem; }
  summary { padding: 0.9rem 1.1rem; } .brief { order: 3; flex-basis: 100%; } details[open] .brief { display: none; }
  summary::after { content: "▾"; color: var(--soft); order: 2; } details[open] summary::after { content: "▴"; }
  .problem { padding: 0.9rem 1.1rem; } dl { grid-template-columns: 1fr; gap: 1rem; padding: 0 1.1rem 1.1rem; } }
"""


def page_policy(*, style: str = "", script: str = "") -> str:
    """Return the `Content-Security-Policy` of a page: its style and script, by their digests, and nothing else.

    Args:
        style: As for `render_page`.
        script: As for `render_page`; it may send requests to the page's origin.
    """
    return (
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        f"style-src '{_digest(_STYLE + style)}'"
        + (f"; script-src '{_digest(script)}'; connect-src 'self'" if script else "")
    )


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


#: Of a page without a style and a script of its own.
CONTENT_SECURITY_POLICY = page_policy()


def render_message(title: str, text: str, *, link: str, label: str, lamp: str = "warn") -> str:
    """Return a page with one message and one link.

    Args:
        title: The heading.
        text: The explanation.
        link: The address of the link.
        label: The text of the link.
        lamp: The colour of the lamp, as of `render_page`.
    """
    return render_page(escape(title), escape(text), f'<p><a href="{escape(link)}">{escape(label)}</a></p>', lamp=lamp)


def render_page(
    title: str, summary: str, body: str, *, lamp: str, head: str = "", style: str = "", script: str = ""
) -> str:
    """Return a page; all arguments are HTML, but for the last two.

    Args:
        title: The heading.
        summary: The text below it.
        body: The rest of the page.
        lamp: The colour of the lamp: `pass`, `idle`, `warn` or `fail`.
        head: Additional elements of the head.
        style: Additional rules of CSS.
        script: A script, which runs at the end.
    """
    end = f"<script>{script}</script>" if script else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">{head}'
        f"<title>{title}</title><style>{_STYLE}{style}</style></head><body><main>"
        f'<header><span class="lamp {lamp}" aria-hidden="true"></span>'
        f"<div><h1>{title}</h1><p>{summary}</p></div></header>"
        f"{body}</main>{end}</body></html>"
    )

"""The live page: its frame, style and script, which load nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files

from seic._html import page_policy, render_page

_FILES = files("seic.sandbox._control")
_STYLE = (_FILES / "page.css").read_text(encoding="utf-8")
_SCRIPT = (_FILES / "page.js").read_text(encoding="utf-8")
_BUTTONS = {"revoke-all": "Revoke all tokens", "expire-now": "Expire now", "idle-out": "Idle out"}
_BODY = f"""\
<div class="problem edge-fail" id="problem" role="alert" hidden><p class="cause" id="cause"></p></div>
<div class="columns"><section aria-labelledby="calls-title">
<div class="title"><h2 id="calls-title">Requests</h2><button type="button" id="clear-calls">Clear</button></div>
<ol id="calls" aria-live="off"><li class="empty">No request has arrived yet.</li></ol></section>
<div><section aria-labelledby="faults-title">
<div class="title"><h2 id="faults-title">Faults</h2><button type="button" data-fault="clear">End all</button></div>
<div class="pair"><fieldset><legend>Token requests</legend><ul id="token-faults"></ul></fieldset>
<fieldset><legend>API requests</legend><ul id="api-faults"></ul></fieldset></div>
<div class="actions">{"".join(f'<button type="button" data-fault="{n}">{t}</button>' for n, t in _BUTTONS.items())}
<label class="skew">Clock skew <input id="skew" type="number" step="1" value="0"> s</label></div></section>
<section aria-labelledby="certificates-title"><h2 id="certificates-title">Refuse client certificates</h2>
<ul id="certificates"></ul></section>
<section aria-labelledby="tokens-title"><div class="title"><h2 id="tokens-title">Active tokens</h2>
<span class="badge" id="tokens-count"></span></div><ul id="tokens"></ul></section></div></div>
"""
_SUMMARY = '<span id="state">Not connected</span> · <code id="api-url"></code> · mutual TLS <code id="mtls-url"></code>'

PAGE = render_page("seic sandbox", _SUMMARY, _BODY, lamp="idle", style=_STYLE, script=_SCRIPT)
#: Its own style and script by their digests, and requests to the control only.
PAGE_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": page_policy(style=_STYLE, script=_SCRIPT),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}

"""The HTML pages of a login: no script, no external resources; every value is escaped here."""

from __future__ import annotations

import base64
import hashlib
import string
import urllib.parse
from html import escape

from aiohttp import hdrs, web

LOGIN_PATH = "/v2/oauth/login"

_STYLE = """
:root { color-scheme: light dark; --page: #f3f5f8; --card: #ffffff; --text: #1b2430; --quiet: #566273;
  --line: #8a94a3; --accent: #0b5cab; --on-accent: #ffffff; --bad: #b3261e; --bad-card: #fdecea; }
@media (prefers-color-scheme: dark) { :root { --page: #12161c; --card: #1c222b; --text: #e8ecf2; --quiet: #a5b0bf;
  --line: #74808f; --accent: #7cb7f5; --on-accent: #0d1a29; --bad: #ffb4ab; --bad-card: #3b1b19; } }
* { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1.5rem; background: var(--page);
  color: var(--text); font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; }
main { width: 100%; max-width: 26rem; padding: 2.25rem; background: var(--card); border-radius: .9rem;
  box-shadow: 0 1px 2px rgb(0 0 0 / .12), 0 12px 32px rgb(0 0 0 / .10); }
.mark { margin: 0 0 1.25rem; font-size: .8rem; font-weight: 600; letter-spacing: .06em; color: var(--quiet);
  text-transform: uppercase; }
h1 { margin: 0 0 .5rem; font-size: 1.6rem; line-height: 1.25; }
p { margin: 0 0 1rem; }
.quiet { color: var(--quiet); font-size: .925rem; overflow-wrap: anywhere; }
.bad { padding: .7rem .9rem; border-radius: .5rem; background: var(--bad-card); color: var(--bad); font-weight: 600; }
label { display: block; margin: 1.1rem 0 .35rem; font-weight: 600; }
input { width: 100%; padding: .7rem .8rem; font: inherit; color: inherit; background: transparent;
  border: 1px solid var(--line); border-radius: .5rem; }
input[aria-invalid="true"] { border-color: var(--bad); }
.buttons { display: flex; gap: .75rem; margin-top: 1.75rem; }
button { flex: 1; min-height: 2.9rem; padding: .6rem 1rem; font: inherit; font-weight: 600; cursor: pointer;
  border: 1px solid var(--accent); border-radius: .5rem; background: transparent; color: var(--accent); }
button.main { background: var(--accent); color: var(--on-accent); }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
"""

_PAGE = string.Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>$style</style>
</head>
<body>
<main>
<p class="mark">seic sandbox</p>
<h1>$heading</h1>
$content
</main>
</body>
</html>
""")

# "Log in" is the first button, so that the Enter key activates it.
_LOGIN = string.Template("""<p class="quiet">You then return to the application at <strong>$target</strong>.</p>
$notices<form method="post" action="$path">
<input type="hidden" name="login" value="$login">
<input type="hidden" name="csrf" value="$csrf">
<label for="email">Email address</label>
<input id="email" name="email" type="email" autocomplete="username" required value="$email"$invalid>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required$invalid>
<div class="buttons">
<button class="main" name="action" value="log-in">Log in</button>
<button name="action" value="cancel" formnovalidate>Cancel</button>
</div>
</form>""")

# The page has no script and loads nothing; the policy has the browser enforce that.
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; frame-ancestors 'none'; form-action "


def login_page(
    *, login: str, csrf: str, redirect_url: str, end_other_sessions: bool, email: str = "", is_wrong: bool = False
) -> web.Response:
    """Return the page with the form for email and password.

    Args:
        login: The id of the login.
        csrf: The token that proves that the form came from this page.
        redirect_url: The redirect URL of the login.
        end_other_sessions: Announce that other sessions end.
        email: The email address entered before.
        is_wrong: Report that the email address or the password is wrong.
    """
    notices = ""
    if is_wrong:
        notices = '<p class="bad" role="alert" id="problem">The email address or the password is wrong.</p>\n'
    if end_other_sessions:
        notices += '<p class="quiet">Your other sessions will end.</p>\n'
    target = urllib.parse.urlsplit(redirect_url)
    content = _LOGIN.substitute(
        target=escape(target.netloc),
        notices=notices,
        path=LOGIN_PATH,
        login=escape(login),
        csrf=escape(csrf),
        email=escape(email),
        invalid=' aria-invalid="true" aria-describedby="problem"' if is_wrong else "",
    )
    # Browsers apply form-action to the redirect after the form, too; a policy cannot name an IPv6 address.
    origin = f"{target.scheme}:" if "[" in target.netloc else f"{target.scheme}://{target.netloc}"
    return _page(403 if is_wrong else 200, "Log in", content, form_action=f"'self' {origin}", error=is_wrong)


def error_page(status: int, message: str) -> web.Response:
    """Return the page for a login that is not possible.

    Args:
        status: The HTTP status.
        message: The reason, a sentence.
    """
    content = (
        f'<p class="bad" role="alert">{escape(message)}</p>\n'
        '<p class="quiet">Go back to the application and start again.</p>'
    )
    return _page(status, "Login failed", content, form_action="'none'")


def _page(status: int, heading: str, content: str, *, form_action: str, error: bool = False) -> web.Response:
    # Screen readers read the title first, so it says "Error".
    title = f"{'Error: ' if error else ''}{heading} – seic sandbox"
    text = _PAGE.substitute(title=title, style=_STYLE, heading=heading, content=content)
    return web.Response(status=status, text=text, content_type="text/html", headers=_headers(form_action))


def _headers(form_action: str) -> dict[str, str]:
    return {
        hdrs.CACHE_CONTROL: "no-store",
        "Content-Security-Policy": _POLICY + form_action,
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
    }

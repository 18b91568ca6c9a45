"""The steps of a login, explained as they happen: requests and answers, with secrets masked."""

from __future__ import annotations

import shutil
from urllib.parse import parse_qsl, urlsplit

from seic._config import Config
from seic._model.secret import HIDDEN
from seic._model.token import Token
from seic.cli._terminal import Terminal, fold

#: Parameters of the authorization request (RFC 6749 §4.1.1, RFC 7636 §4.3).
_MEANINGS = {
    "response_type": "a code is wanted, not a token",
    "client_id": "the application",
    "state": "a random value that the callback must return, so that nobody else's login is taken for this one",
    "scope": "the access that is asked for",
    "redirect_uri": "the browser is sent back there",
    "redirect_url": "the browser is sent back there",
    "code_challenge": "a digest of a secret that only this command knows (PKCE)",
    "code_challenge_method": "SHA-256",
    "code": "exchanged for a token, once, within seconds",
    "iss": "the issuer, so that a code of another provider is noticed (RFC 9207)",
}
_MASKED = {"code", "state", "code_challenge"}


class LoginTrace:
    """Writes each step to stderr, if it is wanted.

    Args:
        terminal: The streams.
        is_shown: Whether it is wanted.
    """

    def __init__(self, terminal: Terminal, *, is_shown: bool) -> None:
        self._terminal = terminal
        self._is_shown = is_shown
        self._number = 0

    def step(self, title: str, facts: dict[str, str], reference: str = "") -> None:
        """Write a step."""
        if not self._is_shown:
            return
        self._number += 1
        self._terminal.note(f"{self._number}. {title}" + (f" ({reference})" if reference else ""))
        width = max(map(len, facts), default=0)
        indent = " " * (width + 5)
        columns = max(shutil.get_terminal_size().columns - len(indent), 20)
        for name, value in facts.items():
            shown = fold(value, columns) if self._terminal.stderr.isatty() else value
            self._terminal.note(f"   {name:{width}}  {shown.replace(chr(10), chr(10) + indent)}")

    def authorization_request(self, url: str) -> None:
        """Explain the address that the browser opens."""
        address = url.partition("?")[0]
        self.step(
            "the browser opens the authorization endpoint", {"url": address, **_parameters(url)}, "RFC 6749 §4.1.1"
        )

    def callback(self, url: str) -> None:
        """Explain the address that the browser is sent back to."""
        self.step("the browser is sent back with a code", _parameters(url), "RFC 6749 §4.1.2")

    def token_request(self, config: Config, grant_type: str) -> None:
        """Explain the token request."""
        method = type(config.provider.client_authentication).__name__
        facts = {
            "POST": config.token_url,
            "grant_type": grant_type,
            "client authentication": "client_secret_basic" if method == "NoneType" else method,
            "certificate": "none" if config.certificate is None else "presented in the TLS handshake",
        }
        self.step("the code is exchanged for a token", facts, "RFC 6749 §4.1.3")

    def token(self, token: Token) -> None:
        """Explain the answer."""
        facts = {
            "access_token": f"{HIDDEN} (sha256 {token.fingerprint})",
            "token_type": token.token_type,
            "expires_in": "not known" if token.expires_in is None else f"{token.expires_in:.0f} s",
            "refresh_token": "none" if token.refresh_token is None else HIDDEN,
            "scope": token.scope or "not named",
        }
        self.step("the provider answers with a token", facts, "RFC 6749 §5.1")


def _parameters(url: str) -> dict[str, str]:
    pairs = parse_qsl(urlsplit(url).query, keep_blank_values=True)
    return {
        name: f"{HIDDEN if name in _MASKED else value}" + (f" - {_MEANINGS[name]}" if name in _MEANINGS else "")
        for name, value in pairs
    }

"""`RecordingRedactor`: masks the secrets of recorded requests and responses, by value and by the name of a member."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote, quote_plus, unquote_plus

from seic._model.secret import HIDDEN
from seic.testing._secret_finder import SHORTEST_SECRET

#: Credentials that no request had: a JWT, and members of JSON, forms and queries with the usual names.
_JWT = re.compile(r"\beyJ[\w-]{5,}\.[\w-]{5,}\.[\w-]*")
_NAME = re.compile(
    r"((access|refresh|id|auth|session|csrf|api)?_?token|(client|app|api)?_?secret|password|passwd|(api|app|access|private)_?key"
    r"|subscription_?key|sig|signature|assertion)",
    re.IGNORECASE,
)
#: The query of a URL within a text.
_QUERY = re.compile(r"(?<=\?)[^\s\"'<>#]+")
#: A line of text that may be JSON: JSON Lines, and the data of server-sent events.
_LINE = re.compile(r"^((?:data:)?[ \t]*)([\[{].*?)([ \t\r]*)$", re.MULTILINE)


class RecordingRedactor:
    """Replaces secrets in the entries of a recording.

    Args:
        credentials: Secrets of any length, which are replaced anywhere.
        others: Texts that may be secrets, such as cookies. Those with fewer than eight characters are replaced as words
            only: the cookie `lang=en` must not change each word with "en".
    """

    def __init__(self, credentials: Iterable[str], others: Iterable[str]) -> None:
        words = {form: rf"(?<!\w){re.escape(form)}(?!\w)" for one in others for form in _encoded(one)}
        words |= {form: re.escape(form) for form in words if len(form) >= SHORTEST_SECRET}
        words |= {form: re.escape(form) for one in credentials for form in _encoded(one)}
        # The longest first: one secret may be part of another.
        longest = sorted(words, key=len, reverse=True)
        self._secrets = re.compile("|".join([*(words[form] for form in longest), _JWT.pattern]))

    def redact_entry(self, entry: dict[str, Any]) -> dict[str, Any]:
        """Return an entry without secrets; a body in Base64 is returned as it is."""
        changes: dict[str, Any] = {
            "path": self._secrets.sub(HIDDEN, entry["path"]),
            "query": self._redact_query(entry["query"]),
            "headers": {name: self._redact_text(value) for name, value in entry["headers"].items()},
        }
        if "text" in entry:
            is_form = "x-www-form-urlencoded" in entry["headers"].get("content-type", "")
            changes["text"] = self._redact_query(entry["text"]) if is_form else self._redact_body(entry["text"])
        return {**entry, **changes}

    def _redact_body(self, text: str) -> str:
        """Redact JSON, each line of JSON, or a text."""
        redacted = self._redact_json(text)
        if redacted is None:
            redacted = _LINE.sub(lambda line: line[1] + (self._redact_json(line[2]) or line[2]) + line[3], text)
            redacted = self._redact_text(redacted)
        return redacted

    def _redact_json(self, text: str) -> str | None:
        """Redact JSON, whose format stays if nothing is replaced; None for any other text."""
        if not text.lstrip().startswith(("{", "[")):
            return None
        try:
            document = json.loads(text)
            redacted = self._redact_value(document)
        except (ValueError, RecursionError):
            return None
        return text if redacted == document else json.dumps(redacted, ensure_ascii=False)

    def _redact_value(self, value: Any, *, is_secret: bool = False) -> Any:
        if isinstance(value, dict):
            return {
                self._secrets.sub(HIDDEN, name): self._redact_value(member, is_secret=is_secret or _is_secret(name))
                for name, member in value.items()
            }
        if isinstance(value, list):
            return [self._redact_value(item, is_secret=is_secret) for item in value]
        if value is None or isinstance(value, bool):
            return value
        if is_secret or not isinstance(value, str):
            return HIDDEN if is_secret or self._secrets.fullmatch(str(value)) else value
        redacted = self._redact_json(value)
        return self._redact_text(value) if redacted is None else redacted

    def _redact_text(self, text: str) -> str:
        return _QUERY.sub(lambda query: self._redact_query(query[0]), self._secrets.sub(HIDDEN, text))

    def _redact_query(self, query: str) -> str:
        members = (member.partition("=") for member in self._secrets.sub(HIDDEN, query).split("&"))
        return "&".join(
            f"{name}={HIDDEN}" if value and _is_secret(unquote_plus(name)) else name + equals + value
            for name, equals, value in members
        )


def _is_secret(name: str) -> bool:
    return _NAME.fullmatch(name.replace("-", "_").removeprefix("x_").removeprefix("X_")) is not None


def _encoded(secret: str) -> set[str]:
    return {secret, quote(secret, safe=""), quote_plus(secret)} - {""}

"""The report of `seic doctor`: on the screen, as JSON, and as a file for support that has no secret."""

from __future__ import annotations

import base64
import datetime as dt
import json
import platform
import shutil
import ssl
from collections.abc import Collection, Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

from seic._files import read_regular_file
from seic._model.secret import HIDDEN
from seic._oauth.redact import redact
from seic._version import __version__
from seic.cli._health_checks.check_result import CheckResult, HealthState, Outcome
from seic.cli._health_checks.token_checks import events_as_facts
from seic.cli._terminal import Terminal, fold

_FORMAT = "seic-report"
_MAX_BYTES = 4 * 1024 * 1024
#: Shorter ones occur in other words; a report has no place for them.
_SHORTEST_SECRET = 4
_MARKS = {
    Outcome.OK: ("✓", "ok", "32"),
    Outcome.WARNING: ("!", "!", "33"),
    Outcome.FAILED: ("✗", "x", "31"),
    Outcome.SKIPPED: ("·", "-", "2"),
}
_WIDTH_OF_NAMES = 13


def show_result(terminal: Terminal, result: CheckResult, *, with_details: bool) -> None:
    """Write one result: its mark, its name and the facts, then the remedy and the details."""
    sign, plain, color = _MARKS[result.outcome]
    mark = terminal.style(sign if terminal.can_show(sign) else plain, color)
    indent = " " * (_WIDTH_OF_NAMES + 2)
    terminal.print(f"{mark} {result.name:{_WIDTH_OF_NAMES}}{_fit(terminal, result.found, indent)}")
    if result.remedy:
        arrow = "→ " if terminal.can_show("→") else "-> "
        text = _fit(terminal, result.remedy, indent + " " * len(arrow))
        terminal.print(indent + terminal.style(arrow + text, "1"))
    if with_details and result.details:
        width = max(map(len, result.details)) + 2
        for name, value in result.details.items():
            text = _fit(terminal, value, indent + " " * width)
            terminal.print(indent + terminal.style(f"{name:{width}}{text}", "2"))


def _fit(terminal: Terminal, text: str, indent: str) -> str:
    """Return a text on one line, or at a terminal in lines that fit, each after the first with the indent."""
    line = "".join(character if character.isprintable() else " " for character in text)
    if not terminal.is_terminal:
        return line
    return fold(line, max(shutil.get_terminal_size().columns - len(indent), 20)).replace("\n", f"\n{indent}")


def to_document(state: HealthState) -> dict[str, Any]:
    """Return the report as a value for JSON."""
    return {
        "format": _FORMAT,
        "version": 1,
        "created": f"{dt.datetime.now(dt.UTC):%Y-%m-%dT%H:%M:%SZ}",
        "versions": {
            "seic": __version__,
            "python": platform.python_version(),
            "platform": platform.platform(),
            "openssl": ssl.OPENSSL_VERSION,
            "httpx": version("httpx"),
            "cryptography": version("cryptography"),
        },
        "host": None if state.config is None else state.config.base_url,
        "exit_code": int(state.exit_code),
        "checks": [result.to_dict() for result in state.results],
        "events": events_as_facts(state.events),
    }


def without_secrets(text: str, secrets: Iterable[str]) -> str:
    """Return a text in which each secret is masked, in each form in which it could be there."""
    forms = {form for secret in secrets if len(secret) >= _SHORTEST_SECRET for form in _forms(secret)}
    return redact(text, forms)


def _forms(secret: str) -> Collection[str]:
    raw = secret.encode(errors="surrogatepass")
    return {
        secret,
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        quote(secret, safe="", errors="replace"),
        quote_plus(secret, errors="replace"),
        base64.b64encode(raw).decode(),
        base64.urlsafe_b64encode(raw).decode(),
        raw.hex(),
    }


def read_report(path: Path) -> dict[str, Any]:
    """Return the document in a report's file.

    Raises:
        OSError: It cannot be read.
        ValueError: It is not a report; the message says why.
    """
    try:
        document = json.loads(read_regular_file(path, _MAX_BYTES))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
        raise ValueError(f"{path}: not JSON; name a file that `seic doctor --capsule` wrote") from None
    if not isinstance(document, dict) or document.get("format") != _FORMAT:
        raise ValueError(f"{path}: not a report; name a file that `seic doctor --capsule` wrote")
    if document.get("version") != 1:
        raise ValueError(f"{path}: written by a later version of seic; install that")
    return document


def results_of(document: Mapping[str, Any], path: Path) -> list[CheckResult]:
    """Return the results in a report.

    Raises:
        ValueError: They are malformed.
    """
    try:
        return [CheckResult.from_dict(fields) for fields in document["checks"]]
    except (KeyError, TypeError, ValueError):
        raise ValueError(f"{path}: the report is damaged; have it sent again") from None


def differences(here: HealthState, there: HealthState) -> list[tuple[str, str, str]]:
    """Return name, text here and text there of each setting and check that differs; secrets are compared unseen."""
    rows = []
    of_here, of_there = _facts(here), _facts(there)
    for name in dict.fromkeys([*of_here, *of_there]):
        one, other = of_here.get(name, ""), of_there.get(name, "")
        if one != other:
            rows.append((name, one or "not set", other or "not set"))
    return rows


def _facts(state: HealthState) -> dict[str, str]:
    # Times differ between any two runs.
    facts: dict[str, str] = {}
    for result in state.results:
        if result.name == "settings":
            facts |= {f"{name}": value.partition("  (")[0] for name, value in result.details.items()}
            if result.outcome == Outcome.FAILED:
                facts["check settings"] = f"{result.outcome}: {result.found}"
        elif result.outcome in (Outcome.FAILED, Outcome.WARNING):
            facts[f"check {result.name}"] = f"{result.outcome}: {result.found}"
        else:
            facts[f"check {result.name}"] = result.outcome.value
    return {name: value for name, value in facts.items() if value != HIDDEN}

"""Writes docs/reference/ from the code; with `--check` it only says whether the pages are current."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import logging
import re
import sys
from collections.abc import Iterator
from typing import Any
from unittest.mock import MagicMock

import seic
from seic import events
from seic.otel._instruments import Instruments
from tests._support.documents import ROOT
from tests._support.reason_remedies import REASONS

FOLDER = ROOT / "docs" / "reference"
_NOTE = "<!-- Written by `nox -s reference`: change the docstrings and tests/_support/reference_pages.py. -->"
#: The public modules, in the order of the navigation, and the extra that each needs.
MODULES = {
    "seic": "",
    "seic.events": "",
    "seic.fastapi": "fastapi",
    "seic.httpx2": "httpx2",
    "seic.otel": "otel",
    "seic.redis": "redis",
    "seic.sandbox": "sandbox",
    "seic.testing": "testing",
}
#: The causes of each error; the classes of `seic` that are errors are all here.
_REMEDIES = {
    "SeicError": "Catch it to catch all of them.",
    "ConfigurationError": "Correct the setting that `field` names; [all settings](../settings.md).",
    "CertificateError": "`reason` is a code of the [table below](#reason-codes), with its remedy.",
    "HostNotAllowed": "Call this host with another client: this one's token and certificate are not for it.",
    "TokenError": "Catch it if you handle all failures to get a token in the same way.",
    "TokenEndpointUnavailable": "Try again later, after `retry_after` if it is set. seic itself does so.",
    "TokenRequestRefused": "Correct the credentials or the grant; [refusal codes](#refusal-codes).",
    "InvalidTokenResponse": "Check that no proxy or login page answers in place of the token endpoint.",
    "ApiError": "`seic.raise_for_status(reply)` raises it. If `transient`, the same request may succeed later.",
    "TooManyRequests": "Try again after `retry_after`, or set a longer `rate_limit_timeout`.",
    "LoggedInElsewhere": "Log in again; `end_other_sessions=True` on the grant ends the other session.",
}
_REFUSALS = {
    "login_required": (
        "seic",
        "The refresh token or code was used, or the session has ended, and nothing can replace it.",
        "Log in again, or pass a callable that returns a new value.",
    ),
    "expired_token": ("seic", "A login took longer than the provider allows.", "Start a new login."),
    "invalid_client": (
        "RFC 6749 §5.2",
        "The provider does not accept the client.",
        "Check `client_id`, `client_secret` and the method of client authentication.",
    ),
    "invalid_grant": (
        "RFC 6749 §5.2",
        "The user name and password, the code, the refresh token or the assertion is wrong, used or expired.",
        "Check them, and the clock if an assertion is signed here.",
    ),
    "invalid_request": (
        "RFC 6749 §5.2",
        "A parameter is missing, unknown or repeated.",
        "Compare the grant with the provider's documentation.",
    ),
    "invalid_scope": (
        "RFC 6749 §5.2",
        "A scope is unknown, or not granted to the client.",
        "Correct `scope`, or have it granted.",
    ),
    "unauthorized_client": (
        "RFC 6749 §5.2",
        "The client may not use this grant.",
        "Have the grant enabled for the client.",
    ),
    "unsupported_grant_type": (
        "RFC 6749 §5.2",
        "The provider does not know the grant.",
        "Choose another grant, or correct the token URL.",
    ),
    "invalid_target": (
        "RFC 8707 §2",
        "The `resource` or `audience` is unknown.",
        "Correct it.",
    ),
    "invalid_dpop_proof": (
        "RFC 9449 §5",
        "The DPoP proof is not accepted.",
        "Check the clock, and that no proxy changes the URL.",
    ),
}


#: Classes that are split into private base classes.
_WITH_BASES = {"MockProvider", "Sandbox"}
_INHERITED = "    options: {inherited_members: true}\n"


def _extra(name: str) -> str:
    return f'\nIt needs the extra: `pip install "seic[{name}]"`.\n' if name else ""


def _module_page(name: str, extra: str) -> str:
    """Return the page of a module: the names of `__all__`, below its comments as headings."""
    module = importlib.import_module(name)
    summary = (module.__doc__ or "").partition("\n")[0]
    listed = re.search(r"^__all__ = \[(.*?)\]$", inspect.getsource(module), re.DOTALL | re.MULTILINE)
    assert listed
    parts = [f"# Module {name}\n\n{_NOTE}\n\n{summary}\n{_extra(extra)}"]
    for title, member in re.findall(r'# (.+)|"(\w+)"', listed[1]):
        if title:
            parts.append(f"\n## {title.partition(',')[0]}\n")
        elif name == "seic" and member == "events":
            parts.append("\nThe classes of events are in [seic.events](event-classes.md).\n")
        elif member != "__version__":
            parts.append(f"\n::: {name}.{member}\n{_INHERITED if member in _WITH_BASES else ''}")
    if "\n## " not in "".join(parts):
        parts.insert(1, "\n## Names\n")
    return "".join(parts).replace("\n## About this package\n", "")


def _errors() -> Iterator[type[seic.SeicError]]:
    for name in seic.__all__:
        kind = getattr(seic, name)
        if inspect.isclass(kind) and issubclass(kind, seic.SeicError):
            yield kind


def _attributes(kind: type) -> str:
    names = [
        name
        for parent in kind.__mro__
        if issubclass(parent, seic.SeicError)
        for name, one in inspect.signature(parent.__init__).parameters.items()
        if one.kind is inspect.Parameter.KEYWORD_ONLY
    ]
    return ", ".join(f"`{name}`" for name in dict.fromkeys(names))


def _kind_of(kind: type) -> str:
    parent = kind.__bases__[0]
    return f", a `{parent.__name__}`" if parent not in {seic.SeicError, Exception} else ""


def _errors_page() -> str:
    rows = [
        f"| [`{kind.__name__}`](seic.md#errors){_kind_of(kind)} | {_first_sentence(kind)} |"
        f" {_attributes(kind)} | {_REMEDIES[kind.__name__]} |"
        for kind in _errors()
    ]
    reasons = [f"| `{reason}` | {meaning} | {remedy} |" for reason, (meaning, remedy) in REASONS.items()]
    refusals = [
        f"| `{code}` | {meaning} | {remedy} | {source} |" for code, (source, meaning, remedy) in _REFUSALS.items()
    ]
    return "\n".join(
        [
            f"# Errors\n\n{_NOTE}\n",
            "Every error of seic is a `seic.SeicError`. Its message says what is wrong, where, and what to do. Search",
            "[troubleshooting](../troubleshooting.md) for the text of an error.\n",
            "| error | meaning | attributes | remedy |",
            "|---|---|---|---|",
            *rows,
            "\nAn API call that fails on its way raises an error of httpx (`httpx.ConnectError`, `httpx.ReadTimeout`),",
            "with an explanation. If the client certificate is the cause, it is a `CertificateError` as well.\n",
            "## Reason codes\n",
            "`error.reason` is one of these codes, which never change their meaning (`seic.Reason`).",
            "`CertificateError`, `TokenEndpointUnavailable` and httpx's errors with a message from seic have it;",
            "`None` if TLS was not the cause.",
            "Warnings (`seic.CertificateWarning`) have it too.\n",
            "| reason | meaning | remedy |",
            "|---|---|---|",
            *reasons,
            "\n## Refusal codes\n",
            "`TokenRequestRefused.code` is the provider's own code. These are the usual ones, and those of seic:\n",
            "| code | meaning | remedy | source |",
            "|---|---|---|---|",
            *refusals,
            "",
        ]
    )


def _first_sentence(kind: type) -> str:
    text = " ".join((inspect.getdoc(kind) or "").partition("\n\n")[0].split())
    return text.replace("|", "\\|")


def kinds_of_events() -> list[type[events.Event]]:
    """Return the classes of events, in the order of `seic.events`."""
    public = [getattr(events, name) for name in events.__all__]
    return [
        kind for kind in public if inspect.isclass(kind) and issubclass(kind, events.Event) and kind != events.Event
    ]


def metrics() -> Iterator[tuple[str, str, str, str]]:
    """Yield name, instrument, unit and description of each metric of `seic.otel`."""
    meter = MagicMock()
    Instruments(MagicMock(), meter)
    for method, arguments, options in meter.method_calls:
        kind = method.removeprefix("create_").removeprefix("observable_").replace("_", "-")
        yield arguments[0], kind, options["unit"], options["description"]


def _events_page() -> str:
    rows = []
    for kind in kinds_of_events():
        fields = ", ".join(f"`{field.name}`" for field in dataclasses.fields(kind))
        level = logging.getLevelName(kind.level)
        rows.append(f"| `{kind.__name__}` | {level} | `{kind.name}` | {fields} | {_first_sentence(kind)} |")
    measures = [f"| `{name}` | {kind} | {unit} | {text} |" for name, kind, unit, text in metrics()]
    return "\n".join(
        [
            f"# Events and metrics\n\n{_NOTE}\n",
            "## Events\n",
            "Listeners get these objects ([listeners](../observability.md#listeners)); the logger `seic` writes one",
            "line for each, which starts with its name. The classes are in `seic.events`.\n",
            "| event | level | in the log | fields | meaning |",
            "|---|---|---|---|---|",
            *rows,
            "\n## Metrics\n",
            "`seic.otel.instrument` creates them; [their attributes](../observability.md#opentelemetry).\n",
            "| metric | instrument | unit | meaning |",
            "|---|---|---|---|",
            *measures,
            "",
        ]
    )


def pages() -> dict[str, str]:
    """Return the text of each page, by its file."""
    made: dict[str, Any] = {
        f"{name.rpartition('.')[2] if name != 'seic.events' else 'event-classes'}.md": _module_page(name, extra)
        for name, extra in MODULES.items()
    }
    return made | {"errors.md": _errors_page(), "events.md": _events_page()}


if __name__ == "__main__":
    made = pages()
    if "--check" not in sys.argv[1:]:
        FOLDER.mkdir(exist_ok=True)
        for name, text in made.items():
            (FOLDER / name).write_text(text, encoding="utf-8")
    else:
        old = [name for name, text in made.items() if (FOLDER / name).read_text(encoding="utf-8") != text]
        if old:
            sys.exit(f"docs/reference: out of date: {', '.join(old)}; run nox -s reference")

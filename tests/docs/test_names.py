"""Names of classes in the documents: each is public, so that a renamed one is not forgotten there."""

from __future__ import annotations

import re

import seic
from seic import events, fastapi, otel, redis, sandbox, testing
from tests._support.documents import ROOT

_PUBLIC = {name for module in (seic, events, fastapi, otel, redis, sandbox, testing) for name in module.__all__}
#: Other names: the header of SEI's gateway, a document of kubectl, a value of JSON, and exceptions of Python.
_OTHERS = {"AppKey", "ExecCredential", "NaN", "KeyboardInterrupt", "SystemExit", "RuntimeError", "DeprecationWarning"}
#: Classes that a page replaces, and codes of Apigee.
_OTHERS |= {"AsyncOAuth2Client", "JsonTokenFileCache", "OAuth2ClientCredentials", "OAuth2Session", "ClientId"}
#: A class, alone or after a module of seic.
_CLASS = re.compile(r"(?<![\w./-])(?:seic\.(?:\w+\.)?)?([A-Z][a-z]+(?:[A-Z0-9][A-Za-z0-9]*)+)\b")


def test_every_class_in_the_documents_is_public() -> None:
    """Old names in the changelog are in the part about changes."""
    pages = {path: path.read_text(encoding="utf-8") for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]}
    pages.pop(ROOT / "docs/architecture.md")  # for contributors, who see private names
    pages[ROOT / "CHANGELOG.md"] = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").partition("### Changed")[0]

    for path, text in pages.items():
        code = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
        named = {name for part in code for name in _CLASS.findall(part)}
        assert named <= _PUBLIC | _OTHERS, path.name


def test_every_new_name_of_the_changelog_is_public() -> None:
    """The second column of its tables."""
    changed = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8").partition("### Changed")[2]
    rows = re.findall(r"^\| `.*\| (`.*) \|$", changed, re.MULTILINE)

    assert rows
    assert {name for row in rows for name in _CLASS.findall(row)} <= _PUBLIC

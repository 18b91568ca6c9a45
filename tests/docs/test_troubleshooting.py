"""docs/troubleshooting.md: its texts are those that the code prints or reads."""

from __future__ import annotations

import re

import pytest

from seic import Reason
from tests._support.documents import ROOT

_TEXT = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
_SOURCE = " ".join("\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py")).split())
#: The sources, with strings of several lines joined.
_MESSAGES = re.sub(r'" f?"', "", _SOURCE)
_DIAGNOSE = (ROOT / "src/seic/_tls/diagnose.py").read_text(encoding="utf-8")


def _rows(heading: str) -> list[list[str]]:
    part = _TEXT.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return [re.split(r" \| ", line.strip("| ")) for line in part.splitlines() if line.startswith("| `")]


@pytest.mark.parametrize("row", _rows("Messages of seic"), ids=lambda row: row[0])
def test_seic_prints_the_text(row: list[str]) -> None:
    """A message that changes must change in the page."""
    (text,) = re.findall(r"^`([^`]+)`", row[0])
    assert text in _MESSAGES


@pytest.mark.parametrize("heading", ["Messages of OpenSSL", "Answers of nginx", "Answers of IIS"])
def test_each_reason_exists(heading: str) -> None:
    """The second column has codes of `seic.Reason`."""
    named = {code for row in _rows(heading) for code in re.findall(r"`([a-z-]+)`", row[1])}

    assert named
    assert named <= {str(reason) for reason in Reason}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (alert, code)
        for row in _rows("Messages of OpenSSL")
        for alert in re.findall(r"`(?:SSLV3|TLSV1|TLSV13)_ALERT_(\w+)`", row[0])
        for code in re.findall(r"`([a-z-]+)`", row[1])
        if alert not in {"HANDSHAKE_FAILURE", "PROTOCOL_VERSION"}
    ],
)
def test_each_alert_has_the_reason_of_the_code(text: str, reason: str) -> None:
    """The table of alerts in the diagnosis has the same pair."""
    assert f'"{text}": Reason.{Reason(reason).name}' in _DIAGNOSE


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (row[0].strip("`").lower().removeprefix("400 "), row[1].strip("`"))
        for heading in ("Answers of nginx", "Answers of IIS")
        for row in _rows(heading)
        if row[1].startswith("`")
    ],
)
def test_each_page_of_a_server_has_the_reason_of_the_code(text: str, reason: str) -> None:
    """The diagnosis recognizes the page, with this reason."""
    line = next(one for one in _DIAGNOSE.splitlines() if text.replace(".", r"\.") in one)

    assert f"Reason.{Reason(reason).name}" in line

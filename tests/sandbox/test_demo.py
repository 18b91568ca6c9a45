"""The demonstration `python -m seic.sandbox.demo`."""

from __future__ import annotations

import io
import subprocess
import sys

import attrs
import pytest

import seic
from seic.sandbox import Sandbox, demo


class Terminal(io.StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self) -> bool:
        """Return True."""
        return True


def test_demo_succeeds() -> None:
    """In a process, it prints every step, without colour into a pipe, and exits with 0."""
    result = subprocess.run(
        [sys.executable, "-m", "seic.sandbox.demo"], capture_output=True, text=True, timeout=120, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    for step in demo.STEPS:
        assert step.title in result.stdout
    assert "TokenRequestRefused" in result.stdout
    assert "WRONG" not in result.stdout
    assert "\x1b" not in result.stdout


def test_wrong_count_is_reported(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The line has the expected count, the later steps run, and the exit code is 1."""
    first, *others = demo.STEPS
    wrong = attrs.evolve(first, counts={"api.token_requests": 7})
    monkeypatch.setattr(demo, "STEPS", (wrong, *others))
    assert demo.main() == 1
    out = capsys.readouterr().out
    assert "WRONG token requests at the api host: 1, expected 7" in out
    assert others[-1].title in out


def test_unexpected_error_is_reported(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """With its message; the exit code is 1."""

    async def fail(_sandbox: Sandbox, _transcript: demo.DemoOutput) -> None:
        raise seic.ConfigurationError("nothing fits")

    monkeypatch.setattr(demo, "STEPS", (demo.DemoPart("fails", fail, {}),))
    assert demo.main() == 1
    assert "ConfigurationError: nothing fits" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("out", "no_color", "coloured"),
    [
        pytest.param(Terminal, None, True, id="terminal"),
        pytest.param(Terminal, "", True, id="terminal, NO_COLOR empty"),
        pytest.param(Terminal, "1", False, id="terminal, NO_COLOR"),
        pytest.param(io.StringIO, None, False, id="pipe"),
    ],
)
def test_colour_is_only_for_terminals(
    out: type[io.StringIO], no_color: str | None, coloured: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """no-color.org: NO_COLOR turns it off if it is not empty."""
    if no_color is None:
        monkeypatch.delenv("NO_COLOR", raising=False)
    else:
        monkeypatch.setenv("NO_COLOR", no_color)
    stream = out()
    demo.DemoOutput(stream).check("fact", 1, 1)
    assert ("\x1b" in stream.getvalue()) is coloured
    assert "fact: 1" in stream.getvalue()

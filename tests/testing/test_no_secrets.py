"""`assert_no_secrets`: each kind of output, and messages without the secret."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import seic
from seic.testing import MockProvider, assert_no_secrets

_SECRET = "a/secret+of=the&test"


def _log(_: Path) -> None:
    logging.getLogger("app").warning("call", extra={"url": f"https://x/?p={_SECRET}"})


def _print(_: Path) -> None:
    sys.stderr.write(_SECRET.encode().hex())


_ERROR = KeyError(_SECRET)
_LEAKS: list[tuple[str, Callable[[Path], Any], str]] = [
    ("caplog", _log, "log of app: secret 1 (as it is)"),
    ("capsys", _print, "stderr: secret 1 (hex)"),
    ("error", lambda _: _ERROR, "repr of KeyError: secret 1 (as it is)"),
    ("file", lambda path: (path.write_text(_SECRET), path)[1], "log.txt: secret 1 (as it is)"),
    ("text", lambda _: f"x{_SECRET}x", "text: secret 1 (as it is)"),
    ("object", lambda _: {"p": _SECRET.encode()}, "repr of dict: secret 1 (as it is)"),
]


@pytest.mark.parametrize(("_name", "leak", "message"), _LEAKS, ids=[name for name, _, _ in _LEAKS])
def test_each_leak_is_found(
    _name: str,
    leak: Callable[[Path], Any],
    message: str,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """Without it, the same outputs pass."""
    assert_no_secrets(caplog, capsys, secrets=[_SECRET])
    output = leak(tmp_path / "log.txt")
    with pytest.raises(AssertionError) as caught:
        assert_no_secrets(caplog, capsys, output, secrets=[_SECRET])

    assert message in str(caught.value)
    assert _SECRET not in str(caught.value)


async def test_seic_itself_shows_no_secret(
    seic_mock: MockProvider, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """A refusal, at the most detailed level."""
    caplog.set_level(1)
    seic_mock.fail_tokens(401)
    async with seic.AsyncClient(seic_mock.config()) as client:
        with pytest.raises(seic.TokenRequestRefused) as caught:
            await client.token()
        assert_no_secrets(caplog, capsys, caught.value, client, client.stats, secrets=seic_mock.secrets)


@pytest.mark.parametrize("secrets", [[], ["short"]], ids=["none", "too short"])
def test_a_check_that_cannot_fail_is_refused(secrets: list[str]) -> None:
    """No secrets, or one that any text may contain."""
    with pytest.raises(ValueError, match="found"):
        assert_no_secrets("text", secrets=secrets)

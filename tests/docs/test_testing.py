"""docs/testing.md and the test in the README: each block is a file of tests that passes."""

from __future__ import annotations

import re

import pytest

from seic.sandbox import Sandbox
from tests._support.documents import ROOT, set_environment

_TEXT = "".join((ROOT / name).read_text(encoding="utf-8") for name in ("docs/testing.md", "README.md"))
_FENCES = re.findall(r"^```python\n(.*?)^```", _TEXT, re.MULTILINE | re.DOTALL)
_BLOCKS = [block for block in _FENCES if "def test_" in block]
_SETTINGS = """
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
filterwarnings = error
"""
_OPTIONS = ("--disable-plugin-autoload", "-p", "pytest_seic", "-p", "no:cacheprovider", "-p", "pytest_asyncio.plugin")


def test_the_blocks_pass(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each block with a test; that of recordings is recorded first."""
    pytester.makeini(_SETTINGS)
    pytester.makepyfile(**{f"test_block_{number}": block for number, block in enumerate(_BLOCKS)})
    (recorded,) = (number for number, block in enumerate(_BLOCKS) if "seic_recording" in block)
    with Sandbox() as sandbox:
        set_environment(sandbox, monkeypatch)
        first = pytester.runpytest_subprocess(*_OPTIONS, "--seic-record", f"test_block_{recorded}.py")
    first.assert_outcomes(passed=1)
    result = pytester.runpytest_subprocess(*_OPTIONS)

    # One has four rows.
    result.assert_outcomes(passed=sum(block.count("def test_") for block in _BLOCKS) + 3)
    assert "".join(_BLOCKS).count("def test_") == _TEXT.count("def test_")

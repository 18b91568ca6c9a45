"""docs/testing.md and the test in the README: each block is a file of tests that passes."""

from __future__ import annotations

import re

import pytest

from tests._support.documents import ROOT

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


def test_the_blocks_pass(pytester: pytest.Pytester) -> None:
    """None is skipped, and each has a test."""
    pytester.makeini(_SETTINGS)
    pytester.makepyfile(**{f"test_block_{number}": block for number, block in enumerate(_BLOCKS)})
    result = pytester.runpytest_subprocess(*_OPTIONS)

    # One has four rows.
    result.assert_outcomes(passed=sum(block.count("def test_") for block in _BLOCKS) + 3)
    assert "".join(_BLOCKS).count("def test_") == _TEXT.count("def test_")

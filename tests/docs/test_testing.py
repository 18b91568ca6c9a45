"""docs/testing.md: each block is a file of tests that passes, in a run of its own with the plugin."""

from __future__ import annotations

import re

import pytest

from tests._support.documents import ROOT

_TEXT = (ROOT / "docs/testing.md").read_text(encoding="utf-8")
_BLOCKS = re.findall(r"^```python\n(.*?)^```", _TEXT, re.MULTILINE | re.DOTALL)
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

    result.assert_outcomes(passed=sum(block.count("def test_") for block in _BLOCKS))

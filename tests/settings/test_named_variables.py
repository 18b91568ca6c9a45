"""Variables that messages and documents name: each of them exists."""

from __future__ import annotations

import re

import pytest

import seic
from tests._support.documents import ROOT

#: It names variables that do not exist, to say what to use in their place.
_ABOUT_OTHERS = {"src/seic/_setting_names.py"}
_NAME = re.compile(r"\bSEIC_[A-Z]+(?:_[A-Z]+)*\b(?![_*…])")


def _named() -> dict[str, str]:
    files = [*ROOT.glob("src/seic/**/*.py"), *ROOT.glob("docs/*.md"), ROOT / "README.md"]
    places = ((path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")) for path in files)
    return {name: where for where, text in places if where not in _ABOUT_OTHERS for name in _NAME.findall(text)}


@pytest.mark.parametrize("name", sorted(_named()))
def test_a_named_variable_exists(name: str) -> None:
    """A person who follows the message or the document must not meet an unknown variable."""
    with pytest.raises((seic.ConfigurationError, seic.CertificateError)) as raised:
        seic.Config.from_env({name: "/nonexistent"})

    assert "unknown variable" not in str(raised.value), _named()[name]

"""The vocabulary of docstrings, comments, messages and documents: plain technical English."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests._support.documents import ROOT

#: Patterns that are not used, and the plain words to use instead.
WORDS = {
    r"\bwho(?:m|so)?ever\b": "if, any caller",
    r"\banew\b": "again",
    r"\b(?:far|near)[- ]sides?\b": "server, client",
    r"\b(?:stands?|stood)\b": "is",
    r"\bstate[sd]\b(?! in RFC)": "set",
    r"\bbesides?\b": "with, next to, also",
    r"\berrands?\b": "request",
    r"\blest\b": "so that ... not",
    r"(?<!there )\bis no (?!longer\b|more\b)": "is not",
    r"\b(?:hand|hands|handed) on\b": "return, pass",
    r"\btold of\b|\btells? of\b": "reported, logged",
    r"\bspeaks? of\b": "name, reject",
    r"\blook(?:s|ed|ing)? after\b": "manage, check",
    r"\bgo(?:es)? along\b": "is sent with",
    r"\bone'?s own\b": "custom, your own",
    r"\bin vain\b": "without result",
    r"\bsits? out\b": "wait",
    r"\b(?:guests?|shy|bury|buried)\b": "a term without a metaphor",
    r"\b(?:doors?|rooms?)\b": "integration, layer",
    r"\btext that is not empty\b": "non-empty string",
}
_WORDS = {re.compile(pattern, re.IGNORECASE): plain for pattern, plain in WORDS.items()}
_OPENS_WITH_PRONOUN = re.compile(r"(?:what|who|whoever|whom|whose|where|how)\b", re.IGNORECASE)
_SOURCES = sorted((ROOT / "src").rglob("*.py"))
_OTHERS = [ROOT / "noxfile.py", ROOT / "pyproject.toml", ROOT / ".ci/run", ROOT / "certs-sample/mint.py"]
_DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "certs-sample/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
_EXAMPLES = sorted((ROOT / "docs").rglob("*.py"))
#: Files that are not rewritten yet.
_PENDING = frozenset((Path(__file__).parent / "style_pending.txt").read_text(encoding="utf-8").split())


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _params(paths: list[Path]) -> list[object]:
    return [pytest.param(path, id=_name(path)) for path in paths if _name(path) not in _PENDING]


def _docstrings(source: str) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield node.body[0].lineno, text


def _comments(source: str) -> Iterator[tuple[int, str]]:
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string.lstrip("#: ")


@pytest.mark.parametrize("path", _params([*_SOURCES, *_OTHERS, *_DOCUMENTS, *_EXAMPLES]))
def test_a_file_uses_plain_words(path: Path) -> None:
    """A phrase of the list has a plain alternative."""
    found = [
        f"{_name(path)}:{number}: {match.group().strip()!r}; use: {plain}"
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        for pattern, plain in _WORDS.items()
        for match in pattern.finditer(line)
    ]

    assert not found, "\n".join(found)


@pytest.mark.parametrize("path", _params([*_SOURCES, *_EXAMPLES]))
def test_no_docstring_or_comment_opens_with_a_pronoun(path: Path) -> None:
    """It says what a thing is or does: "Return ...", "A value that ...", not "What ..."."""
    source = path.read_text(encoding="utf-8")
    found = [
        f"{_name(path)}:{number}: {text.splitlines()[0]}"
        for number, text in (*_docstrings(source), *_comments(source))
        if _OPENS_WITH_PRONOUN.match(text)
    ]

    assert not found, "\n".join(found)


@pytest.mark.parametrize("path", _params(_DOCUMENTS))
def test_headings_are_terms_that_people_search_for(path: Path) -> None:
    """A heading names its subject: no question, no pronoun at its start."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)

    assert headings
    for heading in headings:
        assert not _OPENS_WITH_PRONOUN.match(heading), heading
        assert not heading.endswith("?"), heading
        assert len(heading.split()) <= 9, heading


@pytest.mark.parametrize("path", _params(_DOCUMENTS))
def test_every_link_leads_somewhere(path: Path) -> None:
    """A relative link has its file, and a link to a heading has its heading."""
    for file, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", path.read_text(encoding="utf-8")):
        target = (path.parent / file).resolve() if file else path
        assert target.exists(), file
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {_anchor(heading) for heading in headings}, f"{file}#{anchor}"


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")

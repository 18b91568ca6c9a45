"""The vocabulary of docstrings, comments, messages and documents: plain technical English."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

from tests._support.documents import ROOT

#: Patterns that are not used, each with a text that every match contains, and the plain words to use instead.
WORDS = [
    ("ever", r"\bwho(?:m|so)?ever\b", "if, any caller"),
    ("anew", r"\banew\b", "again"),
    ("side", r"\b(?:far|near)[- ]sides?\b", "server, client"),
    ("stand", r"\bstands?\b", "is"),
    ("stood", r"\bstood\b", "was"),
    ("state", r"\bstated\b|\bstates (?:a|the|what|that|each|which|everything)\b", "set"),
    ("beside", r"\bbesides?\b", "with, next to, also"),
    ("errand", r"\berrands?\b", "request"),
    ("lest", r"\blest\b", "so that ... not"),
    ("is no", r"(?<!there )\bis no (?!longer\b|more\b)", "is not"),
    ("hand", r"\b(?:hand|hands|handed) on\b", "return, pass"),
    ("told of", r"\btold of\b", "reported, logged"),
    ("tell", r"\btells? of\b", "report, log"),
    ("speak", r"\bspeaks? of\b", "name, reject"),
    ("look", r"\blook(?:s|ed|ing)? after\b", "manage, check"),
    ("along", r"\bgo(?:es)? along\b", "is sent with"),
    ("own", r"\bone'?s own\b", "custom, your own"),
    ("in vain", r"\bin vain\b", "without result"),
    ("sit", r"\bsits? out\b", "wait"),
    ("guest", r"\bguests?\b", "a term without a metaphor"),
    ("shy", r"\bshy\b", "masked"),
    ("bur", r"\b(?:bury|buried)\b", "abandon"),
    ("oo", r"\b(?:doors?|rooms?)\b", "integration, layer"),
    ("not empty", r"\btext that is not empty\b", "non-empty string"),
]
#: Also the description of an argument, which follows a colon.
_SENTENCE_WITH_PRONOUN = re.compile(r"(?:[.;:!]\s+)(?:What|Who|Whoever|Whom|Whose|Where|How)\b(?!.*\?)")
_OPENS_WITH_PRONOUN = re.compile(r"(?:what|who|whoever|whom|whose|where|how)\b", re.IGNORECASE)
#: A comment on its own line, or after two spaces.
_COMMENT = re.compile(r"(?:^ *|  )#:? (.*)$")
_SOURCES = [*sorted((ROOT / "src").rglob("*.py")), *sorted((ROOT / "docs").rglob("*.py"))]
_OTHERS = [ROOT / "noxfile.py", ROOT / "pyproject.toml", ROOT / ".ci/run", ROOT / "certs-sample/mint.py"]
_DOCUMENTS = [
    *(
        ROOT / name
        for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "certs-sample/README.md")
    ),
    *sorted((ROOT / "docs").rglob("*.md")),
]
_TESTS = [path for path in sorted((ROOT / "tests").rglob("*.py")) if path != Path(__file__)]
Line: TypeAlias = "tuple[int, str]"


def _files(paths: Iterable[Path]) -> Iterator[tuple[str, Path]]:
    for path in paths:
        yield path.relative_to(ROOT).as_posix(), path


def _lines(path: Path) -> list[Line]:
    return list(enumerate(path.read_text(encoding="utf-8").splitlines(), 1))


@functools.cache
def _prose(path: Path) -> list[Line]:
    """Return the docstrings and comments of a module, with their lines."""
    # Comments by an expression: `tokenize` takes seconds for the whole project.
    found = [(number, match.group(1)) for number, line in _lines(path) if (match := _COMMENT.search(line))]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                found.append((node.body[0].lineno, text))
    return found


def _unplain(name: str, lines: list[Line]) -> Iterator[str]:
    for number, line in lines:
        small = line.lower()
        for part, pattern, plain in WORDS:
            if part in small:
                for match in re.finditer(pattern, small):
                    yield f"{name}:{number}: {match.group().strip()!r}; use: {plain}"


def test_files_use_plain_words() -> None:
    """A phrase of the list has a plain alternative. Data of tests may contain anything."""
    found = [
        *(line for name, path in _files([*_SOURCES, *_OTHERS, *_DOCUMENTS]) for line in _unplain(name, _lines(path))),
        *(line for name, path in _files(_TESTS) for line in _unplain(name, _prose(path))),
    ]

    assert not found, "\n".join(found)


def test_no_sentence_of_code_opens_with_a_pronoun() -> None:
    """A docstring or comment says what a thing is or does: "Return ...", "A value that ...", not "What ..."."""
    found = [
        f"{name}:{number}: {text.splitlines()[0]}"
        for name, path in _files([*_SOURCES, *_TESTS])
        for number, text in _prose(path)
        if _OPENS_WITH_PRONOUN.match(text) or _SENTENCE_WITH_PRONOUN.search(text)
    ]

    assert not found, "\n".join(found)


def test_headings_are_terms_that_people_search_for() -> None:
    """A heading names its subject: no question, no pronoun at its start."""
    for name, path in _files(_DOCUMENTS):
        text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
        headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)

        assert headings, name
        for heading in headings:
            assert not _OPENS_WITH_PRONOUN.match(heading), f"{name}: {heading}"
            assert not heading.endswith("?"), f"{name}: {heading}"
            assert len(heading.split()) <= 9, f"{name}: {heading}"


def test_every_link_leads_somewhere() -> None:
    """A relative link has its file, and a link to a heading has its heading."""
    for name, path in _files(_DOCUMENTS):
        for file, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", path.read_text(encoding="utf-8")):
            target = (path.parent / file).resolve() if file else path
            assert target.exists(), f"{name}: {file}"
            if anchor:
                headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.MULTILINE)
                assert anchor in {_anchor(heading) for heading in headings}, f"{name}: {file}#{anchor}"


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")

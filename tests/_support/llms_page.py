"""Makes llms.txt: the pages of the site with their first sentences, for language models (llmstxt.org)."""

from __future__ import annotations

import re
from collections.abc import Iterable

_FRONT = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)


def llms_text(title: str, about: str, sections: Iterable[tuple[str, list[tuple[str, str, str]]]]) -> str:
    """Return the file.

    Args:
        title: The name of the site.
        about: Its description.
        sections: The heading of each section, and for each of its pages: title, address, and text in Markdown.
    """
    parts = [f"# {title}\n\n> {about}\n"]
    for heading, pages in sections:
        rows = [f"- [{name}]({address}): {_first_sentence(text)}" for name, address, text in pages]
        parts.append(f"\n## {heading}\n\n" + "\n".join(rows) + "\n")
    return "".join(parts)


def _first_sentence(text: str) -> str:
    """Return the first sentence below the title, without blocks and the marks of Markdown."""
    prose = re.sub(r"<!--.*?-->|^```.*?^```", "", _FRONT.sub("", text), flags=re.DOTALL | re.MULTILINE)
    body = prose.strip().partition("\n")[2].strip()
    paragraph = " ".join(body.partition("\n\n")[0].split())
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", paragraph)
    return re.split(r"(?<=[.])\s", plain)[0]

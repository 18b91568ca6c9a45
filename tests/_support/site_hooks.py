"""Hooks of the documentation site: the files next to docs/ become pages, and links to other files become text.

The Markdown files keep the links that work on GitHub. mkdocs knows only files in docs/.
"""

from __future__ import annotations

import posixpath
import re
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.nav import Navigation
from mkdocs.structure.pages import Page

# mkdocs loads this file by its path.
sys.path.insert(0, str(Path(__file__).parent.parent.parent))
from tests._support.llms_page import llms_text

_ROOT = Path(__file__).parent.parent.parent
#: Files of the repository, and their pages.
PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "certs-sample/README.md": "certs-sample.md",
}
#: Pages that come first in the search: an error text has words that many pages have.
_BOOSTS = {"settings.md": 4, "troubleshooting.md": 24}
#: Pages with wide tables, which take the place of the table of contents.
_WIDE = ("settings.md",)
#: A link in Markdown to a file: its text, the file, and the heading if there is one.
_LINK = re.compile(r"(?<!!)\[((?:[^\[\]]|\[[^\]]*\])*)\]\((?!https?:|mailto:|#)([^)#\s]+)(#[^)]*)?\)")
#: The name of a setting, which its own page explains.
_SETTING = re.compile(r"<code>(?=SEIC_)")
_FENCE = re.compile(r"(^```.*?^```)", re.MULTILINE | re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of files that are next to docs/."""
    for name, page in PAGES.items():
        if (_ROOT / name).exists():
            files.append(File.generated(config, page, content=(_ROOT / name).read_text(encoding="utf-8")))
    return files


def on_page_content(html: str, page: Page, **_: object) -> str:
    """Leave the names of settings in remedies out of the search, so that it finds the page of settings."""
    return _SETTING.sub("<code data-search-exclude>", html) if page.file.src_uri == "troubleshooting.md" else html


def on_page_markdown(markdown: str, page: Page, files: Files, **_: object) -> str:
    """Change links from places in the repository to places in the site."""
    if (boost := _BOOSTS.get(page.file.src_uri)) is not None:
        page.meta["search"] = {"boost": boost}
    if page.file.src_uri in _WIDE:
        page.meta["hide"] = ["toc"]
    source = next((name for name, there in PAGES.items() if there == page.file.src_uri), f"docs/{page.file.src_uri}")

    def link(match: re.Match[str]) -> str:
        text, target, heading = match.group(1), match.group(2), match.group(3) or ""
        place = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        there = PAGES.get(place, place.removeprefix("docs/"))
        if place not in PAGES and not place.startswith("docs/") and (_ROOT / place).exists():
            return text  # a file of the repository that is not in the site
        here = posixpath.dirname(page.file.src_uri)
        return f"[{text}]({posixpath.relpath(there, here or '.')}{heading})"

    parts = _FENCE.split(markdown)
    return "".join(part if part.startswith("```") else _LINK.sub(link, part) for part in parts)


def on_post_build(config: MkDocsConfig, **_: object) -> None:
    """Write llms.txt, next to the pages."""
    sections: dict[str, list[tuple[str, str, str]]] = {}
    for page in _nav[0].pages:
        section = str([*page.ancestors][-1].title) if page.ancestors else "Overview"
        sections.setdefault(section, []).append((str(page.title), page.url, page.markdown or ""))
    text = llms_text(config.site_name, config.site_description or "", sections.items())
    Path(config.site_dir, "llms.txt").write_text(text, encoding="utf-8")


_nav: list[Navigation] = []


def on_nav(nav: Navigation, **_: object) -> Navigation:
    """Keep the navigation, for llms.txt."""
    _nav[:] = [nav]
    return nav

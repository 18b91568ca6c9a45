"""llms.txt: a section for each part of the site, and the first sentence of each page."""

from __future__ import annotations

from tests._support.llms_page import llms_text

_PAGE = """\
---
search:
  boost: 4
---

# Errors

<!-- Written by a script. -->

```sh
seic doctor
```

Every error is a [`seic.SeicError`](seic.md). Its message says
more.
"""


def test_a_page_is_a_line() -> None:
    """Front matter, comments, blocks and links are left out."""
    made = llms_text("seic", "Tokens", [("Reference", [("Errors", "reference/errors.html", _PAGE)])])

    assert made == (
        "# seic\n\n> Tokens\n\n## Reference\n\n- [Errors](reference/errors.html): Every error is a `seic.SeicError`.\n"
    )

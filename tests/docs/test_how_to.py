"""docs/how-to/: pages with files and commands are followed; the blocks of all pages run alone in test_pasted.py."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

import seic
from seic.sandbox import Sandbox
from tests._support.documents import ROOT, set_environment
from tests._support.walkthrough import Walkthrough, is_shown

_FOLDER = ROOT / "docs" / "how-to"
_FOLLOWED = ["openapi", "gunicorn", "mcp"]


@pytest.mark.parametrize("page", _FOLLOWED)
def test_a_page_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: str) -> None:
    """Each output that it shows is the output of its commands."""
    with Sandbox() as sandbox:
        environment = set_environment(sandbox, monkeypatch) if page != "mcp" else {}  # it starts a sandbox of its own
        with Walkthrough(tmp_path, environment) as reader:
            outputs = list(reader.follow(_FOLDER / f"{page}.md"))
    assert outputs
    for shown, said in outputs:
        assert is_shown(shown, said), f"shown:\n{shown}\nsaid:\n{said}"


def test_a_generated_client_of_urllib3_renews_its_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The subclass on the page sends a rejected request again, and presents the certificate."""
    with Sandbox() as sandbox:
        with Walkthrough(tmp_path, set_environment(sandbox, monkeypatch)) as reader:
            list(reader.follow(_FOLDER / "openapi.md"))
        for folder in (tmp_path, tmp_path / "client"):
            monkeypatch.syspath_prepend(folder)
        client = importlib.import_module("seic_client").SeicClient
        auth = seic.OAuth2Auth(sandbox.config(certificate=True))
        api = importlib.import_module("accounts_client").AccountsApi(client(auth))
        for _ in range(2):
            assert len(api.list_accounts(limit=2).accounts) == 2
            sandbox.revoke_all()
        assert auth.stats.token_requests == 2
        assert sandbox.received(path="/v1/investments/accounts")[-1].common_name == sandbox.username
        auth.close()


def test_each_page_has_a_task_and_its_problems() -> None:
    """A block to start from, and the part about what can go wrong; a page with files is followed."""
    for path in _FOLDER.glob("*.md"):
        text = path.read_text(encoding="utf-8")
        assert re.search(r"^```(python|sh|yaml)$", text, re.MULTILINE), path.name
        assert re.search(r"^## (Problems|Five failures)", text, re.MULTILINE), path.name
        assert (path.stem in _FOLLOWED) == bool(re.search(r"^```python\n# \w+\.py$", text, re.MULTILINE)), path.name

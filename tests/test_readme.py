"""The README: its examples, its first screen, its commands and links."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from seic.sandbox import Sandbox
from tests._support.documents import ROOT, run_blocks, set_environment
from tests._support.walkthrough import Walkthrough

_README = ROOT / "README.md"
_ONE_SCREEN = 55  # lines, of at most 100 columns without the targets of links


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """Set the variables of the examples, for a sandbox as the provider."""
    for name in [name for name in os.environ if name.startswith("SEIC_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    with Sandbox(username="svc-user") as sandbox:
        set_environment(sandbox, monkeypatch)
        yield sandbox


def test_every_python_block_runs(reader: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    """The blocks run in order in one namespace; `test_accounts` is run by tests/docs/test_testing.py."""
    run_blocks("README.md")

    assert reader.counts.api.api_calls == 1
    assert "Sample account 1" in capsys.readouterr().out


def test_the_commands_get_a_token(tmp_path: Path) -> None:
    """The first block, without the installation, prints a token."""
    with Walkthrough(tmp_path) as shell:
        said = shell.run(re.findall(r"```sh\n(.*?)```", _README.read_text(encoding="utf-8"), re.DOTALL)[0])

    assert re.fullmatch(r"[\w.~+/=-]{16,}\n", said)


def test_the_readme_is_one_screen() -> None:
    """Installation, an example and the comparison come before the links to all pages."""
    text = _README.read_text(encoding="utf-8")
    first, heading, links = text.partition("\n## Documentation\n")

    assert heading
    assert "(docs/pages.md)" in links
    assert len(text.splitlines()) <= _ONE_SCREEN
    assert not [line for line in re.sub(r"\]\([^)]+\)", "]", text).splitlines() if len(line) > 100]
    for part in ("pip install", "AsyncClient.from_env()", "SEIC_CERTIFICATE", "| only here |"):
        assert part in first


def test_the_list_of_pages_is_complete() -> None:
    """docs/pages.md links to each page that the site's navigation has."""
    listed = (ROOT / "docs" / "pages.md").read_text(encoding="utf-8")
    pages = [path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")]
    missing = [page for page in pages if f"]({page}" not in listed]

    assert [page for page in missing if not page.startswith("providers/")] == ["pages.md"]


def test_each_claim_has_a_test() -> None:
    """The third column of the table links to a file of tests."""
    rows = re.findall(
        r"^\| .+ \| .+ \| \[.+\]\((tests/.+\.py)\) \|$", _README.read_text(encoding="utf-8"), re.MULTILINE
    )

    assert len(rows) == 4
    for file in rows:
        assert (ROOT / file).exists(), file


@pytest.mark.parametrize(
    "file",
    [
        "README.md",
        "docs/fastapi.md",
        "docs/observability.md",
        "docs/examples/README.md",
        "docs/tutorial/first-call.md",
        "docs/tutorial/fastapi.md",
        "docs/tutorial/two-processes.md",
    ],
)
def test_the_commands_install_from_the_clone(file: str) -> None:
    """There is no release yet; the extras of the commands exist."""
    text = (ROOT / file).read_text(encoding="utf-8")
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL))
    commands = re.findall(r"^(?:python -m )?pip install (?!nox)(\S+)", blocks, re.MULTILINE)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert commands
    for command in commands:
        source, _, extras = command.strip('"').rstrip("]").partition("[")
        assert source == "."
        assert {extra for extra in extras.split(",") if extra} <= set(project["optional-dependencies"])


def test_ci_runs_the_readmes_own_command() -> None:
    """README and CI have the same command for the tests."""
    command = "python -m pip install nox && nox -s tests"

    assert command in _README.read_text(encoding="utf-8")
    assert command in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "file", ["README.md", "CONTRIBUTING.md", "certs-sample/README.md", "docs/architecture.md", "docs/versions.md"]
)
def test_every_session_in_the_documentation_exists(file: str) -> None:
    """Each `nox -s` command has a session in the noxfile."""
    told = set(re.findall(r"nox -s (\w+)", (ROOT / file).read_text(encoding="utf-8")))
    known = set(
        re.findall(r"^def ([a-z]\w*)\(session", (ROOT / "noxfile.py").read_text(encoding="utf-8"), re.MULTILINE)
    )

    assert told
    assert told <= known

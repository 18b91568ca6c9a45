"""`seic request --all` and `--jq`: the items of all pages, and what an expression of jq selects."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from seic.sandbox import Sandbox
from tests._support.command import environment, run, variables_of
from tests._support.file_server import FileServer
from tests._support.sandbox_client import ACCOUNTS_PATH

_JSON = {"Content-Type": "application/json"}


@pytest.fixture
def paged(env: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Set the names of the sandbox's cursor."""
    env.setenv("SEIC_PAGE_CURSOR_FIELD", "nextCursor")
    env.setenv("SEIC_PAGE_CURSOR_PARAMETER", "cursor")
    return env


@pytest.fixture(params=["package", "program"])
def jq(request: pytest.FixtureRequest, env: pytest.MonkeyPatch) -> None:
    """Evaluate by the package, or as without it by the program."""
    if request.param == "program":
        if shutil.which("jq") is None:
            pytest.skip("jq is not installed")
        env.setitem(sys.modules, "jq", None)
    else:
        env.setenv("PATH", "/nowhere")


def test_all_items_are_one_array(paged: pytest.MonkeyPatch) -> None:
    """Of all pages, with each item on a line of its own."""
    got = run("request", "GET", ACCOUNTS_PATH, "-q", "limit=50", "--all")
    items = json.loads(got.out)

    assert got.code == 0
    assert got.err == ""
    assert [item["externalId"] for item in items] == [f"ACC-{number:04}" for number in range(1, 121)]
    assert [json.loads(line.rstrip(",")) for line in got.out.splitlines()[1:-1]] == items


def test_at_a_terminal_items_are_indented(paged: pytest.MonkeyPatch) -> None:
    """The progress is on stderr, and does not mix with them."""
    shown = run("request", "GET", ACCOUNTS_PATH, "-q", "limit=50", "--all", at_terminal=True)

    assert len(json.loads(shown.out)) == 120
    assert '\n  "externalId": "ACC-0001"' in shown.out
    assert "pages: 2" in shown.err


def test_an_expression(paged: pytest.MonkeyPatch, jq: None) -> None:
    """A string is printed as it is, any other value as JSON on one line; with --all from each page."""
    one = run("request", "GET", ACCOUNTS_PATH, "-q", "limit=2", "--jq", ".accounts[] | .externalId, {name}")
    every = run("request", "GET", ACCOUNTS_PATH, "-q", "limit=50", "--all", "--jq", ".accounts[].externalId # ids")
    nothing = run("request", "GET", ACCOUNTS_PATH, "--jq", "empty")

    assert one.out == 'ACC-0001\n{"name":"Sample account 1"}\nACC-0002\n{"name":"Sample account 2"}\n'
    assert every.out.split() == [f"ACC-{number:04}" for number in range(1, 121)]
    assert (nothing.code, nothing.out) == (0, "")


def test_a_wrong_expression(env: pytest.MonkeyPatch, sandbox: Sandbox, jq: None) -> None:
    """One that is malformed is refused before the request; one that does not fit, after it."""
    before = sandbox.counts.mtls.connections
    malformed = run("request", "POST", ACCOUNTS_PATH, "--jq", ".accounts[")
    assert sandbox.counts.mtls.connections == before
    unfit = run("request", "GET", ACCOUNTS_PATH, "--jq", ".accounts.name")

    assert (malformed.code, unfit.code) == (3, 3)
    assert malformed.err.startswith("seic: --jq: syntax error")
    assert unfit.err.startswith("seic: --jq: Cannot index array with ")
    assert malformed.err.count("\n") == unfit.err.count("\n") == 1


def test_numbers_keep_their_digits(files: FileServer) -> None:
    """With the package: 2**53 + 1 is not a float."""
    files.replies = {"/n": (200, b'{"id": 9007199254740993, "amount": 100.10}', _JSON)}

    assert run("request", "GET", "/n", "--jq", ".id, .amount").out == "9007199254740993\n100.10\n"


def test_without_jq(env: pytest.MonkeyPatch) -> None:
    """A sentence says what to install."""
    env.setitem(sys.modules, "jq", None)
    env.setenv("PATH", "/nowhere")
    refused = run("request", "GET", ACCOUNTS_PATH, "--jq", ".")

    assert refused.code == 3
    assert 'pip install "seic[jq]", or install jq' in refused.err


def test_an_expression_over_another_body(files: FileServer) -> None:
    """The error names the type; the body of an error of the API is printed as it is."""
    files.replies = {"/html": (200, b"<html>", {"Content-Type": "text/html"})}
    html = run("request", "GET", "/html", "--jq", ".")
    absent = run("request", "GET", "/absent", "--jq", ".a")

    assert html.code == 3
    assert "/html: the body is not JSON (text/html)" in html.err
    assert absent.code == 7
    assert json.loads(absent.out) == {"error": "no such file"}


def test_pages_that_are_arrays(files: FileServer) -> None:
    """They follow each other by Link headers; an empty collection is an empty array."""
    link = {"Link": '</list?page=2>; rel="next"'}
    files.replies = {
        "/list": (200, b"[1, 2]", {**_JSON, **link}),
        "/list?page=2": (200, b"[3]", _JSON),
        "/none": (200, b"[]", _JSON),
    }

    assert json.loads(run("request", "GET", "/list", "--all").out) == [1, 2, 3]
    assert run("request", "GET", "/none", "--all").out == "[]\n"


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (
            b'{"orders": [], "errors": []}',
            "its lists are orders, errors; select them, for example with --jq '.orders[]'",
        ),
        (b'{"total": 1}', "it has no list; select them, for example with --jq '.items[]'"),
        (b"1", "it has no list"),
    ],
)
def test_items_that_are_not_known(files: FileServer, body: bytes, problem: str) -> None:
    """Several lists or none: the message shows how to select them."""
    files.replies = {"/list": (200, body, _JSON)}
    refused = run("request", "GET", "/list", "--all")

    assert refused.code == 3
    assert refused.out == ""
    assert problem in refused.err


def test_an_error_on_a_later_page(files: FileServer) -> None:
    """Exit code 7; the array is not closed, so that a part is not taken for all."""
    files.replies = {"/list": (200, b"[1, 2]", {**_JSON, "Link": '</absent>; rel="next"'})}
    broken = run("request", "GET", "/list", "--all")

    assert broken.code == 7
    assert "404" in broken.err
    with pytest.raises(ValueError, match="Expecting"):
        json.loads(broken.out)


def test_a_reader_that_needs_one_page(sandbox: Sandbox, tmp_path: Path) -> None:
    """A profile can name the cursor."""
    (tmp_path / "xdg/seic").mkdir(parents=True)
    (tmp_path / "xdg/seic/config.toml").write_text(
        '[paged]\npage_cursor_field = "nextCursor"\npage_cursor_parameter = "cursor"\n'
    )
    with environment(variables_of(sandbox, tmp_path), tmp_path):
        got = run("request", "GET", ACCOUNTS_PATH, "--all", "--profile", "paged", "-q", "limit=50")

    assert len(json.loads(got.out)) == 120

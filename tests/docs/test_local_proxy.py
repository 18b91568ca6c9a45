"""docs/proxy.md: its examples in a shell and in Node, its options, and the numbers of the code."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from seic.cli._parser import build_parser
from seic.sandbox import Sandbox
from tests._support.command import environment, run, variables_of
from tests._support.documents import ROOT
from tests._support.running_proxy import RunningProxy

_TEXT = (ROOT / "docs/proxy.md").read_text(encoding="utf-8")
_START, _PORT, _SOCKET = re.findall(r"^```sh\n(.*?)^```", _TEXT, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Set the variables of a reader; the value is the folder of the shell."""
    folder = tmp_path_factory.mktemp("reader")
    with Sandbox() as sandbox, environment(variables_of(sandbox, folder), folder):
        yield folder


def _shell(script: str, folder: Path, **variables: str) -> str:
    done = subprocess.run(
        ["sh", "-ec", script],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **variables},
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_example_of_a_port(reader: Path) -> None:
    """The variables of the file are those of the second shell."""
    assert "seic proxy --port 8400 --env-file proxy.env\n" in _START
    with RunningProxy() as proxy:
        (reader / "proxy.env").write_text("".join(f"{name}={value}\n" for name, value in proxy.variables.items()))
        assert _shell(_PORT, reader).count('"accounts"') == 2


def test_the_example_of_a_socket(reader: Path) -> None:
    """Its first line runs the proxy."""
    start, call = _SOCKET.splitlines()
    assert start == 'seic proxy --unix-socket "$PWD/seic.sock"'
    with RunningProxy("--unix-socket", str(reader / "seic.sock")):
        assert '"accounts"' in _shell(call, reader)


def test_the_example_of_node(reader: Path) -> None:
    """As a module, which may await."""
    (script,) = re.findall(r"^```js\n(.*?)^```", _TEXT, re.MULTILINE | re.DOTALL)
    with RunningProxy() as proxy:
        variables = proxy.variables
        (reader / "call.mjs").write_text(script)
        assert _shell("node call.mjs", reader, **variables) == "200\n"


def test_each_option_is_listed() -> None:
    """Those of the help, and no others."""
    helped = run("proxy", "--help").out.partition("options of all commands")[0]
    options = set(re.findall(r"(--[a-z-]+)", helped.partition("options:")[2])) - {"--help"}

    assert set(re.findall(r"^\| `(--[a-z-]+)", _TEXT, re.MULTILINE)) == options


def test_the_defaults_are_those_of_the_code() -> None:
    """The limits of the options."""
    options = build_parser().parse_args(["proxy"])

    for text in (
        f"by default `{options.address}`",
        f"from the host, by default {options.timeout:g}",
        f"connections to the host, by default {options.connections}",
        f"after SIGTERM, by default {options.grace:g}",
    ):
        assert text in _TEXT

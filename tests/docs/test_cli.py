"""docs/cli.md: its commands run, or at least exist; its options, exit codes and forms are those of the program."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from seic.cli._exit_code import ExitCode
from seic.cli._parser import parse
from seic.sandbox import Sandbox
from tests._support.command import environment, run, variables_of
from tests._support.documents import ROOT

_PAGE = (ROOT / "docs/cli.md").read_text(encoding="utf-8")
_LINES = [
    re.sub(r"\s+#.*", "", line)
    for block in re.findall(r"^```sh\n(.*?)^```", _PAGE, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
    if "seic" in line and not line.startswith(("pip", "export"))
]
#: Commands that a test of docs does not run, by a part of each, and the reason.
_NOT_RUN = {
    "seic sandbox": "it runs until it is stopped",
    "seic login": "somebody has to log in",
    "--login": "as above",
    "seic config init": "it asks",
    "kubectl": "there is no cluster",
    "mtls.api.seic.com": "it is not on this machine",
    "fpath": "a variable of zsh",
    "completions/seic.fish": "it is for fish",
    "/v1/orders": "the sandbox has no such API",
    "/v1/reports": "the sandbox has no such API",
}

#: Exit codes other than 0: the certificate needs no renewal, and the gateway has no such call.
_CODES = {"certs check": 1, "seic token info": 3}


def _reason(line: str) -> str | None:
    return next((reason for part, reason in _NOT_RUN.items() if part in line), None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Set the variables of a reader in a folder with the files that the page names."""
    place = tmp_path_factory.mktemp("reader")
    with Sandbox(username="svc-user") as sandbox:
        variables = variables_of(sandbox, place)
        variables |= {"SEIC_PAGE_CURSOR_FIELD": "nextCursor", "SEIC_PAGE_CURSOR_PARAMETER": "cursor"}
        variables |= {"SEIC_STORE": (place / "store").as_uri(), "SEIC_STORE_KEY": "k" * 32}
        with environment(variables, place) as patch:
            patch.chdir(place)
            (place / "FOLDER").mkdir()
            for name in ("client.pem", "client.key"):
                (place / "FOLDER" / name).write_bytes((place / name).read_bytes())
            (place / "passphrase").write_text("passphrase")
            made = ("--to", "pkcs12", "-o", "client.p12", "--new-password-file", "passphrase")
            assert run("certs", "convert", "client.pem", "--key", "client.key", *made).code == 0
            patch.setenv("SEIC_CERTIFICATE_PASSWORD_FILE", str(place / "passphrase"))
            # The page's examples write over these names.
            for name in ("client.pem", "client.key"):
                (place / f"own-{name}").write_bytes((place / name).read_bytes())
                (place / f"own-{name}").chmod(0o600)
                (place / name).unlink()
            patch.setenv("SEIC_CERTIFICATE", str(place / "own-client.pem"))
            patch.setenv("SEIC_CERTIFICATE_KEY", str(place / "own-client.key"))
            yield place


@pytest.mark.parametrize("line", [line for line in _LINES if _reason(line) is None])
def test_a_line_runs(folder: Path, line: str) -> None:
    """In bash, with the program in place of the installed command; `renew` is the reader's own."""
    for name in ("client.pem", "client.key", "client.csr"):
        (folder / name).unlink(missing_ok=True)
    shell = f'seic() {{ "{sys.executable}" -m seic "$@"; }}\nrenew() {{ :; }}\n'
    # The sandbox's certificate is of a private authority.
    line = line.replace("curl -H @-", 'curl -sS --cacert "$SEIC_CA" -H @-')
    done = subprocess.run(
        ["bash", "-c", shell + line], capture_output=True, text=True, check=False, cwd=folder, env={**os.environ}
    )

    expected = next((code for part, code in _CODES.items() if part in line), 0)
    assert done.returncode == expected, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("line", _LINES)
def test_a_line_has_right_arguments(line: str) -> None:
    """Each command and option of the page exists."""
    commands = re.findall(r"(?:^|[$]\(|\| |&& )seic ((?:[^|&)>]|&&)*)", line)
    assert commands, line
    for command in commands:
        words = shlex.split(command.split("&&")[0])
        if words == ["--help"]:
            continue
        assert parse(words).run is not None


def test_the_exit_codes_are_listed() -> None:
    """Each with its number."""
    table = _PAGE.partition("## Exit codes")[2].partition("## ")[0]
    listed = [int(number) for row in re.findall(r"^\| ([\d, ]+) \|", table, re.MULTILINE) for number in row.split(",")]

    assert listed == [code.value for code in ExitCode]


def test_each_command_is_on_the_page() -> None:
    """Those of the help."""
    helped = run("--help").out.partition("COMMAND\n")[2]
    commands = re.findall(r"^    ([a-z]+) ", helped, re.MULTILINE)

    assert len(commands) > 8
    assert [name for name in commands if f"seic {name}" not in _PAGE] == []

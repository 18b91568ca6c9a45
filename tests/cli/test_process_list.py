"""Process lists and a shell's history while each command runs: neither has a secret."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from seic.cli._parser import build_parser
from seic.sandbox import Sandbox
from tests._support.planted import Planted
from tests._support.sandbox_client import ACCOUNTS_PATH, ECHO_PATH

#: Reports the arguments of each program that the command starts, however short it runs.
_AUDITED = """
import sys
def report(event, arguments):
    if event in {"subprocess.Popen", "os.exec", "os.posix_spawn", "os.system"}:
        print("AUDIT", arguments[:2] if event == "subprocess.Popen" else arguments, file=sys.stderr)
sys.addaudithook(report)
from seic.cli import main
sys.exit(main(sys.argv[1:]))
"""
_COMMANDS = [
    "token --force",
    "token --format header",
    "token --format exec",
    "token info",
    "token revoke",
    "token purge",
    "doctor --brief --capsule report.json",
    "explain report.json",
    f"request GET {ACCOUNTS_PATH} -i",
    f"request GET {ACCOUNTS_PATH} --all --jq .accounts[].name",
    f"request POST {ECHO_PATH} -d @body -o answer.json",
    f"request GET {ACCOUNTS_PATH} --curl",
    f"curl -- -sS {ACCOUNTS_PATH}",
    "login --no-browser",
    "certs inspect client.p12 --password-file passphrase",
    "certs check",
    "certs csr --key new.key -o new.csr",
    "certs convert client.pem --key client.key --to pkcs12 -o client.p12 --new-password-file passphrase",
    "config show --all",
    "config check",
    "config path",
    "env --inline",
    "completion bash",
]
_PASSPHRASE = "pass-phrase-of-a-key"


@pytest.fixture
def planted(env: pytest.MonkeyPatch, sandbox: Sandbox, tmp_path: Path) -> Iterator[Planted]:
    """Return the secrets: of the sandbox, a passphrase, and each token."""
    (tmp_path / "passphrase").write_text(_PASSPHRASE)
    (tmp_path / "body").write_text("{}")
    env.chdir(tmp_path)
    # By the program, which is a process of its own.
    env.setenv("PYTHONPATH", str(tmp_path / "no-jq"))
    (tmp_path / "no-jq").mkdir()
    (tmp_path / "no-jq/jq.py").write_text("raise ModuleNotFoundError('jq', name='jq')\n")
    env.setenv("SEIC_PAGE_CURSOR_FIELD", "nextCursor")
    env.setenv("SEIC_PAGE_CURSOR_PARAMETER", "cursor")
    env.setenv("SEIC_STORE", (tmp_path / "tokens").as_uri())
    env.setenv("SEIC_STORE_KEY", "key-of-the-store-key-of-the-store")
    found = Planted()
    found.add("passphrase", _PASSPHRASE)
    found.add("store key", "key-of-the-store-key-of-the-store")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sandbox._registry, "issue", sandbox._registry.issue)
        found.add_sandbox(sandbox)
        yield found


def _process_list() -> Iterator[bytes]:
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            try:
                yield (process / "cmdline").read_bytes()
            except OSError:  # it has ended
                continue


def test_no_process_list_has_a_secret(planted: Planted) -> None:
    """All processes of the machine while each command runs, and each program that it starts."""
    for command in sorted(_COMMANDS, key=lambda command: "pkcs12" not in command):
        seen: set[bytes] = set()
        with subprocess.Popen(
            [sys.executable, "-c", _AUDITED, *command.split()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            while process.poll() is None:
                seen.update(_process_list())
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.02)
            assert process.stderr is not None
            errors = process.stderr.read()
        assert any(command.split()[-1].encode() in one for one in seen), command
        assert planted.find(b"\n".join(seen)) == [], command
        assert planted.find(errors) == [], command
        assert "Traceback" not in errors
        if "--jq" in command and shutil.which("jq"):
            assert "AUDIT" in errors
        if command.startswith("curl"):
            assert "--config" in errors


def test_no_history_has_a_secret(planted: Planted, tmp_path: Path) -> None:
    """Of an interactive shell, in which each command and the printed curl command run."""
    script = tmp_path / "typed"
    lines = [f"seic {command} > /dev/null" for command in _COMMANDS if command.startswith(("token", "curl"))]
    lines += ['eval "$(seic token --format env)"', f'eval "$(seic request GET {ECHO_PATH} --curl)" > echoed.json']
    program = tmp_path / "bin/seic"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m seic "$@"\n')
    program.chmod(0o755)
    script.write_text("\n".join([*lines, "exit", ""]))
    with script.open() as typed:
        subprocess.run(
            ["bash", "--norc", "--noprofile", "-i"],
            stdin=typed,
            capture_output=True,
            check=False,
            timeout=120,
            env={**os.environ, "HISTFILE": str(tmp_path / "history"), "PATH": f"{program.parent}:{os.environ['PATH']}"},
        )
    history = (tmp_path / "history").read_text()

    assert "certificate_common_name" in (tmp_path / "echoed.json").read_text()
    assert history.splitlines()[: len(lines)] == lines
    assert planted.find(history) == []


def test_no_argument_is_a_secret() -> None:
    """Each option of such a name takes the path of a file."""

    def options(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
        for action in parser._actions:
            yield action
            if isinstance(action, argparse._SubParsersAction):
                for command in action.choices.values():
                    yield from options(command)

    found = [
        action
        for action in options(build_parser())
        if action.nargs != 0
        and not action.choices
        and re.search("password|secret|token|key|phrase", " ".join(action.option_strings))
    ]
    assert found
    assert {str(action.metavar) for action in found} == {"FILE"}

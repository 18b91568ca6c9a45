"""The README: its examples, its first screen, its commands and links."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from seic.sandbox import Sandbox
from tests._support.documents import ROOT, run_blocks, set_environment

_README = ROOT / "README.md"
_ONE_SCREEN = 55  # lines of source, of which ten are fences, which are not rendered


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """Set the variables and the files of the examples, for a sandbox as the provider."""
    for name in [name for name in os.environ if name.startswith("SEIC_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    with Sandbox(username="svc-user") as sandbox:
        set_environment(sandbox, monkeypatch)
        (tmp_path / "client.pem").write_bytes(sandbox.client_certificate_pem)
        key = load_pem_private_key(sandbox.client_key_pem, None)
        encrypted = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"passphrase"))
        key_file = tmp_path / "client.key"
        key_file.touch(mode=0o600)
        key_file.write_bytes(encrypted)
        yield sandbox


def test_every_python_block_runs(reader: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    """The blocks run in order in one namespace, and call both hosts of the gateway."""
    run_blocks("README.md")

    assert reader.counts.api.api_calls == 1
    assert reader.counts.mtls.api_calls == 1 + 100
    printed = capsys.readouterr().out
    assert "Sample account 1" in printed
    assert f"{reader.mtls_url} 200" in printed
    assert "hosts.mtls: a client certificate is set, but" in printed


def test_the_first_screen_has_the_essentials() -> None:
    """Installation, an example, the figure, mutual TLS and the two commands come before the rule."""
    first, rule, _ = _README.read_text(encoding="utf-8").partition("\n---\n")

    assert rule
    assert len(first.splitlines()) <= _ONE_SCREEN
    for part in ("pip install seic", "AsyncClient.from_env()", "─►", "ClientCertificate.load", "nox -s demo"):
        assert part in first


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


@pytest.mark.parametrize("file", ["README.md", "certs-sample/README.md", "docs/architecture.md"])
def test_every_session_in_the_documentation_exists(file: str) -> None:
    """Each `nox -s` command has a session in the noxfile."""
    told = set(re.findall(r"nox -s (\w+)", (ROOT / file).read_text(encoding="utf-8")))
    known = set(
        re.findall(r"^def ([a-z]\w*)\(session", (ROOT / "noxfile.py").read_text(encoding="utf-8"), re.MULTILINE)
    )

    assert told
    assert told <= known

"""The README: its examples, its first screen, its commands and links."""

from __future__ import annotations

import ast
import asyncio
import inspect
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from sybil import Example, Sybil
from sybil.parsers.markdown import CodeBlockParser

from seic.sandbox import Sandbox

_ROOT = Path(__file__).parent.parent
_README = _ROOT / "README.md"
_ONE_SCREEN = 55  # lines of source, of which ten are fences, which are not rendered


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """Set the variables and the files of the examples, for a sandbox as the provider."""
    for name in [name for name in os.environ if name.startswith("SEIC_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    with Sandbox(username="svc-user") as sandbox:
        settings = {
            "SEIC_CLIENT_ID": sandbox.client_id,
            "SEIC_CLIENT_SECRET": sandbox.client_secret,
            "SEIC_USERNAME": sandbox.username,
            "SEIC_PASSWORD": sandbox.password,
            "SEIC_API_HOST": sandbox.api_url,
            "SEIC_MTLS_HOST": sandbox.mtls_url,
            "SEIC_CA": sandbox.ca_pem.decode(),
        }
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        (tmp_path / "client.pem").write_bytes(sandbox.client_certificate_pem)
        key = load_pem_private_key(sandbox.client_key_pem, None)
        encrypted = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"passphrase"))
        key_file = tmp_path / "client.key"
        key_file.touch(mode=0o600)
        key_file.write_bytes(encrypted)
        yield sandbox


def _evaluate(example: Example) -> None:
    """Run a block as in `python -m asyncio`, with top-level `await` and `async with`."""
    # Empty lines, so that a traceback has the line number of the README.
    source = "\n" * (example.line + example.parsed.line_offset) + example.parsed
    code = compile(source, example.path, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    result = eval(code, example.namespace)  # noqa: S307  the README of the project
    if inspect.iscoroutine(result):
        asyncio.run(result)


def test_every_python_block_runs(reader: Sandbox, capsys: pytest.CaptureFixture[str]) -> None:
    """The blocks run in order in one namespace, and call both hosts of the gateway."""
    document = Sybil(parsers=[CodeBlockParser("python", _evaluate)]).parse(_README)
    examples = list(document.examples())

    for example in examples:
        example.evaluate()

    assert len(examples) == _README.read_text(encoding="utf-8").count("```python\n")
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


def test_ci_runs_the_readmes_own_command() -> None:
    """README and CI have the same command for the tests."""
    command = "python -m pip install nox && nox -s tests"

    assert command in _README.read_text(encoding="utf-8")
    assert command in (_ROOT / ".ci" / "run").read_text(encoding="utf-8")


@pytest.mark.parametrize("file", ["README.md", "certs-sample/README.md", "docs/architecture.md"])
def test_every_session_in_the_documentation_exists(file: str) -> None:
    """Each `nox -s` command has a session in the noxfile."""
    told = set(re.findall(r"nox -s (\w+)", (_ROOT / file).read_text(encoding="utf-8")))
    known = set(
        re.findall(r"^def ([a-z]\w*)\(session", (_ROOT / "noxfile.py").read_text(encoding="utf-8"), re.MULTILINE)
    )

    assert told
    assert told <= known


@pytest.mark.parametrize("file", ["README.md", "CHANGELOG.md", "certs-sample/README.md", "docs/architecture.md"])
def test_every_relative_link_leads_somewhere(file: str) -> None:
    """A link to a file of the project finds it."""
    text = (_ROOT / file).read_text(encoding="utf-8")

    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
        assert ((_ROOT / file).parent / target).exists(), target

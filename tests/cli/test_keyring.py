"""`seic config init` with the system's keyring: the profile has commands in place of secrets, and works."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from seic.sandbox import Sandbox
from tests._support.command import converse, run, variables_of
from tests._support.documents import ROOT
from tests._support.planted import Planted


@pytest.fixture
def answers(env: pytest.MonkeyPatch, sandbox: Sandbox, tmp_path: Path) -> list[tuple[str, str]]:
    """Return the answers of a user of the sandbox, without variables; the place of secrets is open."""
    for name in variables_of(sandbox, tmp_path):
        env.delenv(name)
    env.setenv("SEIC_CA", str(tmp_path / "ca.pem"))
    env.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return [
        ("[sei-gateway]:", ""),
        ("[production]:", "test"),
        ("(mtls.example.com:444):", sandbox.mtls_url.removeprefix("https://")),
        ("Client id (the AppKey):", sandbox.client_id),
        ("(the AppSecret; not shown):", sandbox.client_secret),
        ("Service account:", sandbox.username),
        ("Its password (not shown):", sandbox.password),
        ("if there is one:", str(tmp_path / "client.pem")),
        ("in another file:", str(tmp_path / "client.key")),
        ("if it has one (not shown):", ""),
        ("of a Redis [file]:", ""),
        ("empty for a new one):", ""),
    ]


@pytest.mark.usefixtures("keyring")
def test_secrets_in_the_keyring(answers: list[tuple[str, str]], sandbox: Sandbox, tmp_path: Path) -> None:
    """No file has one, and each command reads them from the keyring, the key of the store too."""
    planted = Planted()
    planted.add_sandbox(sandbox)
    done = converse("config", "init", "mine", answers=[*answers, ("keyring, files [keyring]:", "")])

    assert done.code == 0, done.out
    assert planted.find(done.out) == []
    profile = tomllib.loads((tmp_path / "xdg/seic/config.toml").read_text())["mine"]
    assert {name for name in profile if name.endswith("_command")} == {
        "client_secret_command",
        "password_command",
        "store_key_command",
    }
    assert [path.name for path in (tmp_path / "xdg/seic").iterdir()] == ["config.toml"]
    first, second = run("token", "--profile", "mine"), run("token", "--profile", "mine")
    assert first.code == 0, first.err
    assert first.out == second.out
    for file in (path for path in tmp_path.rglob("*") if path.is_file()):
        assert planted.find(file.read_bytes()) == [], file
    assert sandbox.client_secret not in run("config", "show", "--profile", "mine").out


@pytest.mark.usefixtures("keyring")
def test_files_if_they_are_chosen(answers: list[tuple[str, str]], tmp_path: Path) -> None:
    """The choice is the user's."""
    done = converse("config", "init", "mine", answers=[*answers, ("keyring, files [keyring]:", "files")])

    assert done.code == 0, done.out
    assert len(list((tmp_path / "xdg/seic").glob("mine.*"))) == 3


@pytest.mark.usefixtures("keyring")
def test_a_keyring_that_is_gone(answers: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the setting and its command."""
    assert converse("config", "init", "mine", answers=[*answers, ("keyring, files [keyring]:", "")]).code == 0
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    failed = run("token", "--profile", "mine")

    assert failed.code == 3
    assert "mine.store_key_command: the program " in failed.err
    assert "run it by hand to see the reason" in failed.err


def test_a_keyring_that_refuses(
    answers: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A sentence without the secret, and no profile is written."""
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "tests._support.refusing_keyring.RefusingKeyring")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    done = converse("config", "init", "mine", answers=[*answers, ("keyring, files [keyring]:", "")])

    assert done.code == 3
    text = " ".join(done.out.split())
    assert "keyring: does not keep the secret (KeyringLocked: locked, so *** is lost); unlock it" in text
    assert not (tmp_path / "xdg/seic/config.toml").exists()

"""`seic config` and `seic env`: settings with their sources, a profile that is written, variables for others."""

from __future__ import annotations

import io
import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import seic
from seic.sandbox import Sandbox
from tests._support.command import converse, environment, run, variables_of
from tests._support.planted import Planted


@pytest.fixture
def profiles(env: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return the file of profiles, which does not exist yet."""
    return tmp_path / "xdg/seic/config.toml"


def test_settings_and_their_sources(env: pytest.MonkeyPatch, profiles: Path, sandbox: Sandbox) -> None:
    """A variable takes precedence over the profile; a secret is masked."""
    profiles.parent.mkdir(parents=True)
    profiles.write_text('[one]\nenvironment = "test"\nusername = "svc-other"\n')
    shown = run("config", "show", "--profile", "one")
    document = json.loads(run("config", "show", "--profile", "one", "--json").out)

    assert shown.code == 0
    assert "environment\ttest\tprofile one\n" in shown.out
    assert f"username\t{sandbox.username}\tSEIC_USERNAME\n" in shown.out
    assert "client_secret\t***\tSEIC_CLIENT_SECRET\n" in shown.out
    assert sandbox.client_secret not in shown.out
    assert document["environment"] == {"value": "test", "source": "profile one"}


def test_settings_that_are_not_set(env: pytest.MonkeyPatch) -> None:
    """With their defaults."""
    shown = run("config", "show", "--all")

    assert "token_timeout\t10\tdefault\n" in shown.out
    assert "scope\t\tnot set\n" in shown.out
    assert "scope" not in run("config", "show").out


def test_the_password_of_a_proxy_is_not_shown(env: pytest.MonkeyPatch) -> None:
    """It is in the URL."""
    env.setenv("SEIC_PROXY", "http://user:proxy-password@proxy.example:3128")
    for arguments in (["config", "show"], ["config", "show", "--json"], ["config", "check"]):
        shown = run(*arguments)
        assert "proxy-password" not in shown.out + shown.err
    assert "http://proxy.example:3128" in run("config", "show").out


def test_the_password_of_a_redis_is_not_shown(env: pytest.MonkeyPatch) -> None:
    """It is in the URL too."""
    env.setenv("SEIC_STORE_KEY", "k" * 32)
    for url in ("redis://user:redis-password@redis.example", "redis://redis.example?password=redis-password"):
        env.setenv("SEIC_STORE", url)
        for arguments in (["config", "show"], ["config", "show", "--json"], ["config", "check"]):
            shown = run(*arguments)
            assert "redis-password" not in shown.out + shown.err


def test_the_file_of_profiles(env: pytest.MonkeyPatch, profiles: Path) -> None:
    """Its path alone on stdout; its profiles on stderr."""
    absent = run("config", "path")
    profiles.parent.mkdir(parents=True)
    profiles.write_text("[one]\n[two]\n")
    present = run("config", "path")

    assert absent.out == present.out == f"{profiles}\n"
    assert "does not exist" in absent.err
    assert present.err == "profiles: one, two\n"


def test_a_check_sends_nothing(env: pytest.MonkeyPatch, sandbox: Sandbox) -> None:
    """The exit code is that of the first failure."""
    before = sandbox.counts.mtls.connections
    right = run("config", "check")
    env.setenv("SEIC_CERTIFICATE_KEY", "/nowhere/client.key")
    env.delenv("SEIC_CLIENT_ID")
    wrong = run("config", "check", "--json")

    assert right.code == 0
    assert wrong.code == 3
    assert [one["name"] for one in json.loads(wrong.out)["checks"] if one["outcome"] == "failed"] == [
        "settings",
        "files",
    ]
    assert sandbox.counts.mtls.connections == before


@pytest.mark.usefixtures("no_keyring")
def test_a_profile_is_written(env: pytest.MonkeyPatch, profiles: Path, sandbox: Sandbox, tmp_path: Path) -> None:
    """At a real terminal: wrong answers are asked again, secrets are not shown, and the profile works."""
    planted = Planted()
    planted.add_sandbox(sandbox)
    for name in variables_of(sandbox, tmp_path):
        env.delenv(name)
    asked = [
        ("[sei-gateway]:", "sei"),
        ("[sei-gateway]:", ""),
        ("[production]:", "test"),
        ("(mtls.example.com:444):", sandbox.mtls_url.removeprefix("https://")),
        ("Client id (the AppKey):", sandbox.client_id),
        ("(the AppSecret; not shown):", sandbox.client_secret),
        ("Service account:", sandbox.username),
        ("Its password (not shown):", sandbox.password),
        ("if there is one:", "/nowhere/client.pem"),
        ("if there is one:", str(tmp_path / "client.pem")),
        ("in another file:", str(tmp_path / "client.key")),
        ("if it has one (not shown):", ""),
        ("of a Redis [file]:", "fil"),
        ("of a Redis [file]:", "redis://user:redis-password@redis.example"),
        ("of a Redis [file]:", ""),
        ("empty for a new one):", "short"),
        ("empty for a new one):", ""),
    ]
    env.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    done = converse("config", "init", "mine", answers=asked)

    assert done.code == 0, done.out
    assert "answer sei-gateway, sei-platform or oauth2" in done.out
    assert "there is no such file" in done.out
    assert "store: unknown value; set memory, file:///path" in done.out
    assert "its password would be in the file of profiles" in done.out
    assert "key: has 5 characters" in done.out
    assert "Secrets go into files that only you can read: " in done.out
    assert planted.find(done.out) == []
    assert planted.find(profiles.read_text()) == []
    for file in profiles.parent.glob("mine.*"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert len(list(profiles.parent.glob("mine.*"))) == 3
    assert len((profiles.parent / "mine.store_key").read_text()) >= 32
    assert stat.S_IMODE(profiles.stat().st_mode) == 0o600
    env.setenv("SEIC_CA", str(tmp_path / "ca.pem"))
    first, second = run("token", "--profile", "mine"), run("token", "--profile", "mine")
    assert first.code == 0
    assert first.out == second.out
    again = converse("config", "init", "mine", answers=[])
    assert again.code == 3
    assert "has a profile [mine] already" in again.out.replace("\n", " ")


def test_questions_need_a_terminal(env: pytest.MonkeyPatch, profiles: Path) -> None:
    """A sentence in a pipe, and nothing is written."""
    with environment({}, profiles.parent.parent.parent):
        env.setattr(sys, "stdin", io.StringIO())
        refused = run("config", "init")

    assert refused.code == 3
    assert "needs a terminal" in refused.err
    assert not profiles.exists()


def test_a_shell_reads_the_variables(env: pytest.MonkeyPatch, sandbox: Sandbox) -> None:
    """The password needs quotes; a second client has the same settings."""
    printed = run("env")
    done = subprocess.run(
        ["bash", "-c", 'eval "$1"; printf %s "$SEIC_PASSWORD"', "-", printed.out],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
    )

    assert printed.code == 0
    assert done.stdout == sandbox.password


@pytest.mark.parametrize("form", ["shell", "docker", "kubernetes"])
def test_spaces_of_a_secret_are_kept(env: pytest.MonkeyPatch, form: str) -> None:
    """As the settings read them."""
    env.setenv("SEIC_PASSWORD", " pw  ")
    printed = run("env", "--format", form).out

    written = {"shell": "export SEIC_PASSWORD=' pw  '", "docker": "SEIC_PASSWORD= pw  "}
    assert written.get(form, '  SEIC_PASSWORD: " pw  "') in printed.splitlines()


def test_lines_of_a_secret(env: pytest.MonkeyPatch) -> None:
    """A shell keeps them; a file for docker cannot have them."""
    env.setenv("SEIC_PASSWORD", "first\nsecond")
    refused = run("env", "--format", "docker")

    assert "SEIC_PASSWORD='first\nsecond'" in run("env").out
    assert refused.code == 3
    assert "SEIC_PASSWORD: its value has several lines" in refused.err
    assert "second" not in refused.err


def test_a_terminal_gets_masks(env: pytest.MonkeyPatch, sandbox: Sandbox) -> None:
    """Unless they are asked for."""
    masked, shown = run("env", at_terminal=True), run("env", "--show", at_terminal=True)
    inline = run("env", "--inline", at_terminal=True)

    assert sandbox.client_secret not in masked.out
    assert "add --show" in masked.err
    assert sandbox.client_secret in shown.out
    assert "PRIVATE KEY" not in inline.out


@pytest.mark.parametrize("form", ["docker", "kubernetes"])
def test_variables_without_files(env: pytest.MonkeyPatch, sandbox: Sandbox, tmp_path: Path, form: str) -> None:
    """The content of certificate and key in the variables; a client with these alone works."""
    printed = run("env", "--format", form, "--inline", "--name", "app")
    if form == "docker":
        variables = dict(line.partition("=")[::2] for line in printed.out.splitlines())
    else:
        head, _, data = printed.out.partition("stringData:\n")
        assert 'name: "app"' in head
        pairs = (line.strip().partition(": ") for line in data.splitlines())
        variables = {name: json.loads(text) for name, _, text in pairs}
    with seic.Client.from_env(variables) as client:
        assert client.token().access_token
    assert str(tmp_path) not in printed.out


def test_a_secret_of_a_file_is_inlined(env: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Under its own name."""
    (tmp_path / "secret").write_text("from-a-file\n")
    env.delenv("SEIC_CLIENT_SECRET")
    env.setenv("SEIC_CLIENT_SECRET_FILE", str(tmp_path / "secret"))

    assert "SEIC_CLIENT_SECRET_FILE=" in run("env", "--format", "docker").out
    assert "SEIC_CLIENT_SECRET=from-a-file\n" in run("env", "--format", "docker", "--inline").out


def test_a_binary_certificate_is_not_inlined(env: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A sentence names the conversion."""
    (tmp_path / "client.der").write_bytes(b"\x30\x82\xff")
    env.setenv("SEIC_CERTIFICATE", str(tmp_path / "client.der"))
    refused = run("env", "--inline")

    assert refused.code == 3
    assert "seic certs convert --to pem" in refused.err.replace("\n", " ")

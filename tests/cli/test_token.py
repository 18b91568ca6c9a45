"""`seic token` and its actions."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from seic.sandbox import Sandbox
from tests._support.command import run, run_program
from tests._support.sandbox_client import ACCOUNTS_PATH


def test_a_pipe_gets_the_token_alone(env: pytest.MonkeyPatch) -> None:
    """The raw form, which `$(seic token)` takes."""
    got = run("token")

    assert got.code == 0
    assert got.err == ""
    assert re.fullmatch(r"[\w-]{20,}\n", got.out)


def test_a_terminal_gets_the_facts(env: pytest.MonkeyPatch) -> None:
    """The token itself only with --show."""
    got = run("token", at_terminal=True)
    shown = run("token", "--show", at_terminal=True)

    assert "expires" in got.out
    assert "sha256" in got.out
    assert "add --show" in got.err
    assert re.fullmatch(r"[\w-]{20,}\n", shown.out)


def test_forms_that_other_tools_read(sandbox: Sandbox, env: pytest.MonkeyPatch) -> None:
    """JSON, a shell's export, headers and kubectl's document."""
    as_json = json.loads(run("token", "--json").out)
    as_env = run("token", "--format", "env").out
    as_headers = run("token", "--format", "header").out
    as_exec = json.loads(run("token", "--format", "exec").out)

    assert as_json["access_token"]
    assert as_json["expires_in"] == 3599
    assert re.fullmatch(r"export ACCESS_TOKEN=[\w-]{20,}\n", as_env)
    assert re.fullmatch(rf"Authorization: Bearer [\w-]{{20,}}\nAppKey: {sandbox.client_id}\n", as_headers)
    assert as_exec["kind"] == "ExecCredential"
    assert as_exec["status"]["token"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", as_exec["status"]["expirationTimestamp"])


def test_curl_takes_the_headers(sandbox: Sandbox, env: pytest.MonkeyPatch) -> None:
    """The real curl reads them from a pipe, so that no process list has them."""
    command = (
        f'"{sys.executable}" -m seic token --format header | curl -sS -H @- --cacert "$SEIC_CA" '
        f'--cert "$SEIC_CERTIFICATE" --key "$SEIC_CERTIFICATE_KEY" "{sandbox.mtls_url}{ACCOUNTS_PATH}"'
    )
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)

    assert json.loads(done.stdout)["accounts"]


def test_info_describes_the_token(env: pytest.MonkeyPatch, sandbox: Sandbox) -> None:
    """As the provider sees it; the gateway has no such call, which is a sentence."""
    assert run("token", "info").code == 3
    assert (
        "has no call that describes a token; if yours has one, set SEIC_INTROSPECTION_URL" in run("token", "info").err
    )

    env.setenv("SEIC_PROVIDER", "sei-platform")
    env.setenv("SEIC_USERNAME", sandbox.email)
    described = run("token", "info")
    as_json = json.loads(run("token", "info", "--json").out)

    assert described.code == 0
    assert f"username\t{sandbox.email}\n" in described.out
    assert as_json["active"] is True


@pytest.mark.parametrize("action", ["revoke", "purge"])
def test_without_a_store_there_is_nothing_to_end(env: pytest.MonkeyPatch, action: str) -> None:
    """A token in memory ends with the process that has it."""
    for store in ("", "memory"):
        env.setenv("SEIC_STORE", store)
        failed = run("token", action)

        assert failed.code == 3
        assert f"no token to {action}; set SEIC_STORE" in failed.err


@pytest.fixture
def store(env: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Set a store that outlives a process, and return its folder."""
    folder = tmp_path / "tokens"
    env.setenv("SEIC_STORE", folder.as_uri())
    env.setenv("SEIC_STORE_KEY", "k" * 32)
    return folder


def test_two_calls_make_one_token_request(store: Path, sandbox: Sandbox) -> None:
    """As programs of their own; a third with --force makes another."""
    before = sandbox.counts.mtls.token_requests
    first, second = run_program("token"), run_program("token")

    assert first.code == 0, first.err
    assert first.out == second.out
    assert sandbox.counts.mtls.token_requests == before + 1
    assert run_program("token", "--force").out != first.out
    assert first.out.strip() not in "".join(path.read_text("latin-1") for path in store.iterdir() if path.is_file())


def test_a_stored_token_is_revoked(store: Path, sandbox: Sandbox) -> None:
    """At the provider and here; the next call requests another."""
    first = run("token").out
    before = sandbox.counts.mtls.tokens_invalidated
    revoked = run("token", "revoke")

    assert revoked.code == 0
    assert sandbox.counts.mtls.tokens_invalidated == before + 1
    assert run("token").out != first


def test_a_stored_token_is_purged(store: Path, sandbox: Sandbox) -> None:
    """Here only: at the provider it stays valid."""
    first = run("token").out
    before = sandbox.counts.mtls.tokens_invalidated
    purged = run("token", "purge")

    assert purged.code == 0
    assert run("token").out != first
    assert sandbox.counts.mtls.tokens_invalidated == before

"""`seic request`: bodies, headers, errors, and the curl command."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from seic.sandbox import Sandbox
from tests._support.command import run
from tests._support.file_server import FileServer
from tests._support.planted import Planted
from tests._support.sandbox_client import ACCOUNTS_PATH, ECHO_PATH


def test_a_body_is_printed_unchanged(env: pytest.MonkeyPatch) -> None:
    """To a pipe; with its query and headers."""
    got = run("request", "get", ACCOUNTS_PATH, "-q", "limit=2")
    echoed = json.loads(run("request", "GET", f"{ECHO_PATH}?a=1", "-q", "b=x y", "-H", "X-Own: one").out)

    assert got.code == 0
    assert len(json.loads(got.out)["accounts"]) == 2
    assert echoed["query"] == [["a", "1"], ["b", "x y"]]
    assert echoed["headers"]["x-own"] == "one"
    assert echoed["certificate_common_name"] == "svc-sandbox"


def test_json_is_indented_at_a_terminal(env: pytest.MonkeyPatch) -> None:
    """For people."""
    shown = run("request", "GET", ACCOUNTS_PATH, "-q", "limit=1", at_terminal=True)

    assert '{\n  "accounts": [\n' in shown.out


def test_status_and_headers(env: pytest.MonkeyPatch) -> None:
    """As curl -i prints them."""
    shown = run("request", "GET", ACCOUNTS_PATH, "-i", "-q", "limit=1")
    head, _, body = shown.out.partition("\n\n")

    assert head.startswith("HTTP/1.1 200 OK\n")
    assert "requesttrackingid: " in head
    assert json.loads(body)


def test_an_error_of_the_api(env: pytest.MonkeyPatch) -> None:
    """Its body is printed; exit code 7."""
    failed = run("request", "GET", "/v1/unknown")

    assert failed.code == 7
    assert json.loads(failed.out)["code"] == "gateway.resource.unknown"
    assert failed.err == "seic: the API answered 404 Not Found\n"


@pytest.mark.parametrize("path", ["v1/accounts", "//other.example/x", "https://other.example/x"])
def test_only_paths_of_the_host(env: pytest.MonkeyPatch, path: str) -> None:
    """Nothing else is sent."""
    assert run("request", "GET", path).code == 3


def test_a_malformed_header_is_named(env: pytest.MonkeyPatch) -> None:
    """And a malformed query."""
    assert "--header: must be NAME:VALUE" in run("request", "GET", "/", "-H", "none").err
    assert "--query: must be NAME=VALUE" in run("request", "GET", "/", "-q", "none").err


def test_bodies(env: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Text, a file and stdin; the type follows the content unless it is given."""
    (tmp_path / "order.json").write_text('{"a": 1}')
    text = json.loads(run("request", "POST", ECHO_PATH, "-d", '{"a": 1}').out)
    file = json.loads(run("request", "POST", ECHO_PATH, "-d", f"@{tmp_path}/order.json").out)
    done = subprocess.run(
        [sys.executable, "-m", "seic", "request", "POST", ECHO_PATH, "-d", "@-", "-H", "Content-Type: text/csv"],
        input=b'{"a": 1}',
        capture_output=True,
        check=True,
    )
    stdin = json.loads(done.stdout)

    digest = hashlib.sha256(b'{"a": 1}').hexdigest()
    assert [one["body_sha256"] for one in (text, file, stdin)] == [digest] * 3
    assert [one["headers"]["content-type"] for one in (text, file)] == ["application/json"] * 2
    assert stdin["headers"]["content-type"] == "text/csv"
    assert run("request", "POST", ECHO_PATH, "-d", "@/nowhere").code == 1


def test_the_curl_command_works(env: pytest.MonkeyPatch, sandbox: Sandbox, tmp_path: Path) -> None:
    """It has no secret, only variables; a shell runs it."""
    planted = Planted()
    planted.add_sandbox(sandbox)
    before = sandbox.counts.mtls.connections
    printed = run("request", "POST", ECHO_PATH, "-q", "a=x y", "-H", "X-Own: it's", "-d", '{"a": 1}', "--curl")
    assert sandbox.counts.mtls.connections == before
    assert planted.find(printed.out) == []

    script = f'seic() {{ "{sys.executable}" -m seic "$@"; }}\n{printed.out}'
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    echoed = json.loads(done.stdout)
    assert echoed["method"] == "POST"
    assert echoed["query"] == [["a", "x y"]]
    assert echoed["headers"]["x-own"] == "it's"
    assert echoed["body_length"] == len('{"a": 1}')


def test_the_curl_command_of_a_profile(env: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The command has what only the profile sets; a passphrase is read from its file when the command runs."""
    (tmp_path / "passphrase").write_text("pass-phrase-1")
    given = ("--to", "pem", "-o", str(tmp_path / "own.pem"), "--new-key", str(tmp_path / "own.key"))
    passphrase = ("--new-password-file", str(tmp_path / "passphrase"))
    pair = (str(tmp_path / "client.pem"), "--key", str(tmp_path / "client.key"))
    assert run("certs", "convert", *pair, *given, *passphrase).code == 0
    profile = f'[one]\nclient_id = "{os.environ["SEIC_CLIENT_ID"]}"\ncertificate = "{tmp_path}/own.pem"\n'
    profile += f'certificate_key = "{tmp_path}/own.key"\ncertificate_password_file = "{tmp_path}/passphrase"\n'
    (tmp_path / "xdg/seic").mkdir(parents=True)
    (tmp_path / "xdg/seic/config.toml").write_text(profile)
    for name in ("SEIC_CLIENT_ID", "SEIC_CERTIFICATE", "SEIC_CERTIFICATE_KEY"):
        env.delenv(name)
    printed = run("request", "GET", ECHO_PATH, "--curl", "--profile", "one", "-i")
    assert "pass-phrase-1" not in printed.out

    # As a POSIX shell runs it.
    shell = f'seic() {{ "{sys.executable}" -m seic "$@"; }}\n{printed.out}'
    done = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("HTTP/")
    assert json.loads(done.stdout.splitlines()[-1])["certificate_common_name"] == "svc-sandbox"


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("SEIC_CA", "one.pem,two.pem", "ca: curl takes one file"),
        ("SEIC_CERTIFICATE", "PEM", "certificate: set as text"),
    ],
)
def test_no_curl_command(
    env: pytest.MonkeyPatch, sandbox: Sandbox, tmp_path: Path, name: str, value: str, text: str
) -> None:
    """A sentence says what curl cannot take."""
    for file in ("one.pem", "two.pem"):
        (tmp_path / file).write_bytes(sandbox.ca_pem)
    env.chdir(tmp_path)
    env.setenv(name, sandbox.client_certificate_pem.decode() if value == "PEM" else value)
    refused = run("request", "GET", "/", "--curl")

    assert refused.code == 3
    assert text in refused.err


def test_options_that_exclude_each_other() -> None:
    """Exit code 2, with the usage of this command; nothing is read or sent."""
    for options in ("--all -i", "--all --curl", "--all -o x", "--jq . -o x", "--all -d x"):
        refused = run("request", "GET", "/", *options.split())
        assert refused.code == 2
        assert refused.err.startswith("usage: seic request")
    assert run("request", "POST", "/", "--all").code == 2


def test_a_terminal_gets_no_control_characters(files: FileServer) -> None:
    """Of a server's text; a binary body is not shown, and each body ends its line."""
    files.replies = {
        "/text": (404, b"one\x1b]0;title\x07\ttwo", {"Content-Type": "text/plain", "X-Own": "a\x9bb"}),
        "/binary": (200, b"\0\1\2", {"Content-Type": "application/pdf"}),
    }
    shown = run("request", "GET", "/text", "-i", at_terminal=True)
    piped = run("request", "GET", "/text")
    binary = run("request", "GET", "/binary", at_terminal=True)

    assert "\x1b" not in shown.out
    assert "\x9b" not in shown.out
    assert shown.out.endswith("\n\none\N{REPLACEMENT CHARACTER}]0;title\N{REPLACEMENT CHARACTER}\ttwo\n")
    assert piped.out == "one\x1b]0;title\x07\ttwo"
    assert binary.out == ""
    assert "3 bytes of application/pdf" in binary.err


def test_control_characters_of_a_status(files: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal does not get those of the reason."""
    monkeypatch.setitem(http.server.BaseHTTPRequestHandler.responses, 403, ("For\x1b[31mbidden", ""))
    files.replies["/denied"] = (403, b"{}", {})
    shown = run("request", "GET", "/denied", at_terminal=True)

    assert shown.code == 7
    assert "For\N{REPLACEMENT CHARACTER}[31mbidden" in shown.err

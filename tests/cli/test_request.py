"""`seic request`: bodies, headers, errors, downloads that are resumed, and the curl command."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from seic.sandbox import Sandbox
from tests._support import pki
from tests._support.command import environment, run
from tests._support.file_server import FileServer
from tests._support.planted import Planted
from tests._support.sandbox_client import ACCOUNTS_PATH, ECHO_PATH


@pytest.fixture
def files(tmp_path: Path) -> Iterator[FileServer]:
    """Return a file server, and set the variables of its client."""
    (tmp_path / "root.pem").write_bytes(pki.authority().pem)
    with FileServer() as one:
        variables = {
            "SEIC_API_HOST": f"localhost:{one.port}",
            "SEIC_CA": str(tmp_path / "root.pem"),
            "SEIC_CLIENT_ID": "app",
            "SEIC_CLIENT_SECRET": "secret-of-the-app",
            "SEIC_USERNAME": "svc-user",
            "SEIC_PASSWORD": "password-of-the-user",
        }
        with environment(variables, tmp_path):
            yield one


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


def test_a_download(files: FileServer, tmp_path: Path) -> None:
    """The file appears complete, and nothing else stays."""
    target = tmp_path / "out.bin"
    done = run("request", "GET", "/file", "-o", str(target))

    assert done.code == 0
    assert done.out == ""
    assert target.read_bytes() == files.content
    assert sorted(path.name for path in tmp_path.glob("out*")) == ["out.bin"]


def test_an_interrupted_download_goes_on(files: FileServer, tmp_path: Path) -> None:
    """The rest alone is requested, of the same version."""
    target = tmp_path / "out.bin"
    files.cut = 50_000
    broken = run("request", "GET", "/file", "-o", str(target))
    files.cut = None
    done = run("request", "GET", "/file", "-o", str(target))

    assert broken.code == 5
    assert "50000 bytes are in" in broken.err
    assert done.code == 0
    assert target.read_bytes() == files.content
    assert files.requests[-1]["Range"] == "bytes=50000-"
    assert sorted(path.name for path in tmp_path.glob("out*")) == ["out.bin"]


@pytest.mark.parametrize("etag", ['"two"', None, 'W/"one"'])
def test_another_version_starts_again(files: FileServer, tmp_path: Path, etag: str | None) -> None:
    """Parts of two versions are never joined; without a strong version nothing is resumed."""
    target = tmp_path / "out.bin"
    files.cut, files.etag = 50_000, '"one"' if etag == '"two"' else etag
    assert run("request", "GET", "/file", "-o", str(target)).code == 5
    files.cut, files.etag, files.content = None, etag, files.content[::-1]
    done = run("request", "GET", "/file", "-o", str(target))

    assert done.code == 0
    assert target.read_bytes() == files.content
    assert ("Range" in files.requests[-1]) is (etag == '"two"')


def test_a_shorter_file_starts_again(files: FileServer, tmp_path: Path) -> None:
    """The server has less than the part here, under the same version."""
    target = tmp_path / "out.bin"
    files.cut = 50_000
    run("request", "GET", "/file", "-o", str(target))
    files.cut, files.content = None, b"short"
    done = run("request", "GET", "/file", "-o", str(target))

    assert done.code == 0
    assert target.read_bytes() == b"short"


def test_no_file_of_an_error(files: FileServer, tmp_path: Path) -> None:
    """The body of the error is printed, and an older file is kept."""
    target = tmp_path / "out.bin"
    target.write_bytes(b"old")
    done = run("request", "GET", "/absent", "-o", str(target))

    assert done.code == 7
    assert json.loads(done.out) == {"error": "no such file"}
    assert target.read_bytes() == b"old"


def test_progress_at_a_terminal(files: FileServer, tmp_path: Path) -> None:
    """On stderr; a pipe gets none."""
    shown = run("request", "GET", "/file", "-o", str(tmp_path / "out.bin"), at_terminal=True)
    piped = run("request", "GET", "/file", "-o", str(tmp_path / "out.bin"))

    assert "102.4/102.4 kB" in shown.err
    assert piped.err == ""


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

"""`seic curl`: the real curl with token and certificate, which no process list has."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from seic.sandbox import Sandbox
from tests._support import pki
from tests._support.command import Finished, environment, run, run_program
from tests._support.file_server import TOKEN, FileServer
from tests._support.loopback import PATIENCE
from tests._support.sandbox_client import ACCOUNTS_PATH, ECHO_PATH


def curl(*arguments: str, show: bool = False) -> Finished:
    """Run the command as a program, since curl writes to the process's streams."""
    return run_program("curl", *(["--show"] if show else []), "--", *arguments)


def test_a_call(env: pytest.MonkeyPatch) -> None:
    """The certificate and the token, with curl's own options."""
    got = curl("-sS", f"{ACCOUNTS_PATH}?limit=1")
    echoed = json.loads(curl("-sS", "-XPOST", "-d", "{}", "-HX-Own: one", ECHO_PATH).out)

    assert got.code == 0
    assert len(json.loads(got.out)["accounts"]) == 1
    assert echoed["method"] == "POST"
    assert echoed["headers"]["x-own"] == "one"
    assert echoed["certificate_common_name"] == "svc-sandbox"


def test_the_exit_code_is_that_of_curl(env: pytest.MonkeyPatch) -> None:
    """22 with --fail, as its manual says."""
    assert curl("-sS", "--fail", "/v1/unknown").code == 22


def test_certificates_in_other_formats(env: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """PKCS#12 with a passphrase, which goes through the pipe."""
    (tmp_path / "passphrase").write_text("pass-phrase-1")
    given = ("--to", "pkcs12", "-o", str(tmp_path / "client.p12"), "--new-password-file", str(tmp_path / "passphrase"))
    made = run("certs", "convert", str(tmp_path / "client.pem"), "--key", str(tmp_path / "client.key"), *given)
    assert made.code == 0
    env.setenv("SEIC_CERTIFICATE", str(tmp_path / "client.p12"))
    env.delenv("SEIC_CERTIFICATE_KEY")
    env.setenv("SEIC_CERTIFICATE_PASSWORD_FILE", str(tmp_path / "passphrase"))

    assert json.loads(curl("-sS", ECHO_PATH).out)["certificate_common_name"] == "svc-sandbox"


@pytest.mark.parametrize(
    "arguments",
    [
        ["https://other.example/"],
        ["other.example"],
        ["//other.example/"],
        ["--url", "https://other.example/"],
        ["-s", "--url=https://other.example/", "/"],
        ["/", "-o", "/dev/null", "https://other.example/"],
        ["-L", "/"],
        ["-sL", "/"],
        ["--loc", "/"],
        ["--location-trusted", "/"],
        ["-k", "/"],
        ["-K", "/dev/null", "/"],
        ["/", "--next", "/"],
        ["-:", "/"],
        ["-v", "/"],
        ["-sv", "/"],
        ["--trace", "-", "/"],
        ["-o", "/"],
        ["-sS"],
        [],
    ],
)
def test_the_token_stays_at_its_host(env: pytest.MonkeyPatch, sandbox: Sandbox, arguments: list[str]) -> None:
    """Arguments that would send it elsewhere, turn a check off or print it are refused; nothing is sent."""
    before = sandbox.counts.mtls.connections
    refused = run("curl", "--", *arguments)

    assert refused.code == 3
    assert sandbox.counts.mtls.connections == before


def test_the_origin_with_another_user(env: pytest.MonkeyPatch, sandbox: Sandbox) -> None:
    """A URL that only begins like the origin is another one."""
    for url in (f"{sandbox.mtls_url}@other.example/", f"{sandbox.mtls_url}0/", f"{sandbox.mtls_url}.other.example/"):
        assert run("curl", "--", url).code == 3
    assert curl("-sS", "-o", "/dev/null", f"{sandbox.mtls_url}{ECHO_PATH}").code == 0


def test_headers_are_shown_on_demand(env: pytest.MonkeyPatch) -> None:
    """With --show before the --; over HTTP/2 in lower case."""
    assert "authorization: bearer " in curl("-sv", ECHO_PATH, show=True).err.lower()


def test_the_own_settings_of_curl_are_not_read(env: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """They could name another host."""
    (tmp_path / ".curlrc").write_text("verbose\n")
    env.setenv("HOME", str(tmp_path))

    assert curl("-sS", ECHO_PATH).err == ""


def test_no_process_list_has_a_secret(tmp_path: Path) -> None:
    """Neither the arguments nor the environment of curl, while it waits for its answer; nor the command's arguments."""
    (tmp_path / "root.pem").write_bytes(pki.authority().pem)
    secrets = {"SEIC_CLIENT_SECRET": "secret-of-the-app", "SEIC_PASSWORD": "password-of-the-user"}
    with FileServer() as server:
        variables = {
            "SEIC_API_HOST": f"localhost:{server.port}",
            "SEIC_CA": str(tmp_path / "root.pem"),
            "SEIC_CLIENT_ID": "app",
            "SEIC_USERNAME": "svc-user",
            **secrets,
        }
        with (
            environment(variables, tmp_path),
            subprocess.Popen(
                [sys.executable, "-m", "seic", "curl", "--", "-sS", "/held"], stdout=subprocess.PIPE
            ) as process,
        ):
            assert server.arrived.wait(PATIENCE)
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            seen = [Path(f"/proc/{child}/{name}").read_bytes() for child in children for name in ("cmdline", "environ")]
            seen.append(Path(f"/proc/{process.pid}/cmdline").read_bytes())
            server.released.set()
            assert process.communicate(timeout=PATIENCE)[0] == b"{}"
    assert any(b"--config" in one and b"/held" in one for one in seen)
    for secret in (TOKEN, *secrets.values()):
        assert not any(secret.encode() in one for one in seen)
    assert server.requests[0]["Authorization"] == f"Bearer {TOKEN}"


def test_options_of_curl_need_the_dashes(env: pytest.MonkeyPatch) -> None:
    """The error says where they belong; nothing is sent."""
    got = run("curl", "-s", ECHO_PATH)

    assert got.code == 2
    assert "unrecognized arguments: -s; curl's own options follow `--`, as in `seic curl -- -s /path`" in got.err


def test_a_colon_in_the_path_of_the_certificate(env: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """For curl, a passphrase begins there unless it is escaped; in the printed script too."""
    folder = tmp_path / "a:b"
    folder.mkdir()
    for name in ("client.pem", "client.key"):
        (tmp_path / name).rename(folder / name)
    env.setenv("SEIC_CERTIFICATE", str(folder / "client.pem"))
    env.setenv("SEIC_CERTIFICATE_KEY", str(folder / "client.key"))

    assert json.loads(curl("-sS", ECHO_PATH).out)["certificate_common_name"] == "svc-sandbox"
    assert "a\\:b/client.pem" in run("request", "GET", ECHO_PATH, "--curl").out


def test_a_token_longer_than_the_buffer_of_a_pipe(files: FileServer) -> None:
    """It is written while curl reads; the server answers that such a header is too long."""
    files.token = "t" * 80_000

    assert curl("-sS", "-o", "/dev/null", "-w", "%{http_code}", "/file").out == "431"

"""`python -m seic.sandbox`: ports, files, health, other languages, and the end."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import pytest

from seic.sandbox.__main__ import main


@contextlib.contextmanager
def started(*arguments: str, end: signal.Signals = signal.SIGTERM) -> Iterator[dict[str, str]]:
    """Run the command in a block; the value is its variables."""
    command = [sys.executable, "-m", "seic.sandbox", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            notes = [process.stderr.readline()]
            while "end with Ctrl-C" not in notes[-1]:
                assert notes[-1], notes
                notes.append(process.stderr.readline())
            # All lines were written before the last note; the pipe has them until the program ends.
            lines: list[str] = []
            if "--env-file" not in arguments:
                while not (lines and "SEIC_CERTIFICATE_KEY" in lines[-1]):
                    lines.append(process.stdout.readline())
            yield variables(lines)
        finally:
            process.send_signal(end)
            assert process.wait(20) == 0
        assert process.stderr.read() == ""


def variables(lines: Sequence[str]) -> dict[str, str]:
    """Let a shell read the lines, and return its variables."""
    script = 'eval "$1"; env'
    done = subprocess.run(["bash", "-c", script, "-", "".join(lines)], capture_output=True, text=True, check=True)
    return dict(line.partition("=")[::2] for line in done.stdout.splitlines())


def free_port() -> int:
    """Return a port that nothing uses."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT])
def test_chosen_ports_and_the_health_route(end: signal.Signals) -> None:
    """A port is free at once after the end."""
    api, mtls, control = free_port(), free_port(), free_port()
    arguments = [f"--api-port={api}", f"--mtls-port={mtls}", f"--control-port={control}"]
    for _ in range(2):
        with started(*arguments, end=end) as environ:
            assert environ["SEIC_API_HOST"] == f"localhost:{api}"
            assert environ["SEIC_MTLS_HOST"] == f"localhost:{mtls}"
            assert environ["SANDBOX_CONTROL"] == f"http://localhost:{control}"
            health = httpx.get(f"http://localhost:{control}/health")
            assert (health.status_code, health.json()) == (200, {"status": "pass"})
            assert health.headers["Content-Type"] == "application/health+json; charset=utf-8"
            assert httpx.get(f"http://localhost:{control}/faults").status_code == 401


def test_curl(tmp_path: Path) -> None:
    """It uses the variables and the files, with a client certificate."""
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not installed")
    with started("--directory", str(tmp_path)) as environ:
        script = (
            'curl -sS --cacert "$SEIC_CA" --cert "$SEIC_CERTIFICATE" --key "$SEIC_CERTIFICATE_KEY"'
            ' -u "$SEIC_CLIENT_ID:$SEIC_CLIENT_SECRET" -H "AppKey: $SEIC_CLIENT_ID" -d grant_type=client_credentials'
            ' -d "username=$SEIC_USERNAME" --data-urlencode "password=$SEIC_PASSWORD"'
            ' "https://$SEIC_MTLS_HOST/v2/oauthtoken"'
        )
        done = subprocess.run(["bash", "-c", script], env=environ, capture_output=True, text=True, check=True)
        assert '"access_token"' in done.stdout


def test_a_port_in_use_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """The exit code is 1, and there is no traceback."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        port = sock.getsockname()[1]
        assert main([f"--api-port={port}"]) == 1
    assert capsys.readouterr().err == f"sandbox: port {port} of 127.0.0.1: Address already in use\n"


@pytest.mark.parametrize("port", ["-1", "65536", "a", "٣"])
def test_a_wrong_port_is_refused(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    """By the parser."""
    with pytest.raises(SystemExit):
        main([f"--api-port={port}"])
    assert "must be a number from 0 to 65535" in capsys.readouterr().err

"""Fixtures of the command's tests: one sandbox for all, and its variables for each."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from seic.sandbox import Sandbox
from tests._support import pki
from tests._support.authlib_site import SECRET, Site, open_site
from tests._support.command import environment, variables_of
from tests._support.command_case import Case
from tests._support.file_server import FileServer


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """Return a running sandbox."""
    with Sandbox() as one:
        yield one


@pytest.fixture
def env(sandbox: Sandbox, tmp_path: Path) -> Iterator[pytest.MonkeyPatch]:
    """Set the variables of a client with a certificate; the value changes them for one test."""
    with environment(variables_of(sandbox, tmp_path), tmp_path) as patch:
        yield patch


@pytest.fixture
def case(sandbox: Sandbox, tmp_path: Path) -> Iterator[Case]:
    """Return a healthy case, for a test to break."""
    with environment(variables_of(sandbox, tmp_path), tmp_path) as env, contextlib.ExitStack() as servers:
        yield Case(env, tmp_path, sandbox, servers)


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


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Run an authorization server of another project, and set its issuer and a client."""
    (tmp_path / "site").mkdir()
    with pytest.MonkeyPatch.context() as patch, open_site(tmp_path / "site", patch) as one:
        (tmp_path / "ca.pem").write_bytes(one.ca)
        variables = {
            "SEIC_ISSUER": one.nginx.api_url,
            "SEIC_API_HOST": one.nginx.api_url,
            "SEIC_CLIENT_ID": "basic",
            "SEIC_CLIENT_SECRET": SECRET,
            "SEIC_CA": str(tmp_path / "ca.pem"),
            "SEIC_STORE": (tmp_path / "tokens").as_uri(),
            "SEIC_STORE_KEY": "k" * 32,
        }
        with environment(variables, tmp_path):
            yield one


@pytest.fixture
def no_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave only the backend of a system without a keyring."""
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")


@pytest.fixture
def keyring(tmp_path: Path) -> Iterator[str]:
    """Run a session with an unlocked keyring of its own, and return the address of its bus."""
    if shutil.which("dbus-run-session") is None or shutil.which("gnome-keyring-daemon") is None:
        pytest.skip("dbus-run-session or gnome-keyring-daemon is not installed")
    # The daemon returns when it is ready, and ends with its bus.
    script = (
        "printf pw | gnome-keyring-daemon --unlock --components=secrets >/dev/null; echo $DBUS_SESSION_BUS_ADDRESS; "
        "read line"
    )
    folder = tmp_path / "session"
    folder.mkdir(mode=0o700)
    with (
        pytest.MonkeyPatch.context() as patch,
        subprocess.Popen(
            ["dbus-run-session", "--", "sh", "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "XDG_DATA_HOME": str(folder), "XDG_RUNTIME_DIR": str(folder)},
        ) as session,
    ):
        assert session.stdout is not None
        assert session.stdin is not None
        address = session.stdout.readline().strip()
        patch.setenv("DBUS_SESSION_BUS_ADDRESS", address)
        patch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.SecretService.Keyring")
        yield address
        session.stdin.close()

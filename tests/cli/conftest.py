"""Fixtures of the command's tests: one sandbox for all, and its variables for each."""

from __future__ import annotations

import contextlib
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

"""A healthy environment of the command, for a test to break."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import attrs
import pytest

from seic.sandbox import Sandbox
from tests._support import pki
from tests._support.command import run
from tests._support.loopback import RawServer
from tests._support.tls_servers import TlsServer

ROOT = pki.authority()


@attrs.frozen
class Case:
    """The environment of one case: variables to change, a folder, the sandbox, and servers that end with the case."""

    env: pytest.MonkeyPatch
    folder: Path
    sandbox: Sandbox
    servers: contextlib.ExitStack

    def write(self, name: str, content: bytes) -> str:
        """Write a file that only its owner can read, and return its path."""
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_bytes(content)
        return str(path)

    def use_pair(self, pair: Any, key: bytes | None = None) -> None:
        """Use a client certificate."""
        pem = pair.pem if isinstance(pair, pki.Minted) else pair.cert_pem
        self.env.setenv("SEIC_CERTIFICATE", self.write("other.pem", pem))
        self.env.setenv("SEIC_CERTIFICATE_KEY", self.write("other.key", key or pair.key_pem))

    def use_server(self, server: TlsServer | RawServer) -> None:
        """Use a server of another authority in place of the sandbox."""
        self.servers.enter_context(server)
        self.env.setenv("SEIC_MTLS_HOST", f"localhost:{server.port}")
        self.env.setenv("SEIC_API_HOST", f"localhost:{server.port}")
        self.env.setenv("SEIC_CA", self.write("root.pem", ROOT.pem))


def checks(*arguments: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """Run the doctor; return its exit code and the first result of each check."""
    done = run("doctor", "--json", "--timeout", "5", *arguments)
    found: dict[str, dict[str, Any]] = {}
    for result in json.loads(done.out)["checks"]:
        found.setdefault(result["name"], result)
    return done.code, found

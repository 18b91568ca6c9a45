"""Files of tests that run twice: with httpx, and with httpx2 in its place.

For httpx2, `httpx` in the file and in the helpers that build clients is `httpx2`, and `seic.AsyncClient` and
`seic.Client` are those of `seic.httpx2`. Token endpoints in memory stay httpx's, so requests pass an adapter.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import httpx2
import pytest

import seic
import seic.httpx2

_TESTS = Path(__file__).parent.parent
#: The files, or folders of them.
_FILES = (
    "test_client.py",
    "test_http2.py",
    "test_pool.py",
    "test_closed_pool.py",
    "test_closing_clients.py",
    "network/test_cut_connections.py",
    "network/test_identity_transport.py",
    "network/test_timeouts.py",
    "integration/test_nginx.py",
    "integration/test_rotation_under_load.py",
)
#: The helpers that build clients, requests or transports.
_HELPERS = ("gated_server", "rotating", "swapping", "clients", "sending")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test of the files twice."""
    if metafunc.definition.path.relative_to(_TESTS).as_posix() in _FILES:
        metafunc.parametrize("_library", ["httpx", "httpx2"], indirect=True)


@pytest.fixture(autouse=True)
def _library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if getattr(request, "param", "httpx") == "httpx2":
        helpers = [sys.modules.get(f"tests._support.{name}") for name in _HELPERS]
        for module in [request.module, *helpers]:
            if isinstance(module, ModuleType) and hasattr(module, "httpx"):
                monkeypatch.setattr(module, "httpx", httpx2)
        clients = {seic.AsyncClient: seic.httpx2.AsyncClient, seic.Client: seic.httpx2.Client}
        for kind, second in clients.items():
            monkeypatch.setattr(seic, kind.__name__, second)
        given = request.node.callspec.params
        for name in [name for name, value in given.items() if isinstance(value, type) and value in clients]:
            given[name] = clients[given[name]]

"""Misspelt and forbidden keyword arguments of the public functions are errors of mypy and pyright."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests._support.type_checkers import run_mypy, run_pyright

_WRONG = """\
seic.AsyncClient.from_env(timeouts=3)
seic.Client.from_env(timeouts=3)
seic.AsyncClient(config, time_out=3)
seic.Client(config, verify=False)
seic.AsyncClient(config, timeout=object())
seic.AsyncTransport(config, retry=2)
seic.Transport(config, verify=False)
seic.Config.from_env(clientid="a")
seic.Config.from_env(client_id=1)
seic.Config.from_file("seic.toml", certificat=None)
seic.discover_sync("https://idp.example", max_ages=3)
seic.fastapi.lifespan(config, timeouts=3)
"""
_RIGHT = """\
seic.AsyncClient.from_env({"SEIC_CLIENT_ID": "a"}, client_secret="b", timeout=3, retry=seic.Retry(), http2=True)
seic.Client.from_env(environ, proxy="http://proxy.example:3128", headers={"X-Team": "a"}, mounts={})
seic.AsyncClient(config, timeout=httpx.Timeout(3), limits=httpx.Limits(max_connections=5), base_url="/v1")
seic.Client(config, params={"p": 1}, cookies={"c": "1"}, follow_redirects=True, event_hooks={"request": [print]})
seic.AsyncTransport(config, http2=True, retries=2)
seic.Transport(config, socket_options=[(6, 1, 1)])
seic.Config.from_env(environ, environment="test", token_timeout=5, ca=b"PEM")
seic.Config.from_file("seic.toml", profile="test", store=seic.MemoryStore())
seic.discover_sync("https://idp.example", certificate=None, max_age=60)
seic.fastapi.lifespan(config, timeout=3)
"""
#: Both libraries take the auth and the transports, and each client the options of its own.
_BOTH = """\
httpx2.AsyncClient(auth=seic.OAuth2Auth(config), transport=seic.AsyncTransport(config))
httpx2.Client(auth=seic.OAuth2Auth(config), transport=seic.Transport(config, limits=httpx2.Limits()))
httpx.AsyncClient(auth=seic.OAuth2Auth(config), transport=seic.AsyncTransport(config))
httpx2.Client(transport=seic.RetryTransport(httpx2.HTTPTransport(), seic.Retry()))
seic.OAuth2Auth(config, transport=httpx2.MockTransport(lambda _request: httpx2.Response(200)))
seic.httpx2.AsyncClient(config, timeout=httpx2.Timeout(3), limits=httpx2.Limits(max_connections=5))
seic.httpx2.Client.from_env(environ, client_secret="b", timeout=3, retry=seic.Retry())
reply: httpx2.Response = seic.httpx2.Client(config).get("/x")
other: httpx.Response = seic.Client(config).get("/x")
seic.httpx2.AsyncClient(config, time_out=3)
seic.httpx2.Client(config, timeout=httpx.Timeout(3))
wrong: httpx.Response = seic.httpx2.Client(config).get("/x")
"""
_WRONG_OF_BOTH = 3

_HEAD = """\
import httpx

import seic
import seic.fastapi

config = seic.Config.from_env()
environ = {"SEIC_CLIENT_ID": "a"}
"""


@pytest.mark.parametrize("check", [run_mypy, run_pyright])
def test_a_misspelt_argument_is_found(check: Callable[[Path], list[tuple[int, str]]], tmp_path: Path) -> None:
    """Each wrong line has an error, and no other line has one."""
    file = tmp_path / "snippet.py"
    file.write_text(_HEAD + _RIGHT + _WRONG, encoding="utf-8")

    first = len((_HEAD + _RIGHT).splitlines()) + 1
    wrong = range(first, first + len(_WRONG.splitlines()))
    found = {line: message for line, message in check(file) if "defined in" not in message}
    assert sorted(found) == [*wrong], found


@pytest.mark.parametrize("check", [run_mypy, run_pyright])
def test_both_libraries_are_typed(check: Callable[[Path], list[tuple[int, str]]], tmp_path: Path) -> None:
    """The last lines are wrong, and no other line is."""
    file = tmp_path / "snippet.py"
    head = "import httpx2\nimport seic.httpx2\n" + _HEAD
    file.write_text(head + _BOTH, encoding="utf-8")

    end = len((head + _BOTH).splitlines()) + 1
    found = {line: message for line, message in check(file) if "defined in" not in message}
    assert sorted(found) == [*range(end - _WRONG_OF_BOTH, end)], found

"""The control of a running sandbox: its HTTP API, its guard, and the command that uses it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest

from seic.sandbox import Sandbox
from seic.sandbox.__main__ import main
from seic.sandbox._control.control_server import ControlServer
from tests._support.sandbox_client import api_client, ask_token, call, get_token, mtls_client


@pytest.fixture
def server(sandbox: Sandbox) -> Iterator[ControlServer]:
    """The control of the sandbox."""
    with ControlServer(sandbox) as server:
        yield server


@pytest.fixture
def control(server: ControlServer) -> Iterator[httpx.Client]:
    """A client that has the token."""
    with httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {server.token}"}) as client:
        yield client


@pytest.mark.parametrize("as_json", [False, True])
def test_a_fault_is_injected(as_json: bool, control: httpx.Client, sandbox: Sandbox, api: httpx.Client) -> None:
    """With a form, as curl sends it, or with JSON; the response is the state."""
    values = {"fault": "503", "target": "token", "times": "2", "seconds": "7"}
    reply = control.post("/faults", json=values) if as_json else control.post("/faults", data=values)
    assert reply.json()["faults"] == [{"fault": "503", "target": "token", "times": 2, "seconds": 7}]
    assert [ask_token(api, sandbox).status_code for _ in range(3)] == [503, 503, 200]
    assert control.get("/faults").json()["faults"] == []


def test_a_fault_without_an_end(control: httpx.Client, sandbox: Sandbox, api: httpx.Client) -> None:
    """It ends with `clear` or with DELETE, of its target or of all."""
    for end in ({"fault": "clear"}, {"fault": "clear", "target": "token"}, None):
        control.post("/faults", data={"fault": "500", "times": "always"})
        assert [ask_token(api, sandbox).status_code for _ in range(2)] == [500, 500]
        control.delete("/faults", params={"target": "api"})
        assert ask_token(api, sandbox).status_code == 500
        if end is None:
            control.delete("/faults")
        else:
            control.post("/faults", data=end)
        assert ask_token(api, sandbox).status_code == 200


@pytest.mark.parametrize("name", ["revoke-all", "expire-now", "idle-out"])
def test_tokens_end(name: str, control: httpx.Client, sandbox: Sandbox, api: httpx.Client) -> None:
    """Each action ends those that are active."""
    token = get_token(api, sandbox)
    assert control.post("/faults", data={"fault": name}).status_code == 200
    assert call(api, sandbox, token).status_code == 401


def test_the_clock_and_certificates(control: httpx.Client, sandbox: Sandbox) -> None:
    """Both hold until they are cleared."""
    other = sandbox.issue_certificate()
    control.post("/faults", data={"fault": "clock-skew", "seconds": "-60"})
    control.post("/faults", data={"fault": "refuse-certificate"})
    state = control.post("/faults", data={"fault": "refuse-certificate", "thumbprint": other.thumbprint}).json()
    assert sandbox.clock_skew == state["clock_skew"] == -60
    refused = {each.thumbprint for each in sandbox.issued_certificates}
    assert set(state["refused_certificates"]) == refused
    with mtls_client(sandbox, other) as client, pytest.raises(httpx.ReadError):
        ask_token(client, sandbox)
    control.post("/faults", data={"fault": "clear"})
    assert (sandbox.clock_skew, sandbox.refused_certificates) == (0, frozenset())


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({}, "fault"),
        ({"fault": "nothing"}, "fault"),
        ({"fault": "500", "times": "x"}, "times"),
        ({"fault": "500", "times": "0"}, "times"),
        ({"fault": "slow", "seconds": "nan"}, "seconds"),
        ({"fault": "clock-skew", "seconds": "1e99"}, "seconds"),
        ({"fault": "500", "colour": "red"}, "colour"),
        ({"fault": "clear", "target": "x"}, "target"),
        ({"fault": "refuse-certificate", "thumbprint": "x"}, "thumbprint"),
    ],
)
def test_a_wrong_field_is_named(values: Mapping[str, str], field: str, control: httpx.Client) -> None:
    """With status 400."""
    reply = control.post("/faults", json=values)
    assert reply.status_code == 400
    assert reply.json()["error"].startswith(f"{field}:")


@pytest.mark.parametrize(
    ("content_type", "body"), [("text/plain", "fault=500"), ("application/json", "{"), ("application/json", "[]")]
)
def test_a_body_of_another_kind_is_refused(content_type: str, body: str, control: httpx.Client) -> None:
    """A simple request of a browser has such a type."""
    reply = control.post("/faults", content=body, headers={"Content-Type": content_type})
    assert reply.status_code == 400


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({"Authorization": "Bearer x"}, 401, id="wrong token"),
        pytest.param({"Authorization": ""}, 401, id="no token"),
        pytest.param({"Host": "attacker.example"}, 403, id="DNS rebinding"),
        pytest.param({"Host": "localhost"}, 403, id="other port"),
        pytest.param({"Origin": "https://attacker.example"}, 403, id="other site"),
        pytest.param({"Origin": "null"}, 403, id="sandboxed frame"),
    ],
)
def test_other_sites_are_refused(
    headers: dict[str, str], status: int, control: httpx.Client, server: ControlServer, sandbox: Sandbox
) -> None:
    """Nothing is changed; its own origin is accepted."""
    values = {"fault": "500"}
    assert control.post("/faults", data=values, headers=headers).status_code == status
    assert sandbox.faults == []
    assert control.post("/faults", data=values, headers={"Origin": server.url}).status_code == 200


def test_the_page_of_another_port_is_another_site(control: httpx.Client, sandbox: Sandbox) -> None:
    """Also on this machine."""
    reply = control.post("/faults", data={"fault": "500"}, headers={"Origin": "http://localhost:1"})
    assert (reply.status_code, sandbox.faults) == (403, [])


def test_the_command_controls_a_running_sandbox(
    server: ControlServer, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the variables of the `export` lines, and by no proxy."""
    monkeypatch.setenv("SANDBOX_CONTROL", server.url)
    monkeypatch.setenv("SANDBOX_TOKEN", server.token)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    for module in ("seic.sandbox", "seic sandbox"):
        command = [sys.executable, "-m", *module.split(), "fault", "503", "--times", "always", "--seconds", "3"]
        assert subprocess.run(command, check=False).returncode == 0
        with api_client(sandbox) as client:
            assert ask_token(client, sandbox).headers["Retry-After"] == "3"
        assert main(["fault", "clear"]) == 0
        assert sandbox.faults == []


@pytest.mark.parametrize(
    ("environ", "code", "message"),
    [
        ({"SANDBOX_CONTROL": "", "SANDBOX_TOKEN": ""}, 2, "SANDBOX_CONTROL, SANDBOX_TOKEN: paste"),
        ({"SANDBOX_CONTROL": "http://localhost:1", "SANDBOX_TOKEN": "x"}, 1, "SANDBOX_CONTROL: no sandbox is running"),
        ({"SANDBOX_TOKEN": "x"}, 2, "Authorization: Bearer $SANDBOX_TOKEN"),
    ],
)
def test_a_wrong_variable_is_named(
    environ: dict[str, str],
    code: int,
    message: str,
    server: ControlServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Without a traceback."""
    for name, value in {"SANDBOX_CONTROL": server.url, **environ}.items():
        monkeypatch.setenv(name, value)
    assert main(["fault", "500"]) == code
    assert message in capsys.readouterr().err


def test_a_start_with_an_unknown_fault_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """The message lists the names."""
    assert main(["--fault", "api:nothing"]) == 2
    found: Any = capsys.readouterr().err
    assert found.startswith("sandbox: fault: must be one of 500, 503,")

"""Tokens and certificates under `seic proxy`: revoked, refused and rotated while requests are in progress."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from seic.sandbox import Sandbox
from tests._support.command import environment, variables_of
from tests._support.running_proxy import RunningProxy, parse_output
from tests._support.sandbox_client import ECHO_PATH


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Sandbox]:
    """Run a sandbox for one test, and set the variables of its client."""
    with Sandbox() as one, environment(variables_of(one, tmp_path), tmp_path):
        yield one


def statuses(sandbox: Sandbox) -> list[int | None]:
    """Return the statuses of the API requests so far."""
    return [each.status for each in sandbox.received(kind="api")]


@pytest.mark.parametrize("size", [0, 60_000])
@pytest.mark.parametrize("version", ["--http1.1", "--http2-prior-knowledge"])
def test_a_revoked_token(own: Sandbox, version: str, size: int) -> None:
    """The caller sees no 401: the request is sent again with a new token, with its body if that is short."""
    with RunningProxy() as proxy:
        assert proxy.curl(ECHO_PATH, version).status == 200
        own.revoke_all()
        got = proxy.curl(ECHO_PATH, version, *(["-d", "x" * size] if size else []))
    assert got.status == 200
    assert got.json["body_length"] == size
    assert "transfer-encoding" not in got.json["headers"]
    assert statuses(own) == [200, 401, 200]


def test_a_long_body_is_not_kept(own: Sandbox, tmp_path: Path) -> None:
    """The 401 goes to the caller, who has the body; the next request has a new token."""
    (tmp_path / "long").write_bytes(b"x" * 70_000)
    with RunningProxy("-v") as proxy:
        assert proxy.curl(ECHO_PATH).status == 200
        own.revoke_all()
        refused = proxy.curl("/v1/uploads", "-T", str(tmp_path / "long"), "-X", "POST")
        assert proxy.curl("/v1/uploads", "-T", str(tmp_path / "long"), "-X", "POST").json["length"] == 70_000
        log = proxy.end()[1]
    assert refused.status == 401
    # The API's own answer.
    assert "proxy-status" not in refused.headers
    assert statuses(own) == [200, 401, 200]
    assert "the body was a generator" in log


def test_no_token(own: Sandbox) -> None:
    """502 with the sentence of the library, without a secret."""
    own.fail_tokens(401, times=10)
    with RunningProxy() as proxy:
        refused = proxy.curl(ECHO_PATH)
        own.clear_faults()

    assert refused.status == 502
    assert "401" in refused.problem
    for secret in (own.client_secret, own.password, proxy.secret):
        assert secret.encode() not in refused.body
    assert statuses(own) == []


def test_a_rotated_certificate(own: Sandbox, tmp_path: Path) -> None:
    """No request fails while the files are replaced, and the new certificate is presented soon."""
    seen: list[int] = []
    rotated = threading.Event()

    def call_until_rotated(proxy: RunningProxy) -> None:
        name, _, value = proxy.authorization.partition(": ")
        with httpx.Client(headers={name: value}) as client:
            while not rotated.is_set():
                seen.append(client.get(f"{proxy.url}{ECHO_PATH}").status_code)

    with RunningProxy() as proxy:
        assert proxy.curl(ECHO_PATH).status == 200
        callers = [threading.Thread(target=call_until_rotated, args=(proxy,)) for _ in range(4)]
        for caller in callers:
            caller.start()
        issued = own.issue_certificate(key_type="rsa")
        for name, content in (("client.key", issued.key_pem), ("client.pem", issued.cert_pem)):
            staged = tmp_path / f"staged-{name}"
            staged.touch(mode=0o600)
            staged.write_bytes(content)
            staged.replace(tmp_path / name)
        for _ in range(2000):
            if own.received(kind="api")[-1].thumbprint == issued.thumbprint:
                break
            assert proxy.curl(ECHO_PATH).status == 200
        rotated.set()
        for caller in callers:
            caller.join()
        assert proxy.end() == (0, "")
    assert own.received(kind="api")[-1].thumbprint == issued.thumbprint
    assert len(seen) > 4
    assert set(seen) == {200}


def test_callers_share_a_token(own: Sandbox) -> None:
    """Ten programs at once cost one token request."""
    with RunningProxy() as proxy, own.hold_tokens() as hold:
        callers = [subprocess.Popen(proxy.curl_command(ECHO_PATH), stdout=subprocess.PIPE) for _ in range(10)]
        hold.wait_for(1)
        hold.release()
        answers = [parse_output(caller.communicate()[0]) for caller in callers]
    assert [answer.status for answer in answers] == [200] * 10
    assert own.token_requests == 1

"""Start, stop, URLs and credentials."""

from __future__ import annotations

import subprocess
import sys
import threading

import httpx
import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from seic import Token
from seic.sandbox import Sandbox
from tests._support.sandbox_client import api_client, ask_token, call, client_context, get_token


async def test_sandbox_is_an_async_context_manager() -> None:
    """Its thread ends with the block."""
    before = set(threading.enumerate())
    async with (
        Sandbox() as sandbox,
        httpx.AsyncClient(base_url=sandbox.api_url, verify=client_context(sandbox.ca_pem)) as client,
    ):
        reply = await client.get("/")
    assert reply.status_code == 401
    assert "seic-sandbox" not in {thread.name for thread in threading.enumerate() if thread not in before}


async def test_error_in_an_async_block_stops_the_sandbox() -> None:
    """The error is raised, and the hosts are closed."""
    sandbox = Sandbox()
    with pytest.raises(ZeroDivisionError):
        async with sandbox:
            raise ZeroDivisionError
    with pytest.raises(RuntimeError, match="is not running"):
        _ = sandbox.api_url


def test_sandbox_starts_only_once() -> None:
    """A second start is an error, while running and after; a second stop is not."""
    sandbox = Sandbox()
    with sandbox, pytest.raises(RuntimeError, match="only once"):
        sandbox.start()
    sandbox.stop()
    with pytest.raises(RuntimeError, match="only once"):
        sandbox.start()


def test_stop_before_the_start_changes_nothing() -> None:
    """The sandbox can still be started."""
    sandbox = Sandbox()
    sandbox.stop()
    with sandbox:
        assert sandbox.api_url


@pytest.mark.parametrize("name", ["api_url", "mtls_url", "proxy_url"])
@pytest.mark.parametrize("behind_proxy", [False, True])
def test_urls_need_a_running_sandbox(name: str, behind_proxy: bool) -> None:
    """There is no port before and after."""
    sandbox = Sandbox(behind_proxy=behind_proxy)
    with pytest.raises(RuntimeError, match="is not running"):
        getattr(sandbox, name)
    with sandbox:
        pass
    with pytest.raises(RuntimeError, match="is not running"):
        getattr(sandbox, name)


def test_hosts_depend_on_the_proxy() -> None:
    """Two TLS hosts, or one plain HTTP host behind a proxy; the error tells which."""
    with Sandbox() as sandbox:
        assert sandbox.api_url.startswith("https://localhost:")
        assert sandbox.mtls_url.startswith("https://localhost:")
        assert sandbox.api_url != sandbox.mtls_url
        with pytest.raises(RuntimeError, match="no proxy_url"):
            _ = sandbox.proxy_url
    with Sandbox(behind_proxy=True) as sandbox:
        assert sandbox.proxy_url.startswith("http://localhost:")
        for name in ("api_url", "mtls_url"):
            with pytest.raises(RuntimeError, match="only proxy_url"):
                getattr(sandbox, name)


def test_two_sandboxes_are_independent() -> None:
    """Neither accepts credentials or tokens of the other."""
    with Sandbox() as one, Sandbox() as other, api_client(one) as client, api_client(other) as stranger:
        token = get_token(client, one)
        assert ask_token(stranger, one).status_code == 401
        assert call(stranger, other, token).status_code == 401
        assert call(client, one, token).status_code == 200


def test_client_certificate_has_the_user_name() -> None:
    """Its CN is the user name, default or not."""
    sandbox = Sandbox(username="my-service")
    certificate = x509.load_pem_x509_certificate(sandbox.client_certificate_pem)
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(sandbox.ca_pem))
    assert certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "my-service"
    assert sandbox.client_key_pem.startswith(b"-----BEGIN PRIVATE KEY-----")


def test_revoke_accepts_a_token_of_the_sdk(sandbox: Sandbox, api: httpx.Client) -> None:
    """A `seic.Token` or its text."""
    assert sandbox.revoke(Token(access_token=get_token(api, sandbox)))
    assert not sandbox.revoke(Token(access_token="unknown"))


def test_repr_shows_no_secret(sandbox: Sandbox) -> None:
    """Neither the repr of the sandbox nor that of its attributes."""
    text = f"{sandbox!r} {vars(sandbox)!r}"
    assert sandbox.client_secret not in text
    assert sandbox.password not in text


def test_missing_aiohttp_is_explained() -> None:
    """The error tells what to install."""
    script = "import sys; sys.modules['aiohttp'] = None; import seic.sandbox"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert 'pip install "seic[sandbox]"' in result.stderr.splitlines()[-1]

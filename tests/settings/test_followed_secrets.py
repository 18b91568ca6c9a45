"""Secrets from files, programs and callables, which change while a client is in use."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest

import seic
from seic.sandbox import CertificateAuthority, IssuedCertificate, MockClock
from tests._support.settings import GATEWAY, SECRET, refused, write

_PLAIN = {"SEIC_PROVIDER": "oauth2", "SEIC_CLIENT_ID": "id", "SEIC_API_HOST": "api.example"}


class _Endpoint(httpx.MockTransport):
    """Accepts one secret of the form, and notes each that is sent."""

    def __init__(self, accepted: str, field: str = "client_secret") -> None:
        super().__init__(self._answer)
        self.accepted, self.field = accepted, field
        self.sent: list[str] = []

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if "/token" not in request.url.path and "oauthtoken" not in request.url.path:
            return httpx.Response(200)
        (secret,) = parse_qs(request.content.decode())[self.field]
        self.sent.append(secret)
        if secret == self.accepted:
            return httpx.Response(200, json={"access_token": f"of {secret}".replace(" ", "-"), "expires_in": 3600})
        return httpx.Response(401, json={"error": "invalid_client"})


def _script(path: Path, code: str) -> str:
    return f"{sys.executable} {write(path, code)}"


async def test_a_file_is_read_for_each_token(tmp_path: Path) -> None:
    """A change needs no restart; a file that is missing for a while does no harm."""
    file = write(tmp_path / "secret", "one")
    environ = {**_PLAIN, "SEIC_CLIENT_AUTH": "client_secret_post", "SEIC_CLIENT_SECRET_FILE": str(file)}
    endpoint = _Endpoint("one")
    async with seic.AsyncClient.from_env(environ, transport=endpoint) as client:
        await client.token()
        endpoint.accepted = "two"
        file.write_text("two\n")
        await client.token(force=True)
        file.unlink()
        await client.token(force=True)
    assert endpoint.sent == ["one", "two", "two"]


@pytest.mark.parametrize("setting", ["client_secret", "password"])
@pytest.mark.parametrize("blocking", [False, True], ids=["async", "blocking"])
async def test_a_refusal_ends_when_the_secret_changes(tmp_path: Path, setting: str, blocking: bool) -> None:
    """Until then, the refused secret is not sent again."""
    clock = MockClock()
    file = write(tmp_path / "secret", "old")
    post = {"SEIC_CLIENT_AUTH": "client_secret_post"}
    environ = {**GATEWAY, **post, f"SEIC_{setting.upper()}": "", f"SEIC_{setting.upper()}_FILE": str(file)}
    endpoint = _Endpoint("new", setting)
    clocks = seic.Clock(monotonic=clock, wall=clock)
    auth = seic.OAuth2Auth(seic.Config.from_env(environ), transport=endpoint, clock=clocks)

    async def token() -> seic.Token:
        return auth.token_sync() if blocking else await auth.token()

    for _ in range(3):
        clock.advance(1.01)
        with pytest.raises(seic.TokenRequestRefused):
            await token()
    refused_before = len(endpoint.sent)
    assert refused_before < 3
    for _ in range(20):
        with pytest.raises(seic.TokenRequestRefused):
            await token()
    assert len(endpoint.sent) == refused_before
    file.write_text("new")
    clock.advance(1.01)
    assert (await token()).access_token == "of-new"
    assert endpoint.sent[-1] == "new"
    await auth.aclose()


async def test_a_callable_in_code(tmp_path: Path) -> None:
    """It is called for each token, in a thread, and its errors name the argument."""
    secrets = iter(["one", "two"])
    config = seic.Config(
        provider=seic.Provider(token_url="/token", client_authentication=seic.ClientSecretPost()),
        hosts=seic.Hosts(api="api.example"),
        client_id="id",
        client_secret=lambda: next(secrets),
        grant=seic.ClientCredentials(),
    )
    assert "lambda" not in repr(config)
    endpoint = _Endpoint("one")
    async with seic.AsyncClient(config, transport=endpoint) as client:
        await client.token()
        endpoint.accepted = "two"
        await client.token(force=True)
        with pytest.raises(seic.ConfigurationError, match="client_secret: its callable raised StopIteration"):
            await client.token(force=True)
    assert endpoint.sent == ["one", "two"]


async def test_introspection_and_revocation_use_the_current_secret(tmp_path: Path) -> None:
    """Every request to the provider's endpoints does."""
    file = write(tmp_path / "secret", "one")
    sent: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(f"{request.url.path} {parse_qs(request.content.decode())['client_secret'][0]}")
        return httpx.Response(200, json={"access_token": "a", "active": True})

    environ = {
        **_PLAIN,
        "SEIC_CLIENT_AUTH": "client_secret_post",
        "SEIC_CLIENT_SECRET_FILE": str(file),
        "SEIC_REVOCATION_URL": "/revoke",
        "SEIC_INTROSPECTION_URL": "/introspect",
    }
    async with seic.AsyncClient.from_env(environ, transport=httpx.MockTransport(answer)) as client:
        await client.token()
        file.write_text("two")
        await client.token_info()
        file.write_text("three")
        await client.revoke()
    assert sent == ["/oauth/v2/token one", "/introspect two", "/revoke three"]


async def test_a_program_prints_the_secret(tmp_path: Path) -> None:
    """Without a shell: `$` and `;` are arguments like any other."""
    code = "import sys\nprint(sys.argv[1])\nprint('noise', file=sys.stderr)"
    environ = {**_PLAIN, "SEIC_CLIENT_AUTH": "client_secret_post"}
    environ["SEIC_CLIENT_SECRET_COMMAND"] = f"{_script(tmp_path / 'print.py', code)} 'a $HOME; b'"
    endpoint = _Endpoint("a $HOME; b")
    async with seic.AsyncClient.from_env(environ, transport=endpoint) as client:
        await client.token()
    assert endpoint.sent == ["a $HOME; b"]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import sys\nprint('secret-output')\nsys.exit(3)", "failed with exit code 3"),
        ("print()", "is empty"),
        ("import sys\nsys.stdout.buffer.write(b'\\xff\\xfe')", "is not UTF-8 text"),
        ("print('x' * 70000)", "is larger than 64 KiB"),
        ("while True: print('x' * 70000)", "is larger than 64 KiB"),
    ],
    ids=["exit code", "empty", "binary", "large", "endless"],
)
async def test_a_program_that_fails(tmp_path: Path, code: str, words: str) -> None:
    """The error names the variable and the program, not its arguments and output."""
    script = _script(tmp_path / "fail.py", code)
    environ = {**_PLAIN, "SEIC_CLIENT_SECRET_COMMAND": f"{script} --key={SECRET}"}
    async with seic.AsyncClient.from_env(environ, transport=_Endpoint("")) as client:
        with pytest.raises(seic.ConfigurationError) as caught:
            await client.token()
    error = caught.value
    assert error.field == "SEIC_CLIENT_SECRET_COMMAND"
    assert words in str(error)
    assert Path(sys.executable).name in str(error)
    for hidden in (SECRET, "secret-output", "fail.py"):
        assert hidden not in str(error)


async def test_a_program_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its children are ended too, although they keep its output open."""
    monkeypatch.setattr("seic._setting_secrets._SECONDS", 0.3)
    code = "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
    environ = {**_PLAIN, "SEIC_CLIENT_SECRET_COMMAND": _script(tmp_path / "hang.py", code)}
    async with seic.AsyncClient.from_env(environ, transport=_Endpoint("")) as client:
        with pytest.raises(seic.ConfigurationError, match="did not end within"):
            await client.token()


@pytest.mark.parametrize(
    ("command", "words"), [("'open", "quotation marks"), ("hunter2-and-more", "was not found")], ids=["quote", "none"]
)
def test_a_command_that_cannot_run_is_refused(command: str, words: str) -> None:
    """At the start, and without its text, which may be the secret itself."""
    error = refused({**_PLAIN, "SEIC_CLIENT_SECRET_COMMAND": command})
    assert error.field == "SEIC_CLIENT_SECRET_COMMAND"
    assert words in str(error)
    assert command not in str(error)


def test_a_secret_has_one_source(tmp_path: Path) -> None:
    """A file and a program for the same secret contradict each other."""
    file = str(write(tmp_path / "secret", "x"))
    error = refused({**_PLAIN, "SEIC_CLIENT_SECRET_FILE": file, "SEIC_CLIENT_SECRET_COMMAND": "echo x"})
    assert error.field == "SEIC_CLIENT_SECRET_COMMAND"
    assert "SEIC_CLIENT_SECRET_FILE is also set" in str(error)


def test_a_command_in_a_profile_can_be_a_list(tmp_path: Path) -> None:
    """As in `["program", "argument with spaces"]`."""
    lines = ["[default]", *(f"{name.removeprefix('SEIC_').lower()} = '{text}'" for name, text in _PLAIN.items())]
    file = write(tmp_path / "p.toml", "\n".join([*lines, "client_secret_command = ['echo', 'two  words']"]))
    secret: Any = seic.Config.from_file(file).client_secret
    assert secret() == "two  words"


@pytest.mark.parametrize("first", ["certificate", "passphrase"])
def test_a_certificate_renewed_with_its_passphrase(tmp_path: Path, first: str) -> None:
    """In any order: while one of the two is missing, the old pair stays in use. Both files are watched."""
    authority = CertificateAuthority()
    old, new = authority.issue("svc-user"), authority.issue("svc-user")

    def encrypted(pair: IssuedCertificate, passphrase: str) -> str:
        return (pair.cert_pem + pair.encode_key(passphrase.encode())).decode()

    certificate = write(tmp_path / "client.pem", encrypted(old, "first"))
    certificate.chmod(0o600)
    passphrase = write(tmp_path / "passphrase", "first")
    environ = {
        **GATEWAY,
        "SEIC_CERTIFICATE": str(certificate),
        "SEIC_CERTIFICATE_PASSWORD_FILE": str(passphrase),
        "SEIC_MTLS_HOST": "mtls.example",
    }
    renewals: dict[str, Callable[[], object]] = {
        "certificate": lambda: certificate.write_text(encrypted(new, "second")),
        "passphrase": lambda: passphrase.write_text("second"),
    }
    with seic.Client.from_env(environ) as client:
        before = client.certificate
        assert before is not None
        assert {certificate, passphrase} <= {*before.files}
        renewals.pop(first)()
        with pytest.raises(seic.CertificateError):
            client.reload_certificate()
        assert client.certificate == before
        for renew in renewals.values():
            renew()
        assert client.reload_certificate()
        assert client.certificate != before

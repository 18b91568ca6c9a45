"""No secret in the output of a run: prints, DEBUG logs, warnings and errors."""

from __future__ import annotations

import asyncio
import base64
import gc
import json
import os
import subprocess
import sys
import textwrap
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeAlias

import httpx
import pytest

import seic
from seic import MemoryStore
from seic.sandbox import CertificateAuthority, Sandbox
from tests._support.faces import KINDS, Kind, open_client
from tests._support.planted import all_logs
from tests._support.sandbox_client import ECHO_PATH
from tests._support.secret_runs import PASSPHRASE, Run
from tests._support.wire import wire

# Scenarios, each returning the errors that a user would get


Scenario: TypeAlias = Callable[[Run, Kind], Coroutine[Any, Any, list[BaseException]]]


async def _fail(kind: Kind, config: seic.Config, path: str = ECHO_PATH, **options: Any) -> list[BaseException]:
    async with open_client(kind, config, **options) as client:
        try:
            await client.get(path)
        except (seic.SeicError, httpx.HTTPError) as error:
            return [error]
    raise AssertionError("nothing went wrong")


async def all_is_well(run: Run, kind: Kind) -> list[BaseException]:
    """A token, calls, a revocation and a retry."""
    async with open_client(kind, run.config(store=MemoryStore())) as client:
        await client.get(ECHO_PATH)
        run.sandbox.revoke_all()
        assert (await client.request("POST", ECHO_PATH, content=b"x")).status_code == 200
        assert (await client.get("/v1/nowhere")).status_code == 404
        await client.token(force=True)
    return []


async def wrong_secret(run: Run, kind: Kind) -> list[BaseException]:
    """The client secret is refused."""
    return await _fail(kind, run.config(client_secret=run.planted.add("wrong secret", "wr/ong+se=cr&et %é")))


async def wrong_password(run: Run, kind: Kind) -> list[BaseException]:
    """The service account is refused."""
    password = run.planted.add("wrong password", "wr/ong+pa=ss&word %é")
    grant = seic.ClientCredentials(username=run.sandbox.username, password=password)
    return await _fail(kind, run.config(grant=grant))


async def echoing_endpoint(run: Run, kind: Kind) -> list[BaseException]:
    """A token endpoint whose error contains the request."""
    said = f"{run.sandbox.client_secret} {run.sandbox.password}"
    form = {"code": "x", "message": said, "trackingId": said, "transient": "false", "errors": [{"reason": said}]}
    run.sandbox.fail_tokens(400, body=json.dumps(form))
    return await _fail(kind, run.config())


async def echoing_standard_endpoint(run: Run, kind: Kind) -> list[BaseException]:
    """The same in the format of RFC 6749."""
    said = f"{run.sandbox.client_secret} {run.sandbox.password}"
    run.sandbox.fail_tokens(400, body=json.dumps({"error": "invalid_client", "error_description": said}))
    return await _fail(kind, run.config())


async def broken_endpoint(run: Run, kind: Kind) -> list[BaseException]:
    """A token endpoint that is down, with a page that contains the request."""
    run.sandbox.fail_tokens(503, times=9, body=f"<html>{run.sandbox.client_secret} {run.sandbox.password}</html>")
    return await _fail(kind, run.config())


async def malformed_token(run: Run, kind: Kind) -> list[BaseException]:
    """A token in an invalid response."""
    token = run.planted.add("malformed token", "tok/en+of=a&broken %reply")
    bodies = (
        json.dumps({"access_token": token, "token_type": "Bearer", "expires_in": []}),
        json.dumps({"access_token": [token]}),
        json.dumps({"access_token": f"{token}\n", "token_type": "Bearer"}),
        json.dumps({"access_token": token, "token_type": token}),
        f'{{"access_token": "{token}"',
        json.dumps([token]),
    )
    errors: list[BaseException] = []
    for body in bodies:
        run.sandbox.fail_tokens(200, times=2, body=body)
        errors += await _fail(kind, run.config())
        run.sandbox.clear_faults()
    return errors


async def redirected_endpoint(run: Run, kind: Kind) -> list[BaseException]:
    """A token endpoint that redirects."""
    run.sandbox.fail_tokens(307, times=9, headers={"Location": "https://elsewhere.example/v2/oauthtoken"})
    return await _fail(kind, run.config())


async def slow_endpoint(run: Run, kind: Kind) -> list[BaseException]:
    """A token endpoint that times out."""
    with run.sandbox.hold_tokens():
        return await _fail(kind, run.config(token_timeout=0.3))


async def nobody_there(run: Run, kind: Kind) -> list[BaseException]:
    """A closed port."""
    with Sandbox() as other:
        gone = other.mtls_url
    return await _fail(kind, run.config(hosts=seic.Hosts(mtls=gone)))


async def unknown_server(run: Run, kind: Kind) -> list[BaseException]:
    """A server of an untrusted authority."""
    return await _fail(kind, run.config(ca=CertificateAuthority().cert_pem))


async def unknown_client(run: Run, kind: Kind) -> list[BaseException]:
    """A certificate of an authority that the server does not trust."""
    pair = CertificateAuthority().issue(run.sandbox.username)
    run.planted.add_key(pair, pair.key_pem)
    return await _fail(kind, run.config(certificate=seic.ClientCertificate.load(pair.cert_pem, key=pair.key_pem)))


async def foreign_host(run: Run, kind: Kind) -> list[BaseException]:
    """A call that would send the token to another host, before and after there is a token."""
    async with open_client(kind, run.config()) as client:
        await client.get(ECHO_PATH)
        with pytest.raises(seic.HostNotAllowed) as caught:
            await client.get("https://evil.example/")
    return [*await _fail(kind, run.config(), "https://evil.example/"), caught.value]


async def broken_api(run: Run, kind: Kind) -> list[BaseException]:
    """An API that closes the connection: httpx's own errors, which contain the request."""
    with wire() as server:
        token = run.planted.add("token of the wire", "tok-of-the-wire.1234")
        answer = httpx.Response(200, json={"access_token": token, "token_type": "Bearer", "expires_in": 60})
        transport = httpx.MockTransport(lambda _: answer)
        hosts = seic.Hosts(api=server.url, allow_http_on_loopback=True)
        config = run.sandbox.config(hosts=hosts)
        auth = seic.OAuth2Auth(config, transport=transport)
        errors = []
        for path in ("/break-off", "/no-http", "/half"):
            errors += await _fail(kind, config, path, auth=auth)
        return errors


async def unsent_call(run: Run, kind: Kind) -> list[BaseException]:
    """A call that cannot be sent: the data is in the local variables of the sender."""
    async with open_client("async", run.config(), timeout=httpx.Timeout(10, write=0)) as client:
        with pytest.raises(httpx.WriteTimeout) as caught:
            await client.get(ECHO_PATH)
    return [caught.value]


async def broken_store(run: Run, kind: Kind) -> list[BaseException]:
    """A store whose errors contain its arguments."""

    class Leaky(MemoryStore):
        def load(self, key: str) -> seic.Token | None:
            raise RuntimeError(f"load {run.sandbox.client_secret}")

        def save(self, key: str, token: seic.Token) -> None:
            raise RuntimeError(f"save {token.access_token}")

    async with open_client(kind, run.config(store=Leaky())) as client:
        assert (await client.get(ECHO_PATH)).status_code == 200
    return []


async def broken_listener(run: Run, kind: Kind) -> list[BaseException]:
    """A listener that fails."""

    def listener(event: seic.events.Event) -> None:
        raise RuntimeError(repr(event))

    async with open_client(kind, run.config(), on_event=listener) as client:
        assert (await client.get(ECHO_PATH)).status_code == 200
    return []


async def cancelled_call(run: Run, kind: Kind) -> list[BaseException]:
    """A caller that is cancelled during a refresh."""
    async with open_client("async", run.config()) as client:
        with run.sandbox.hold_tokens() as hold:
            call = asyncio.create_task(client.get(ECHO_PATH))
            await asyncio.to_thread(hold.wait_for, 1)
            call.cancel()
            with pytest.raises(asyncio.CancelledError) as caught:
                await call
        return [caught.value]


async def wrong_material(run: Run, kind: Kind) -> list[BaseException]:
    """A wrong or missing passphrase, a key that does not match, a key instead of a certificate."""
    wrong = run.planted.add("wrong passphrase", "wr/ong+phr=ase&of %key")
    other = CertificateAuthority().issue("other")
    run.planted.add_key(other, other.key_pem)
    errors: list[BaseException] = []
    attempts: list[dict[str, Any]] = [
        {"password": wrong},
        {},
        {"key": other.key_pem},
        {"key": other.key_pem.decode()},
        {"key": str(run.certificate)},
        {"certificate": run.encrypted, "password": PASSPHRASE},
        {"certificate": run.encrypted.decode(), "password": wrong},
        {"key": base64.b64encode(other.key_pem).decode(), "password": wrong},
        {"key": other.key_pem[:100]},
    ]
    for attempt in attempts:
        options = {"certificate": str(run.certificate), "key": str(run.key), **attempt}
        with pytest.raises(seic.CertificateError) as caught:
            seic.ClientCertificate.load(options.pop("certificate"), **options)
        errors.append(caught.value)
    return errors


async def failed_revocation(run: Run, kind: Kind) -> list[BaseException]:
    """A failed revocation, with the token in the response."""
    errors: list[BaseException] = []
    async with open_client(kind, run.config(store=MemoryStore())) as client:
        for status in (400, 500):
            token = await client.token(force=True)
            run.sandbox.fail_tokens(status, body=json.dumps({"error": "x", "error_description": token.access_token}))
            with pytest.raises(seic.TokenError) as caught:
                await client.revoke()
            errors.append(caught.value)
    return errors


async def unreplayed_call(run: Run, kind: Kind) -> list[BaseException]:
    """A 401 with a consumed body, raised as an error; then a failed renewal."""
    async with open_client(kind, run.config()) as client:
        await client.get(ECHO_PATH)
        run.sandbox.revoke_all()

        async def once() -> AsyncIterator[bytes]:
            yield b"x"

        reply = await client.request("POST", ECHO_PATH, content=once() if kind == "async" else iter([b"x"]))
        with pytest.raises(seic.ApiError) as unreplayed:
            seic.raise_for_status(reply)
        run.sandbox.fail_tokens(503, times=9, body=run.sandbox.client_secret)
        with pytest.raises(seic.TokenEndpointUnavailable) as caught:
            await client.get(ECHO_PATH)
    return [unreplayed.value, caught.value]


_SCENARIOS: list[Scenario] = [
    all_is_well,
    wrong_secret,
    wrong_password,
    echoing_endpoint,
    echoing_standard_endpoint,
    broken_endpoint,
    malformed_token,
    redirected_endpoint,
    slow_endpoint,
    nobody_there,
    unknown_server,
    unknown_client,
    foreign_host,
    broken_api,
    unsent_call,
    failed_revocation,
    unreplayed_call,
    broken_store,
    broken_listener,
    cancelled_call,
    wrong_material,
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scenario", _SCENARIOS, ids=lambda scenario: scenario.__name__)
async def test_a_failing_run_leaves_no_secret_behind(
    scenario: Scenario, kind: Kind, run: Run, capfd: pytest.CaptureFixture[str]
) -> None:
    """All loggers at the lowest level, both streams, all warnings, each error with its frames, causes and pickle."""
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 0  # asyncio then logs its callbacks
    with all_logs() as logs, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        errors = await scenario(run, kind)
        gc.collect()
    loop.set_debug(False)
    printed = capfd.readouterr()

    assert logs.text or errors
    for text in (*logs.text, printed.out, printed.err, *(str(vars(warning)) for warning in warned)):
        assert run.planted.find(text) == [], text
    for error in errors:
        assert run.planted.find_in_error(error) == [], repr(error)


async def test_the_logs_of_the_libraries_are_among_what_is_searched(run: Run) -> None:
    """The searched logs include the SDK, the HTTP libraries and the event loop at DEBUG."""
    asyncio.get_running_loop().set_debug(True)
    with all_logs() as logs:
        await all_is_well(run, "async")

    assert {"seic", "seic.api", "httpcore.connection", "httpcore.http11", "seic.sandbox"} <= logs.names


# A crashing program


_PROGRAM = """
import asyncio, logging, sys, warnings
import seic

logging.basicConfig(level=1, stream=sys.stdout)

async def main():
    async with seic.AsyncClient.from_env() as client:
        print(repr(client), client._oauth.config)
        (await client.get("/v1/echo")).raise_for_status()
        await client.get("/v1/echo")
        await client.get(sys.argv[1])

asyncio.run(main(), debug=True)
"""


@pytest.mark.parametrize("wrong", ["SEIC_CLIENT_SECRET", "SEIC_PASSWORD", "SEIC_CERTIFICATE_PASSWORD", "the host"])
def test_a_program_that_ends_with_a_traceback_prints_no_secret(wrong: str, run: Run) -> None:
    """Python in development mode, all loggers, and an unhandled error: the output contains no secret."""
    variables = {
        "SEIC_CLIENT_ID": run.sandbox.client_id,
        "SEIC_CLIENT_SECRET": run.sandbox.client_secret,
        "SEIC_USERNAME": run.sandbox.username,
        "SEIC_PASSWORD": run.sandbox.password,
        "SEIC_CERTIFICATE": str(run.certificate),
        "SEIC_CERTIFICATE_KEY": run.encrypted.decode(),
        "SEIC_CERTIFICATE_PASSWORD": PASSPHRASE,
        "SEIC_CA": run.sandbox.ca_pem.decode(),
        "SEIC_MTLS_HOST": run.sandbox.mtls_url,
    }
    if wrong in variables:
        variables[wrong] = run.planted.add("the wrong one", "wr/ong+on=e&%é")
    environ = {name: value for name, value in os.environ.items() if not name.startswith("SEIC_")}
    ended = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "always", "-c", textwrap.dedent(_PROGRAM), "https://evil.example/"],
        env={**environ, **variables, "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        timeout=60,
        check=False,
    )

    assert ended.returncode == 1
    assert b"Traceback" in ended.stderr
    assert b"\nseic." in ended.stderr
    assert run.planted.find(ended.stdout + ended.stderr) == []

"""No secret in the local variables of the frames of a failing call, which crash reporters record."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias
from urllib.parse import parse_qsl

import attrs
import httpx
import pytest

import seic
from tests._support.clocks import FakeClock
from tests._support.jwts import EC_KEY, pem
from tests._support.planted import Planted

HOST = "https://idp.example"
PLAIN = attrs.evolve(
    seic.OAUTH2,
    introspection_url="/introspect",
    revocation_url="/revoke",
    device_authorization_url="/device",
    authorize_url="/authorize",
    issuer=HOST,
)
PLATFORM = attrs.evolve(seic.SEI_PLATFORM, revocation_url="/revoke")


class Server:
    """Knows the secrets, answers token requests until it is told to fail, and then echoes the request.

    Attributes:
        fails: The failure of the next requests; None for success.
    """

    def __init__(self, planted: Planted) -> None:
        self.fails: Callable[[str], httpx.Response] | None = None
        self._reply = {
            "access_token": planted.add("access token", "acc/ess+to=ken-of&the%server"),
            "refresh_token": planted.add("refresh token", "ref/resh+to=ken-of&the %server"),
            "expires_in": 3600,
        }
        self._device = {
            "device_code": planted.add("device code", "dev/ice+co=de-of&the %server"),
            "user_code": "ABCD",
            "verification_uri": f"{HOST}/activate",
            "expires_in": 60,
        }

    @property
    def transport(self) -> httpx.MockTransport:
        """A transport to this server."""
        return httpx.MockTransport(self.answer)

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        said = " ".join([*(value for _, value in parse_qsl(request.content.decode())), *request.headers.values()])
        if self.fails is not None:
            return self.fails(said)
        if request.url.path == "/device":
            return httpx.Response(200, json=self._device)
        token_type = "DPoP" if "DPoP" in request.headers else "Bearer"
        return httpx.Response(200, json={**self._reply, "token_type": token_type})


def _breaks(said: str) -> httpx.Response:
    raise httpx.ReadError(said)


def _bursts(said: str) -> httpx.Response:
    raise RuntimeError(said)


FAULTS: dict[str, Callable[[str], httpx.Response]] = {
    "refused": lambda said: httpx.Response(400, json={"error": said, "error_description": said}),
    "refused in the gateway's form": lambda said: httpx.Response(
        401, json={"code": said, "message": said, "trackingId": said}, headers={"requesttrackingid": "id-1"}
    ),
    "unavailable": lambda said: httpx.Response(503, text=said),
    "no JSON": lambda said: httpx.Response(200, text=f"<html>{said}</html>"),
    "a JSON that is none": lambda said: httpx.Response(200, text=json.dumps({said: said})[:-1]),
    "other members": lambda said: httpx.Response(
        200, json={"access_token": [said], "active": [said], "device_code": said, "cascade": said}
    ),
    "another token": lambda said: httpx.Response(
        200, json={"access_token": said.split()[0], "token_type": said, "expires_in": said, "scope": 1}
    ),
    "redirected": lambda said: httpx.Response(307, headers={"Location": "https://elsewhere.example/?" + "x" * 9}),
    "compressed": lambda said: httpx.Response(200, headers={"Content-Encoding": "br"}, stream=httpx.ByteStream(b"x")),
    "broken off": _breaks,
    "a mistake in the transport": _bursts,
}


@attrs.frozen
class Scene:
    """The objects of a call."""

    server: Server
    planted: Planted
    fails: Callable[[str], httpx.Response]
    clock: FakeClock = attrs.field(factory=FakeClock)

    def config(self, provider: seic.Provider = PLAIN, **changes: Any) -> seic.Config:
        """Return a configuration with secrets of each kind."""
        settings: dict[str, Any] = {
            "provider": provider,
            "hosts": seic.Hosts(api=HOST),
            "client_id": "client-1",
            "client_secret": self.planted.add("client secret", "cli/ent+se=cret-that&is %long-enough"),
            "grant": seic.ClientCredentials(
                username="ann", password=self.planted.add("password", "pass/wo+rd=of&the %account")
            )
            if provider.username_field
            else seic.ClientCredentials(),
        }
        return seic.Config(**{**settings, **changes})

    def fail(self) -> None:
        """Let all further requests fail."""
        self.server.fails = self.fails


Call: TypeAlias = Callable[[Scene], Awaitable[object]]


def _of_client(name: str, provider: seic.Provider, **changes: Any) -> Call:
    async def call(scene: Scene) -> object:
        async with seic.AsyncClient(scene.config(provider, **changes), transport=scene.server.transport) as client:
            if name != "token":
                await client.token()
            scene.fail()
            return await getattr(client, name)()

    return call


def _of_blocking_client(name: str, provider: seic.Provider, **changes: Any) -> Call:
    async def call(scene: Scene) -> object:
        with seic.Client(scene.config(provider, **changes), transport=scene.server.transport) as client:
            if name != "token":
                client.token()
            scene.fail()
            return getattr(client, name)()

    return call


def _device_config(scene: Scene) -> seic.Config:
    return scene.config(grant=seic.DeviceCode())


def _ways(scene: Scene) -> dict[str, Any]:
    return {"transport": scene.server.transport, "clock": scene.clock.clock}


async def _device_begin(scene: Scene) -> object:
    scene.fail()
    return await seic.DeviceLogin.begin(_device_config(scene), **_ways(scene))


async def _device_begin_blocking(scene: Scene) -> object:
    scene.fail()
    return seic.DeviceLogin.begin_sync(_device_config(scene), **_ways(scene))


async def _device_finish(scene: Scene) -> object:
    login = await seic.DeviceLogin.begin(_device_config(scene), **_ways(scene))
    scene.fail()
    return await login.finish()


async def _device_finish_blocking(scene: Scene) -> object:
    login = seic.DeviceLogin.begin_sync(_device_config(scene), **_ways(scene))
    scene.fail()
    return login.finish_sync()


async def _code(scene: Scene) -> object:
    login = seic.Login.begin(provider=PLAIN, client_id="client-1", redirect_uri=f"{HOST}/back", hosts=seic.Hosts(HOST))
    assert login.code_verifier is not None
    scene.planted.add("state", login.state)
    scene.planted.add("verifier", login.code_verifier)
    code = scene.planted.add("code", "co-de-of-the-login.1234")
    grant = login.finish(f"{HOST}/back?code={code}&state={login.state}", subject="ann")
    scene.fail()
    async with seic.AsyncClient(scene.config(grant=grant), transport=scene.server.transport) as client:
        return await client.token()


async def _private_key(scene: Scene) -> object:
    key = pem(EC_KEY)
    for line in key.decode().splitlines()[1:-1]:
        scene.planted.add("private key", line)
    provider = attrs.evolve(PLAIN, client_authentication=seic.PrivateKeyJwt(key=key))
    return await _of_client("token", provider, dpop=seic.DPoP(key=key))(scene)


def _with(make: Callable[[str], Any]) -> Call:
    async def call(scene: Scene) -> object:
        grant = make(scene.planted.add("what the grant carries", "sub/ject+to=ken-of&the %grant"))
        provider = seic.SEI_GATEWAY if isinstance(grant, seic.SessionToken) else PLAIN
        provider = attrs.evolve(provider, session_token_field="sessionToken")
        return await _of_client("token", provider, grant=grant)(scene)

    return call


CALLS: dict[str, Call] = {
    **{
        f"{name}() at {provider.name}, {kind}": make(name, provider)
        for kind, make in (("async", _of_client), ("blocking", _of_blocking_client))
        for provider in (PLAIN, PLATFORM)
        for name in ("token", "token_info", "revoke")
    },
    "token() at the gateway": _of_client("token", seic.SEI_GATEWAY),
    "revoke() at the gateway": _of_client("revoke", seic.SEI_GATEWAY),
    "token() with DPoP": _of_client("token", PLAIN, dpop=seic.DPoP()),
    "a login on another device begins, async": _device_begin,
    "a login on another device begins, blocking": _device_begin_blocking,
    "a login on another device ends, async": _device_finish,
    "a login on another device ends, blocking": _device_finish_blocking,
    "a code": _code,
    "a private key": _private_key,
    "a refresh token": _with(lambda secret: seic.RefreshToken(refresh_token=secret)),
    "a password": _with(lambda secret: seic.Password(username="ann", password=secret)),
    "a token exchange": _with(lambda secret: seic.TokenExchange(subject_token=secret, actor_token=secret)),
    "a JWT": _with(lambda secret: seic.JwtBearer(assertion=secret)),
    "a session": _with(lambda secret: seic.SessionToken(session_token=secret)),
}


# These succeed, since only the status counts (RFC 7009 §2.2, and the gateway).
_SUCCESSES = {"no JSON", "a JSON that is none", "other members", "another token"}
ROWS = [
    pytest.param(call, fault, id=f"{name}: {how}")
    for name, call in CALLS.items()
    for how, fault in FAULTS.items()
    if not (name.startswith("revoke()") and "platform" not in name and how in _SUCCESSES)
]


@pytest.mark.parametrize(("call", "fault"), ROWS)
async def test_a_failing_call_shows_no_secret(
    call: Call, fault: Callable[[str], httpx.Response], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the error, nor its causes, nor the local variables of their frames contain one."""
    planted = Planted()
    scene = Scene(Server(planted), planted, fault)

    async def pause(seconds: float) -> None:
        scene.clock.advance(seconds)

    monkeypatch.setattr("anyio.sleep", pause)
    with pytest.raises((seic.SeicError, RuntimeError)) as caught:
        await call(scene)
    assert planted.find_in_error(caught.value) == []


async def test_each_fault_repeats_what_was_sent() -> None:
    """The search has something to find: the server's message contains the client secret."""
    planted = Planted()
    scene = Scene(Server(planted), planted, FAULTS["refused"])
    scene.fail()
    config = scene.config()
    async with httpx.AsyncClient(transport=scene.server.transport) as client:
        reply = await client.post(config.token_url, data={"client_secret": config.client_secret})
    assert any(name.startswith("client secret") for name in planted.find(reply.json()["error"]))


def _login(planted: Planted, **changes: Any) -> tuple[seic.Login, str]:
    provider = attrs.evolve(PLAIN, **changes)
    login = seic.Login.begin(
        provider=provider, client_id="client-1", redirect_uri=f"{HOST}/back", hosts=seic.Hosts(HOST)
    )
    assert login.code_verifier is not None
    planted.add("state", login.state)
    planted.add("verifier", login.code_verifier)
    return login, planted.add("code", "co-de-of-the-login.1234")


def _another_login(planted: Planted) -> object:
    login, code = _login(planted)
    return login.finish(f"{HOST}/back?code={code}&state=x")


def _another_issuer(planted: Planted) -> object:
    login, code = _login(planted)
    return login.finish(f"{HOST}/back?code={code}&state={login.state}&iss=x")


def _no_issuer(planted: Planted) -> object:
    login, code = _login(planted, issuer=None, issuer_in_callback=True)
    return login.finish(f"{HOST}/back?code={code}&state={login.state}")


def _failed_login(planted: Planted) -> object:
    login, code = _login(planted)
    return login.finish(f"{HOST}/back?code={code}&state={login.state}&error=access_denied")


def _finished_login(planted: Planted) -> object:
    login, code = _login(planted)
    callback = f"{HOST}/back?code={code}&state={login.state}"
    login.finish(callback)
    return login.finish(callback)


def _key(planted: Planted) -> tuple[bytes, str]:
    key = pem(EC_KEY)
    for line in key.decode().splitlines()[1:-1]:
        planted.add("private key", line)
    return key, planted.add("passphrase", "pass/phra+se=of&the %key")


def _passphrase_of_an_open_key(planted: Planted) -> object:
    key, password = _key(planted)
    return seic.DPoP(key=key, password=password)


def _algorithm_of_another_key(planted: Planted) -> object:
    key, _ = _key(planted)
    return seic.DPoP(key=key, algorithm="RS256")


def _proof_by_a_key_that_does_not_open(planted: Planted) -> object:
    key, password = _key(planted)
    method = seic.PrivateKeyJwt(key=key[:-40], password=password)
    return Scene(Server(planted), planted, _breaks).config(attrs.evolve(PLAIN, client_authentication=method))


@pytest.mark.parametrize(
    "call",
    [
        _another_login,
        _another_issuer,
        _no_issuer,
        _failed_login,
        _finished_login,
        _passphrase_of_an_open_key,
        _algorithm_of_another_key,
        _proof_by_a_key_that_does_not_open,
    ],
    ids=lambda call: call.__name__.strip("_").replace("_", " "),
)
def test_a_call_that_fails_without_a_server_shows_no_secret(call: Callable[[Planted], object]) -> None:
    """The same if nothing is sent."""
    planted = Planted()
    with pytest.raises(seic.SeicError) as caught:
        call(planted)
    assert planted.find_in_error(caught.value) == []

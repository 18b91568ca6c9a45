"""Reports of other tools show no secret: pytest's explanation of an assertion, and headers in a crash reporter."""

from __future__ import annotations

import gc
import pickle
from collections.abc import Iterable, Iterator, Mapping
from types import FrameType, FunctionType, ModuleType
from typing import Any

import httpx
import httpx2
import pytest

import seic
from seic.testing import MockProvider
from tests._support.planted import Planted

SECRETS = ("hidden-one-1234", "hidden-two-5678")
VALUES = {
    "config": "seic.Config(provider=seic.OAUTH2, hosts=seic.Hosts('a.example'), client_id='a', client_secret={0!r}, "
    "grant=seic.RefreshToken(refresh_token={0!r}))",
    "client credentials": "seic.ClientCredentials(username='u', password={0!r})",
    "password": "seic.Password(username='u', password={0!r})",
    "refresh token": "seic.RefreshToken(refresh_token={0!r})",
    "code": "seic.AuthorizationCode(code={0!r}, redirect_uri='https://app.example/', code_verifier={0!r})",
    "session token": "seic.SessionToken(session_token={0!r})",
    "token exchange": "seic.TokenExchange(subject_token={0!r})",
    "JWT": "seic.JwtBearer(assertion={0!r})",
    "token": "seic.Token(access_token={0!r}, refresh_token={0!r})",
    "existing token": "seic.ExistingToken(token=seic.Token(access_token={0!r}))",
    "client authentication": "seic.PrivateKeyJwt(key='k.pem', password={0!r})",
    "provider": "seic.Provider(token_url='/t', client_authentication=seic.PrivateKeyJwt(key='k.pem', password={0!r}))",
    "a dataclass with a token": "Box(seic.Token(access_token={0!r}))",
    "a list of tokens": "[seic.Token(access_token={0!r})]",
    "a dict with a config": "{{'a': seic.ClientCredentials(username='u', password={0!r})}}",
}


def test_a_failed_comparison_shows_no_secret(pytester: pytest.Pytester) -> None:
    """In its most detailed form: pytest prints the attributes of two values that differ, hidden ones too."""
    left, right = (
        [f"    lambda: {text.format(secret)},  # {name}" for name, text in VALUES.items()] for secret in SECRETS
    )
    pytester.makepyfile(
        "\n".join(
            [
                "import dataclasses, pytest, seic",
                "@dataclasses.dataclass",
                "class Box: token: object",
                "LEFT = [",
                *left,
                "]",
                "RIGHT = [",
                *right,
                "]",
                "@pytest.mark.parametrize('number', range(len(LEFT)))",
                "def test_it(number):",
                "    one, other = LEFT[number](), RIGHT[number]()",
                "    assert one == LEFT[number]()",
                "    assert one == other",
            ]
        )
    )
    result = pytester.runpytest("-vv", "--showlocals", "-p", "no:cacheprovider", "-p", "no:asyncio")

    result.assert_outcomes(failed=len(VALUES))
    # The lines of the source are shown only if an error is raised there.
    shown = result.stdout.str()
    assert "assert" in shown
    assert [secret for secret in SECRETS if secret in shown] == []


def _as_reported(value: object) -> str:
    """Return a local variable as crash reporters do: a mapping by its items, everything by its repr."""
    if isinstance(value, Mapping):
        return repr({str(name): repr(one) for name, one in value.items()})
    return repr(value)


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
def test_the_headers_of_a_request_show_no_token(library: Any, gateway: MockProvider) -> None:
    """`request.headers` is a mapping, which crash reporters copy; a program still reads the token."""
    auth: Any = seic.OAuth2Auth(gateway.config(), transport=gateway)
    transport = library.MockTransport(lambda _request: library.Response(200))
    with library.Client(auth=auth, transport=transport, base_url=gateway.config().base_url) as client:
        for _ in range(3):
            headers = client.get("/x").request.headers
            for shown in (headers, headers.items(), headers.values(), headers.multi_items(), headers.raw):
                assert "token-" not in _as_reported(shown)
            assert headers["Authorization"].startswith("Bearer token-")


def _parts(value: object) -> Iterable[object]:
    if isinstance(value, (type, ModuleType, FrameType, str, bytes, int, float)):
        return ()
    if isinstance(value, FunctionType):
        return [cell.cell_contents for cell in value.__closure__ or ()]
    return gc.get_referents(value)


def _held_by(start: object) -> Iterator[object]:
    """Yield all objects of seic that an object refers to, directly or not."""
    seen, found = {id(start)}, [start]
    while found:
        value = found.pop()
        yield value
        for part in _parts(value):
            if id(part) not in seen:
                seen.add(id(part))
                found.append(part)


def test_nothing_that_a_client_holds_is_pickled_with_a_secret() -> None:
    """The credentials of the proxy included."""
    planted = Planted()
    config = seic.Config(
        provider=seic.SEI_GATEWAY,
        client_id="client-1",
        client_secret=planted.add("client secret", "secret-of-the-client"),
        grant=seic.ClientCredentials(username="u", password=planted.add("password", "password-of-the-account")),
        proxy=f"http://user:{planted.add('proxy', 'password-of-the-proxy')}@proxy.example:3128",
    )
    with seic.Client(config) as client:
        held = [one for one in _held_by(client) if type(one).__module__.partition(".")[0] == "seic"]
        leaks = {}
        for one in held:
            try:
                found = planted.find(pickle.dumps(one))
            except Exception as refusal:  # noqa: BLE001  # of any object that cannot be pickled
                found = planted.find(str(refusal))
            found += planted.find(repr(one))
            if found:
                leaks[type(one).__qualname__] = found

    assert len(held) > 10
    assert leaks == {}

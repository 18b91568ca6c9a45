"""`MockProvider`: tokens that wait, get lost, rotate and are bound; users, revocation and introspection."""

from __future__ import annotations

import asyncio
import threading

import attrs
import httpx
import httpx2
import pytest

import seic
import seic.httpx2
from seic.testing import MockClocks, MockProvider

CALLBACK = "https://app.example/callback"
FORM = {"grant_type": "refresh_token", "refresh_token": "r"}


async def test_token_requests_wait(seic_mock: MockProvider) -> None:
    """They have arrived, and nobody has a token."""
    seic_mock.hold_tokens()
    async with seic.AsyncClient(seic_mock.config()) as client:
        call = asyncio.create_task(client.token())
        assert await seic_mock.wait_for_token_request()
        assert (seic_mock.token_requests, seic_mock.issued_tokens, call.done()) == (1, 0, False)
        seic_mock.release_tokens()
        assert (await call).access_token in seic_mock.secrets


def test_a_token_is_issued_and_its_response_waits(seic_mock: MockProvider) -> None:
    """With `issued`; a thread waits as tasks do."""
    seic_mock.hold_tokens(issued=True)
    assert not seic_mock.wait_for_token_request_sync(0.0)
    with seic.Client(seic_mock.config()) as client:
        thread = threading.Thread(target=client.token)
        thread.start()
        assert seic_mock.wait_for_token_request_sync()
        assert seic_mock.issued_tokens == 1
        seic_mock.release_tokens()
        thread.join()


def test_a_held_request_that_is_forgotten_is_an_error(seic_mock: MockProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test does not hang, and the message names the method to call."""
    monkeypatch.setattr("seic.testing._mock_provider.PATIENCE", 0.01)
    seic_mock.hold_tokens()
    with httpx.Client(transport=seic_mock) as client, pytest.raises(AssertionError, match="release_tokens"):
        client.post("https://x.example/token", data={"grant_type": "client_credentials"})


async def test_a_lost_response(seic_mock: MockProvider) -> None:
    """The token was issued, and the client asks again."""
    seic_mock.lose_tokens()
    async with seic.AsyncClient(seic_mock.config()) as client:
        await client.token()
    assert (seic_mock.token_requests, seic_mock.issued_tokens) == (2, 2)


def test_a_refresh_token_works_once() -> None:
    """Its reuse ends all tokens that descend from the same login."""
    mock = MockProvider(refresh_tokens=True, create_token=lambda kind, number: f"{kind}-{number}")
    mock.accept_token(refresh_token="r")
    with httpx.Client(transport=mock, base_url="https://x.example") as client:
        assert client.post("/token", data=FORM).json()["refresh_token"] == "refresh-1"
        assert client.post("/token", data=FORM).json() == {"error": "invalid_grant"}
        assert client.post("/token", data={**FORM, "refresh_token": "refresh-1"}).status_code == 400
    assert mock.reused_refresh_tokens == ["r"]


def test_a_refresh_token_that_is_reusable() -> None:
    """A refresh then returns no other."""
    mock = MockProvider(refresh_tokens=True)
    mock.reusable_refresh_tokens = True
    mock.accept_token(refresh_token="r")
    with httpx.Client(transport=mock, base_url="https://x.example") as client:
        replies = [client.post("/token", data=FORM).json() for _ in range(2)]
    assert ["refresh_token" in reply for reply in replies] == [False, False]


def test_tokens_of_the_test_are_accepted(seic_mock: MockProvider) -> None:
    """Those of a store, and those of planned responses."""
    seic_mock.add_response(times=2)
    seic_mock.accept_token("stored-token")
    seic_mock.token_responses.append(httpx.Response(200, json={"access_token": "planned-token", "expires_in": 60}))
    with seic.Client(seic_mock.config()) as client:
        assert client.get("/x").status_code == 200
        header = {"Authorization": "Bearer stored-token"}
        assert client.get("/x", headers=header, auth=None).status_code == 200
        header = {"Authorization": "Bearer invented"}
        assert client.get("/x", headers=header, auth=None).status_code == 401


async def test_a_callback_of_either_library() -> None:
    """It returns a response of httpx or its arguments; a path comes before any path."""
    mock = MockProvider()
    mock.add_callback(lambda request: {"json": request.url.path}, times=None)
    mock.add_callback(lambda _: httpx.Response(202, text="ok", headers={"X-Own": "1"}), path="/own", times=2)
    for library, client in (
        (httpx, seic.AsyncClient(mock.config(), transport=mock)),
        (httpx2, seic.httpx2.AsyncClient(mock.config(), transport=mock)),
    ):
        async with client:
            own, other = await client.get("/own"), await client.get("/other")
        assert isinstance(own, library.Response)
        assert (own.status_code, own.text, own.headers["X-Own"], other.json()) == (202, "ok", "1", "/other")
    mock.check()


async def test_revocation_and_introspection(seic_mock: MockProvider) -> None:
    """Of a provider that has their URLs."""
    provider = attrs.evolve(seic.OAUTH2, revocation_url="/revoke", introspection_url="/introspect")
    async with seic.AsyncClient(seic_mock.config(provider=provider)) as client:
        token = (await client.token()).access_token
        assert (await client.token_info()).active
        await client.revoke()
        assert seic_mock.revoked == [token]
        assert not seic_mock.revoke(token)


def log_in(mock: MockProvider, **query: str) -> dict[str, str]:
    """Return the query of the callback of a user's login."""
    parts = {"client_id": "mock-client", "redirect_uri": CALLBACK, "state": "s", **query}
    return dict(httpx.URL(mock.log_in(str(httpx.URL("https://x.example/authorize", params=parts)))).params)


def exchange(mock: MockProvider, code: str, **form: str) -> httpx.Response:
    """Exchange a code."""
    with httpx.Client(transport=mock, base_url="https://x.example") as client:
        return client.post("/token", data={"grant_type": "authorization_code", "code": code, **form})


def test_a_user_logs_in(seic_clock: MockClocks) -> None:
    """The code works once and for its time, and the tokens are the user's."""
    mock = MockProvider(provider=attrs.evolve(seic.OAUTH2, code_lifetime=20))
    mock.add_callback(lambda request: {"json": mock.username_of(request)}, times=None)
    callback = log_in(mock)
    reply = exchange(mock, callback["code"])
    assert (callback["state"], reply.json()["username"]) == ("s", "ada@example.com")
    assert exchange(mock, callback["code"]).status_code == 400
    late = log_in(mock)["code"]
    seic_clock.advance(20)
    assert exchange(mock, late).status_code == 400

    headers = {"Authorization": f"Bearer {reply.json()['access_token']}"}
    with httpx.Client(transport=mock, base_url="https://x.example", headers=headers) as client:
        assert client.get("/me").json() == "ada@example.com"
        mock.end_login("ada@example.com")
        assert client.get("/me").status_code == 401
        form = {"grant_type": "refresh_token", "refresh_token": reply.json()["refresh_token"]}
        assert client.post("/token", data=form).status_code == 400


def test_a_code_challenge_is_verified() -> None:
    """RFC 7636, with the example of its appendix B."""
    mock = MockProvider(provider=seic.OAUTH2)
    challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    for sent, status in (("", 400), (verifier[:-1], 400), (verifier, 200)):
        code = log_in(mock, code_challenge=challenge)["code"]
        assert exchange(mock, code, code_verifier=sent).status_code == status


def test_a_login_of_another_application(seic_mock: MockProvider) -> None:
    """The message names both."""
    with pytest.raises(AssertionError, match="must be mock-client, not another"):
        seic_mock.log_in("https://x.example/authorize?client_id=another")


def test_a_token_with_a_key_needs_its_proof(seic_mock: MockProvider) -> None:
    """A thief of the token has no key, or another one; a proof works once."""
    seic_mock.add_response(times=None)
    config = seic_mock.config(provider=seic.OAUTH2, dpop=seic.DPoP())
    with seic.Client(config) as client:
        assert client.get("/x").status_code == 200
        token = client.token().access_token
        proof = seic_mock.requests[-1].headers["DPoP"]
    other = seic.DPoP().prove("GET", httpx.URL("https://api.example/x"), now=0.0, access_token=token)
    with httpx.Client(transport=seic_mock, base_url="https://api.example") as thief:
        assert thief.get("/x", headers={"Authorization": f"Bearer {token}"}).status_code == 401
        assert thief.get("/x", headers={"Authorization": f"DPoP {token}", "DPoP": other}).status_code == 401
        with pytest.raises(AssertionError, match="`jti` of its own"):
            thief.get("/x", headers={"Authorization": f"DPoP {token}", "DPoP": proof})
        with pytest.raises(AssertionError, match="the method in `htm`"):
            thief.post("/x", headers={"Authorization": f"DPoP {token}", "DPoP": other})
        head, _, signature = other.rpartition(".")
        forged = f"{head}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"
        with pytest.raises(AssertionError, match="a valid signature"):
            thief.get("/x", headers={"Authorization": f"DPoP {token}", "DPoP": forged})

"""DPoP (RFC 9449), against a provider and an API that judge each proof by cryptography alone."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

import seic
from tests._support.jwts import EC_KEY, parts, pem

HOST = "https://idp.example"
TOKEN_URL = f"{HOST}/oauth/v2/token"


def number(text: str) -> int:
    """An unsigned number in base64url."""
    return int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def thumbprint_of(jwk: dict[str, str]) -> str:
    """RFC 7638."""
    text = json.dumps({name: jwk[name] for name in ("crv", "kty", "x", "y")}, separators=(",", ":"))
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


class Provider:
    """A provider and its API in one, strict about proofs.

    Attributes:
        nonces: The nonce that token endpoint and API demand, by path; None demands none.
        proofs: The claims of the proofs that were taken, with the key's thumbprint.
        refused: How often a nonce was asked for.
        token_type: What the provider calls its tokens.
        bodies: The bodies of the API calls that were taken.
        busy: How many calls the API turns away before it takes one.
        moves: Where calls of a path are sent on to, and with which status.
        hops: The method and path of each API call whose proof was good.
    """

    def __init__(self) -> None:
        self.nonces: dict[str, str | None] = {"/oauth/v2/token": None, "/api": None}
        self.proofs: list[dict[str, Any]] = []
        self.refused = 0
        self.token_type = "DPoP"
        self.access_token = "token-1"
        self.bodies: list[bytes] = []
        self.dead = False
        self.busy = 0
        self.moves: dict[str, tuple[int, str]] = {}
        self.hops: list[tuple[str, str]] = []
        self._seen: set[str] = set()

    def client(self, *, follow_redirects: bool = False, **changes: Any) -> seic.AsyncClient:
        """Return a client of both."""
        transport = httpx.MockTransport(self.answer)
        return seic.AsyncClient(self.config(**changes), transport=transport, follow_redirects=follow_redirects)

    def config(self, **changes: Any) -> seic.Config:
        """Settings that reach it."""
        settings: dict[str, Any] = {
            "provider": attrs.evolve(seic.OAUTH2),
            "hosts": seic.Hosts(api=HOST),
            "client_id": "c",
            "client_secret": "client-secret-1",
            "grant": seic.ClientCredentials(),
            "dpop": seic.DPoP(),
        }
        return seic.Config(**{**settings, **changes})

    async def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer one call."""
        await request.aread()
        return self.answer_now(request)

    def answer_now(self, request: httpx.Request) -> httpx.Response:
        """Answer one call whose body is in memory or can be read."""
        request.read()
        is_token_call = request.url.path == "/oauth/v2/token"
        claims = self._judge(request, access_token=None if is_token_call else self.access_token)
        if not is_token_call:
            self.hops.append((request.method, request.url.path))
        if request.url.path in self.moves or (self.busy and not is_token_call):
            return self._put_off(request.url.path)
        nonce = self.nonces[request.url.path]
        headers = {} if nonce is None else {"DPoP-Nonce": nonce}
        if nonce is not None and claims.get("nonce") != nonce:
            self.refused += 1
            if is_token_call:
                return httpx.Response(400, headers=headers, json={"error": "use_dpop_nonce"})
            challenge = 'DPoP error="use_dpop_nonce", error_description="nonce"'
            return httpx.Response(401, headers={**headers, "WWW-Authenticate": challenge})
        self.proofs.append(claims)
        if is_token_call:
            token = {"access_token": self.access_token, "token_type": self.token_type, "expires_in": 3600}
            return httpx.Response(200, headers=headers, json=token)
        if self.dead:
            self.dead, self.access_token = False, "token-2"
            return httpx.Response(401, headers={**headers, "WWW-Authenticate": 'DPoP error="invalid_token"'})
        self.bodies.append(request.content)
        return httpx.Response(200, headers=headers)

    def _put_off(self, path: str) -> httpx.Response:
        if path in self.moves:
            status, location = self.moves[path]
            return httpx.Response(status, headers={"Location": location})
        self.busy -= 1
        return httpx.Response(503)

    def _judge(self, request: httpx.Request, *, access_token: str | None) -> dict[str, Any]:
        header, claims, signature, signed = parts(request.headers["DPoP"])
        jwk = header.pop("jwk")
        assert header == {"typ": "dpop+jwt", "alg": "ES256"}
        assert set(jwk) == {"kty", "crv", "x", "y"}
        key = ec.EllipticCurvePublicNumbers(number(jwk["x"]), number(jwk["y"]), ec.SECP256R1()).public_key()
        der = encode_dss_signature(int.from_bytes(signature[:32]), int.from_bytes(signature[32:]))
        key.verify(der, signed, ec.ECDSA(SHA256()))
        assert claims["htm"] == request.method
        assert claims["htu"] == str(request.url.copy_with(query=None))
        assert claims["jti"] not in self._seen
        self._seen.add(claims["jti"])
        if access_token is None:
            assert "ath" not in claims
        else:
            scheme, _, sent = request.headers["Authorization"].partition(" ")
            assert scheme == "DPoP"
            digest = hashlib.sha256(sent.encode()).digest()
            assert claims["ath"] == base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        return {**claims, "jkt": thumbprint_of(jwk)}


async def test_each_request_carries_a_proof_of_its_own() -> None:
    """Expect one key for token and calls, a new proof each time, and no query in it."""
    provider = Provider()
    async with provider.client() as client:
        for _ in range(3):
            reply = await client.get("/api", params={"secret": "1"})
            assert reply.status_code == 200
    assert len(provider.proofs) == 4
    assert len({proof["jkt"] for proof in provider.proofs}) == 1
    assert provider.proofs[1]["htu"] == f"{HOST}/api"


def test_a_blocking_client() -> None:
    """Expect the same of the blocking twin, nonces included."""
    provider = Provider()
    provider.nonces = {"/oauth/v2/token": "nonce-1", "/api": "nonce-2"}
    with seic.Client(provider.config(), transport=httpx.MockTransport(provider.answer_now)) as client:
        assert [client.get("/api").status_code for _ in range(2)] == [200, 200]
    assert (len(provider.proofs), provider.refused) == (3, 2)


async def test_nonces() -> None:
    """Expect a nonce to be asked for once at each of the two, kept apart, and followed when it changes."""
    provider = Provider()
    provider.nonces = {"/oauth/v2/token": "nonce-1", "/api": "nonce-2"}
    async with provider.client() as client:
        assert (await client.get("/api")).status_code == 200
        assert provider.refused == 2
        assert (await client.get("/api")).status_code == 200
        assert provider.refused == 2
        provider.nonces["/api"] = "nonce-3"
        assert (await client.get("/api")).status_code == 200
        assert provider.refused == 3
        assert client.stats.token_requests == 2
        assert client.stats.token_failures == 0
    assert [proof.get("nonce") for proof in provider.proofs] == ["nonce-1", "nonce-2", "nonce-2", "nonce-3"]


async def test_a_request_for_a_nonce_is_told_of() -> None:
    """Expect two requests to be heard of where two were sent: the first is no failure, and no token either."""
    provider = Provider()
    provider.nonces["/oauth/v2/token"] = "nonce-1"
    heard: list[seic.events.Event] = []
    async with provider.client() as client:
        client.listen(heard.append)
        await client.token()
    told = [event for event in heard if isinstance(event, seic.events.TokenRequested)]
    assert [(event.outcome, event.status, event.error) for event in told] == [
        ("challenged", 400, None),
        ("acquired", 200, None),
    ]


async def test_a_new_nonce_comes_with_an_answer() -> None:
    """Expect the next call to carry the nonce that the last success brought (§8.2), without being asked."""
    dpop = seic.DPoP()
    provider = Provider()
    async with provider.client(dpop=dpop) as client:
        await client.token()
        dpop.heed(httpx.Request("GET", HOST), {"DPoP-Nonce": "ahead"}, api=True)
        provider.nonces["/api"] = "ahead"
        assert (await client.get("/api")).status_code == 200
    assert provider.refused == 0


class Crowd:
    """Carries calls to a provider, the first two of a path together: neither has seen the answer to the other."""

    def __init__(self, provider: Provider, path: str) -> None:
        self._provider = provider
        self._path = path
        self._arrived = 0
        self._both = asyncio.Event()

    async def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer one call."""
        if request.url.path == self._path:
            self._arrived += 1
            if self._arrived == 2:
                self._both.set()
            await self._both.wait()
        return await self._provider.answer(request)


async def test_a_nonce_that_two_calls_are_asked_for_at_once() -> None:
    """Expect both to be sent again, although the second to hear of the nonce finds it known."""
    provider = Provider()
    provider.nonces["/api"] = "nonce"
    transport = httpx.MockTransport(Crowd(provider, "/api").answer)
    async with seic.AsyncClient(provider.config(), transport=transport) as client:
        replies = await asyncio.gather(client.get("/api"), client.get("/api"))
    assert [reply.status_code for reply in replies] == [200, 200]
    assert provider.refused == 2


async def test_a_nonce_that_two_token_calls_are_asked_for_at_once() -> None:
    """Expect the same of two people's tokens that are bound to one key."""
    provider = Provider()
    provider.nonces["/oauth/v2/token"] = "nonce"
    transport = httpx.MockTransport(Crowd(provider, "/oauth/v2/token").answer)
    config = provider.config()
    async with (
        seic.AsyncClient(config, transport=transport) as ann,
        seic.AsyncClient(attrs.evolve(config, grant=seic.ClientCredentials(scope="b")), transport=transport) as bob,
    ):
        await asyncio.gather(ann.token(), bob.token())
    assert provider.refused == 2


async def test_an_api_that_asks_again_for_the_nonce_that_it_had() -> None:
    """Expect no repetition: it would be refused once more."""
    calls: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path != "/api":
            return httpx.Response(200, json={"access_token": "t", "token_type": "DPoP"})
        calls.append(request)
        challenge = {"WWW-Authenticate": 'DPoP error="use_dpop_nonce"', "DPoP-Nonce": "always"}
        return httpx.Response(401, headers=challenge)

    async with seic.AsyncClient(Provider().config(), transport=httpx.MockTransport(answer)) as client:
        assert (await client.get("/api")).status_code == 401
        assert len(calls) == 2
        assert (await client.get("/api")).status_code == 401
    assert len(calls) == 3


async def test_an_api_that_is_never_content() -> None:
    """Expect one repetition and no more, where each answer asks for another nonce."""
    calls: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path != "/api":
            return httpx.Response(200, json={"access_token": "t", "token_type": "DPoP"})
        calls.append(request)
        challenge = {"WWW-Authenticate": 'DPoP error="use_dpop_nonce"', "DPoP-Nonce": f"n{len(calls)}"}
        return httpx.Response(401, headers=challenge)

    config = Provider().config()
    async with seic.AsyncClient(config, transport=httpx.MockTransport(answer)) as client:
        assert (await client.get("/api")).status_code == 401
        assert client.stats.token_requests == 1
    assert len(calls) == 2


async def test_a_token_endpoint_that_is_never_content() -> None:
    """Expect an error after one repetition."""
    calls: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        calls.append(request)
        return httpx.Response(400, headers={"DPoP-Nonce": f"n{len(calls)}"}, json={"error": "use_dpop_nonce"})

    async with seic.AsyncClient(Provider().config(), transport=httpx.MockTransport(answer)) as client:
        with pytest.raises(seic.TokenRequestRefused) as caught:
            await client.token()
    assert (caught.value.code, len(calls)) == ("use_dpop_nonce", 2)


async def test_a_refused_token_is_renewed() -> None:
    """Expect a DPoP challenge to speak of the token as a Bearer challenge does, and the replay to prove the new one."""
    provider = Provider()
    async with provider.client() as client:
        await client.token()
        provider.dead = True
        assert (await client.post("/api", content=b"body")).status_code == 200
        assert client.stats.replays == 1
    assert provider.bodies == [b"body"]


_ONCE_MORE = seic.Retry(longest_pause=0)


async def test_a_call_that_is_repeated() -> None:
    """Expect each sending to carry a proof of its own, for a server takes each but once (§11.1)."""
    provider = Provider()
    provider.busy = 2
    transport = httpx.MockTransport(provider.answer)
    async with seic.AsyncClient(provider.config(), transport=transport, retry=_ONCE_MORE) as client:
        assert (await client.get("/api")).status_code == 200
    assert provider.hops == [("GET", "/api")] * 3


def test_a_blocking_call_that_is_repeated() -> None:
    """Expect the same of the blocking twin."""
    provider = Provider()
    provider.busy = 2
    transport = httpx.MockTransport(provider.answer_now)
    with seic.Client(provider.config(), transport=transport, retry=_ONCE_MORE) as client:
        assert client.get("/api").status_code == 200
    assert provider.hops == [("GET", "/api")] * 3


async def test_a_call_that_is_repeated_through_a_transport_of_ones_own() -> None:
    """Expect a proof for each sending where nothing of seic's stands below what repeats."""
    provider = Provider()
    provider.busy = 2
    carrier = httpx.MockTransport(provider.answer)
    auth = seic.OAuth2Auth(provider.config(), transport=carrier)
    transport = seic.RetryTransport(carrier, _ONCE_MORE, provider=seic.OAUTH2)
    async with httpx.AsyncClient(auth=auth, transport=transport, base_url=HOST) as client:
        assert (await client.get("/api")).status_code == 200
    await auth.aclose()
    assert provider.hops == [("GET", "/api")] * 3


@pytest.mark.parametrize(
    ("status", "method"), [pytest.param(307, "POST", id="as it was"), pytest.param(303, "GET", id="as a GET")]
)
async def test_a_call_that_is_redirected(status: int, method: str) -> None:
    """Expect each hop to carry a proof of its own, for its own method and URL (§4.2)."""
    provider = Provider()
    provider.moves["/old"] = (status, "/api?page=2")
    async with provider.client(follow_redirects=True) as client:
        assert (await client.post("/old", content=b"body")).status_code == 200
    assert provider.hops == [("POST", "/old"), (method, "/api")]


def test_a_blocking_call_that_is_redirected() -> None:
    """Expect the same of the blocking twin."""
    provider = Provider()
    provider.moves["/old"] = (302, "/api")
    transport = httpx.MockTransport(provider.answer_now)
    with seic.Client(provider.config(), transport=transport, follow_redirects=True) as client:
        assert client.get("/old").status_code == 200
    assert provider.hops == [("GET", "/old"), ("GET", "/api")]


@pytest.mark.parametrize("blocking", [False, True], ids=["async", "blocking"])
async def test_a_nonce_that_is_asked_for_behind_a_redirect(blocking: bool) -> None:
    """Expect the hop that was refused to be sent again, and what came before it to stay done once."""
    provider = Provider()
    provider.moves["/old"] = (303, "/api")
    provider.nonces["/api"] = "nonce"
    if blocking:
        transport = httpx.MockTransport(provider.answer_now)
        with seic.Client(provider.config(), transport=transport, follow_redirects=True) as blocking_client:
            assert blocking_client.post("/old", content=b"body").status_code == 200
    else:
        async with provider.client(follow_redirects=True) as client:
            assert (await client.post("/old", content=b"body")).status_code == 200
    assert provider.hops == [("POST", "/old"), ("GET", "/api"), ("GET", "/api")]
    assert provider.refused == 1


async def test_a_redirect_to_another_origin() -> None:
    """Expect the token to stay at home, and a nonce of the other origin's not to bring it or a second call there."""
    seen: list[httpx.Headers] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/oauth/v2/token":
            return httpx.Response(200, json={"access_token": "t", "token_type": "DPoP"})
        if request.url.host == "idp.example":
            return httpx.Response(307, headers={"Location": "https://elsewhere.example/"})
        seen.append(request.headers)
        challenge = {"WWW-Authenticate": 'DPoP error="use_dpop_nonce"', "DPoP-Nonce": "theirs"}
        return httpx.Response(401, headers=challenge)

    transport = httpx.MockTransport(answer)
    auth = seic.OAuth2Auth(Provider().config(), transport=transport)
    async with httpx.AsyncClient(auth=auth, transport=transport, base_url=HOST, follow_redirects=True) as client:
        assert (await client.get("/api")).status_code == 401
    await auth.aclose()
    assert ["authorization" in headers for headers in seen] == [False]


class Rows:
    """A body that begins anew with each iteration."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield two rows."""
        yield b"row-1"
        yield b"row-2"


async def _once() -> AsyncIterator[bytes]:
    yield b"row"


async def test_a_body_that_can_be_sent_again() -> None:
    """Expect the whole body with the second proof, too."""
    provider = Provider()
    provider.nonces["/api"] = "nonce"
    async with provider.client() as client:
        assert (await client.post("/api", content=Rows())).status_code == 200
    assert provider.bodies == [b"row-1row-2"]


async def test_a_body_that_cannot_be_sent_again() -> None:
    """Expect the 401 to be handed on, and the nonce to serve the next call."""
    provider = Provider()
    provider.nonces["/api"] = "nonce"
    async with provider.client() as client:
        assert (await client.post("/api", content=_once())).status_code == 401
        assert (await client.post("/api", content=_once())).status_code == 200
    assert provider.bodies == [b"row"]


async def test_a_bearer_token_in_its_place() -> None:
    """Expect no silent fall-back to a token that is bound to nothing."""
    provider = Provider()
    provider.token_type = "Bearer"
    async with provider.client() as client:
        with pytest.raises(seic.InvalidTokenResponse) as caught:
            await client.token()
    assert caught.value.problem == "token_type"


async def test_a_dpop_token_unasked() -> None:
    """Expect a token that this client cannot prove to be refused."""

    def answer(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"access_token": "t", "token_type": "DPoP"})

    async with seic.AsyncClient(Provider().config(dpop=None), transport=httpx.MockTransport(answer)) as client:
        with pytest.raises(seic.InvalidTokenResponse, match="token_type"):
            await client.token()


async def test_another_keys_token() -> None:
    """Expect a token that names another key to be refused, and one that names ours to serve."""
    dpop = seic.DPoP()
    for jkt, is_ours in (("x", False), (dpop.thumbprint, True)):
        body = base64.urlsafe_b64encode(json.dumps({"cnf": {"jkt": jkt}}).encode()).rstrip(b"=").decode()
        provider = Provider()
        provider.access_token = f"e30.{body}.c2ln"
        async with provider.client(dpop=dpop) as client:
            if is_ours:
                await client.token()
                continue
            with pytest.raises(seic.InvalidTokenResponse) as caught:
                await client.token()
            assert caught.value.problem == "cnf"


def test_a_key_of_the_users(tmp_path: Path) -> None:
    """Expect the same key in two processes to be one identity for a store, and two new keys to be two."""
    path = tmp_path / "dpop.pem"
    path.write_bytes(pem(EC_KEY))
    provider = Provider()
    keys = [
        provider.config(dpop=dpop).store_key(None)
        for dpop in (seic.DPoP(key=path), seic.DPoP(key=pem(EC_KEY)), seic.DPoP(), seic.DPoP(), None)
    ]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 4


@pytest.mark.parametrize("nonce", ["", "a b", "a\x7f", "n" * 1025])
def test_a_nonce_that_cannot_be_sent_back(nonce: str) -> None:
    """Expect it to be left alone."""
    dpop = seic.DPoP()
    assert not dpop.heed(httpx.Request("POST", HOST), {"DPoP-Nonce": nonce}, api=False)
    assert "nonce" not in parts(dpop.prove("GET", httpx.URL(HOST), now=0.0))[1]


def test_the_nonces_of_two_servers() -> None:
    """Expect each to get its own, and none to get another's."""
    dpop = seic.DPoP()
    dpop.heed(httpx.Request("POST", HOST), {"DPoP-Nonce": "one"}, api=False)

    def nonces() -> Iterator[str | None]:
        for url, token in ((HOST, None), (HOST, "t"), ("https://api.example", None), (f"{HOST}:8443", None)):
            yield parts(dpop.prove("GET", httpx.URL(url), now=0.0, access_token=token))[1].get("nonce")

    assert list(nonces()) == ["one", None, None, None]


def test_a_closed_flow_closes_what_it_wraps() -> None:
    """Expect httpx's early end of a flow to reach the inner one."""
    provider = Provider()
    auth = seic.OAuth2Auth(provider.config(), transport=httpx.MockTransport(provider.answer_now))
    flow = auth.sync_auth_flow(httpx.Request("GET", f"{HOST}/api"))
    assert next(flow).headers["DPoP"]
    flow.close()
    auth.close()

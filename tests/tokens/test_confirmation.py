"""Certificate-bound tokens (RFC 8705 §3): compared with the certificate where that can be read."""

from __future__ import annotations

import base64
import json
from typing import Any

import attrs
import httpx
import pytest

import seic
from seic.events import TokenNotBound
from tests._support import identities

OURS = identities.certificate().x5t_s256
PLAIN = attrs.evolve(seic.OAUTH2, introspection_url="/introspect")
BINDING = attrs.evolve(PLAIN, certificate_bound_tokens=True)


def jwt(claims: dict[str, Any]) -> str:
    """A token that says something; nobody here proves its signature."""
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"eyJhbGciOiJub25lIn0.{body}.c2ln"


def bound_to(thumbprint: object) -> dict[str, Any]:
    """The confirmation of a certificate."""
    return {"cnf": {"x5t#S256": thumbprint}}


class Issuer:
    """Answers with one token, and describes it."""

    def __init__(self, access_token: str, description: dict[str, Any] | None = None) -> None:
        self.events: list[seic.events.Event] = []
        self._access_token = access_token
        self._description = {"active": True, **(description or {})}

    def client(self, provider: seic.Provider, *, certificate: bool = True) -> seic.AsyncClient:
        """Return a client of it."""
        config = seic.Config(
            provider=provider,
            hosts=seic.Hosts(api="idp.example", mtls="mtls.idp.example"),
            client_id="c",
            client_secret="s",
            grant=seic.ClientCredentials(),
            certificate=identities.certificate() if certificate else None,
        )
        return seic.AsyncClient(config, transport=httpx.MockTransport(self), on_event=self.events.append)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer one call."""
        if request.url.path == "/introspect":
            return httpx.Response(200, json=self._description)
        return httpx.Response(200, json={"access_token": self._access_token, "token_type": "Bearer"})

    @property
    def warnings(self) -> int:
        """How often the user was told."""
        return sum(isinstance(event, TokenNotBound) for event in self.events)


@pytest.mark.parametrize(
    ("provider", "token", "warnings"),
    [
        pytest.param(BINDING, jwt(bound_to(OURS)), 0, id="bound"),
        pytest.param(BINDING, "opaque", 0, id="unreadable"),
        pytest.param(BINDING, jwt({"exp": 1}), 1, id="bound to nothing"),
        pytest.param(BINDING, jwt({"cnf": {"jkt": "x"}}), 1, id="bound to something else"),
        pytest.param(BINDING, jwt({"cnf": "x"}), 1, id="a confirmation that is none"),
        pytest.param(PLAIN, jwt({"exp": 1}), 0, id="a provider that does not bind"),
        pytest.param(PLAIN, jwt(bound_to(OURS)), 0, id="bound unasked"),
    ],
)
async def test_a_token_is_compared_with_the_certificate(provider: seic.Provider, token: str, warnings: int) -> None:
    """Expect the token to serve, and the user to be told exactly where it should be bound and is not."""
    issuer = Issuer(token)
    async with issuer.client(provider) as client:
        assert (await client.token()).access_token == token
    assert issuer.warnings == warnings


@pytest.mark.parametrize("provider", [PLAIN, BINDING], ids=["plain", "binding"])
@pytest.mark.parametrize("thumbprint", ["A" * 43, "", 1])
async def test_another_certificates_token(provider: seic.Provider, thumbprint: object) -> None:
    """Expect a thumbprint that is not ours to be an error: no API would take the token from us."""
    issuer = Issuer(jwt(bound_to(thumbprint)))
    async with issuer.client(provider) as client:
        with pytest.raises(seic.InvalidTokenResponse) as caught:
            await client.token()
    assert caught.value.problem == "cnf"


async def test_a_bound_token_without_a_certificate() -> None:
    """Expect an error that says what is missing."""
    issuer = Issuer(jwt(bound_to(OURS)))
    async with issuer.client(PLAIN, certificate=False) as client:
        with pytest.raises(seic.InvalidTokenResponse, match="this client has none"):
            await client.token()


async def test_an_unbound_token_without_a_certificate() -> None:
    """Expect nothing to be said where there is nothing to bind it to."""
    issuer = Issuer(jwt({"exp": 1}))
    async with issuer.client(BINDING, certificate=False) as client:
        await client.token()
    assert issuer.warnings == 0


@pytest.mark.parametrize(
    ("description", "warnings"),
    [(bound_to(OURS), 0), ({}, 1), ({"active": False}, 0)],
    ids=["bound", "bound to nothing", "dead"],
)
async def test_an_opaque_token_is_compared_when_it_is_described(description: dict[str, Any], warnings: int) -> None:
    """Expect introspection's word to be taken (RFC 8705 §3.2)."""
    issuer = Issuer("opaque", description)
    async with issuer.client(BINDING) as client:
        await client.token_info()
    assert issuer.warnings == warnings


async def test_an_opaque_token_of_another_certificate() -> None:
    """Expect an error when introspection says so."""
    issuer = Issuer("opaque", bound_to("A" * 43))
    async with issuer.client(BINDING) as client:
        with pytest.raises(seic.InvalidTokenResponse):
            await client.token_info()

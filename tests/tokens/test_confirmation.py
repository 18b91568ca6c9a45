"""Certificate-bound tokens (RFC 8705 §3), compared with the certificate if they can be read."""

from __future__ import annotations

import base64
import json
from typing import Any

import attrs
import pytest

import seic
from seic.events import TokenNotBound
from seic.testing import MockProvider
from tests._support import identities

OURS = identities.certificate().x5t_s256
PLAIN = attrs.evolve(seic.OAUTH2, introspection_url="/introspect")
BINDING = attrs.evolve(PLAIN, certificate_bound_tokens=True)


def jwt(claims: dict[str, Any]) -> str:
    """Return a token with claims; its signature is not verified."""
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"eyJhbGciOiJub25lIn0.{body}.c2ln"


def bound_to(thumbprint: object) -> dict[str, Any]:
    """Return the confirmation claim of a certificate."""
    return {"cnf": {"x5t#S256": thumbprint}}


class Issuer:
    """A provider with one token, which it also describes."""

    def __init__(self, access_token: str, description: dict[str, Any] | None = None) -> None:
        self.events: list[seic.events.Event] = []
        self._mock = MockProvider(expires_in=None, create_token=lambda *_: access_token)
        description = {"active": True, **(description or {})}
        self._mock.add_response(path="/introspect", json=description, protected=False, times=None)

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
        return seic.AsyncClient(config, transport=self._mock, on_event=self.events.append)

    @property
    def warnings(self) -> int:
        """Return the number of events."""
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
    """The token is used, and there is an event only if it should be bound but is not."""
    issuer = Issuer(token)
    async with issuer.client(provider) as client:
        assert (await client.token()).access_token == token
    assert issuer.warnings == warnings


@pytest.mark.parametrize("provider", [PLAIN, BINDING], ids=["plain", "binding"])
@pytest.mark.parametrize("thumbprint", ["A" * 43, "", 1])
async def test_another_certificates_token(provider: seic.Provider, thumbprint: object) -> None:
    """Another thumbprint is an error, since no API would accept the token."""
    issuer = Issuer(jwt(bound_to(thumbprint)))
    async with issuer.client(provider) as client:
        with pytest.raises(seic.InvalidTokenResponse) as caught:
            await client.token()
    assert caught.value.problem == "cnf"


async def test_a_bound_token_without_a_certificate() -> None:
    """The error says that a certificate is missing."""
    issuer = Issuer(jwt(bound_to(OURS)))
    async with issuer.client(PLAIN, certificate=False) as client:
        with pytest.raises(seic.InvalidTokenResponse, match="this client has none"):
            await client.token()


async def test_an_unbound_token_without_a_certificate() -> None:
    """Without a certificate there is no event."""
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
    """Introspection tells the certificate of the token (RFC 8705 §3.2)."""
    issuer = Issuer("opaque", description)
    async with issuer.client(BINDING) as client:
        await client.token_info()
    assert issuer.warnings == warnings


async def test_an_opaque_token_of_another_certificate() -> None:
    """If introspection names another certificate, an error is raised."""
    issuer = Issuer("opaque", bound_to("A" * 43))
    async with issuer.client(BINDING) as client:
        with pytest.raises(seic.InvalidTokenResponse):
            await client.token_info()

"""Several clients share an auth, if they have one identity."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

import seic
from seic.testing import MockProvider
from tests._support.clients import KINDS, refused
from tests._support.identities import authority, certificate


async def test_one_auth_is_one_token_for_several_clients(gateway: MockProvider) -> None:
    """The second client makes no token request, and closing one leaves the token to the other."""
    config = gateway.config()
    auth = seic.OAuth2Auth(config, transport=gateway)
    async with seic.AsyncClient(config, auth=auth, transport=gateway) as first:
        await first.get("/a")
    second = seic.AsyncClient(config, auth=auth, transport=gateway)
    blocking = seic.Client(config, auth=auth, transport=gateway)
    async with second:
        await second.get("/b")
    with blocking:
        blocking.get("/c")

    assert gateway.issued_tokens == 1
    assert first.stats == second.stats == auth.stats == blocking.stats


@KINDS
@pytest.mark.parametrize(
    ("changes", "fact"),
    [
        ({"environment": "test"}, "base_url"),
        ({"client_id": "AppKey-2"}, "client_id"),
        ({"certificate": certificate(), "hosts": seic.Hosts(mtls="api.example")}, "certificate"),
        ({"certificate": certificate()}, "base_url"),
        ({"provider": attrs.evolve(seic.SEI_GATEWAY, token_url="/other")}, "token_url"),
        ({"provider": attrs.evolve(seic.SEI_GATEWAY, idle_lifetime=1)}, "provider"),
        ({"client_secret": "AppSecret-2"}, "client_secret"),
        ({"grant": seic.ClientCredentials(username="bob", password="password-2")}, "grant"),
        ({"dpop": seic.DPoP()}, "dpop"),
        ({"ca": authority().cert_pem}, "ca"),
        ({"store": seic.MemoryStore()}, "store"),
        ({"strict_common_name": True}, "strict_common_name"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_no_token_is_shared_between_two_identities(
    kind: Any, changes: dict[str, Any], fact: str, gateway: MockProvider
) -> None:
    """The constructor refuses an auth that differs in anything that a token belongs to, and quotes no value."""
    error = refused(kind, gateway.config(), auth=seic.OAuth2Auth(gateway.config(**changes)))

    assert error.field == "auth"
    assert f"its {fact} differs" in str(error)
    for value in ("AppSecret", "password-", "bob"):
        assert value not in str(error)


@KINDS
@pytest.mark.parametrize(
    "changes",
    [
        {"token_timeout": 1},
        {"advisory_refresh": 5, "mandatory_refresh": 1},
        {"proxy": "http://127.0.0.1:1"},
        {"local_address": "127.0.0.1"},
        {"trust_env": False},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_other_settings_may_differ(kind: Any, changes: dict[str, Any], gateway: MockProvider) -> None:
    """The times of refreshes and the route of requests do not decide to whom a token belongs."""
    auth = seic.OAuth2Auth(gateway.config(**changes), transport=gateway)

    assert kind(gateway.config(), auth=auth).stats is auth.stats


@KINDS
def test_another_kind_of_auth_is_refused(kind: Any, gateway: MockProvider) -> None:
    """Httpx accepts a tuple; here it would replace the token."""
    error = refused(kind, gateway.config(), auth=("user", "password-9"))

    assert error.field == "auth"
    assert "password-9" not in str(error)

"""Several clients share an auth, if they have one identity."""

from __future__ import annotations

from typing import Any

import pytest

import seic
from tests._support.clients import KINDS, refused
from tests._support.fakes.gateway import FakeGateway
from tests._support.identities import certificate


async def test_one_auth_is_one_token_for_several_clients(gateway: FakeGateway) -> None:
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

    assert gateway.tokens == 1
    assert first.stats == second.stats == auth.stats == blocking.stats


@KINDS
@pytest.mark.parametrize(
    ("changes", "fact"),
    [
        ({"environment": "test"}, "base_url"),
        ({"client_id": "AppKey-2"}, "client_id"),
        ({"certificate": certificate(), "hosts": seic.Hosts(mtls="api.seic.com")}, "certificate"),
        ({"certificate": certificate()}, "base_url"),
    ],
    ids=["environment", "client id", "certificate", "certificate and host"],
)
def test_no_token_is_shared_between_two_identities(
    kind: Any, changes: dict[str, Any], fact: str, gateway: FakeGateway
) -> None:
    """The constructor refuses an auth of another host, application or certificate."""
    error = refused(kind, gateway.config(), auth=seic.OAuth2Auth(gateway.config(**changes)))

    assert error.field == "auth"
    assert f"its {fact} differs" in str(error)


@KINDS
def test_other_settings_may_differ(kind: Any, gateway: FakeGateway) -> None:
    """Two configurations of one identity may share an auth."""
    auth = seic.OAuth2Auth(gateway.config(token_timeout=1), transport=gateway)

    assert kind(gateway.config(), auth=auth).stats is auth.stats


@KINDS
def test_another_kind_of_auth_is_refused(kind: Any, gateway: FakeGateway) -> None:
    """Httpx accepts a tuple; here it would replace the token."""
    error = refused(kind, gateway.config(), auth=("user", "password-9"))

    assert error.field == "auth"
    assert "password-9" not in str(error)

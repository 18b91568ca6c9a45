"""`repr` of clients and auths: host, state of the token and certificate, no secret and no waiting."""

from __future__ import annotations

from typing import Any, NoReturn

import pytest

import seic
from seic.sandbox import CertificateAuthority
from seic.testing import MockProvider
from tests._support.clocks import FakeClock
from tests._support.identities import certificate

_KINDS = pytest.mark.parametrize("kind", [seic.AsyncClient, seic.Client])


def _client(kind: Any, config: seic.Config, gateway: MockProvider, clock: FakeClock) -> Any:
    auth = seic.OAuth2Auth(config, transport=gateway, clock=clock.clock)
    return kind(config, auth=auth)


@_KINDS
def test_the_repr_follows_the_token(kind: Any, gateway: MockProvider, clock: FakeClock) -> None:
    """It tells a missing token, a fresh one, one that is due for refresh, and an expired one."""
    client = _client(kind, gateway.config(), gateway, clock)
    gateway.expires_in = 600
    name = f"<seic.{kind.__name__} https://api.example"
    assert repr(client) == f"{name} token=none; no certificate>"

    client.auth.token_sync()
    assert repr(client) == f"{name} token=fresh, expires in 10 min; no certificate>"
    assert repr(client.auth) == repr(client).replace(kind.__name__, "OAuth2Auth")

    clock.advance(590)
    assert repr(client) == f"{name} token=due for refresh, expires in 10 s; no certificate>"

    clock.advance(11)
    assert repr(client) == f"{name} token=none; no certificate>"
    assert client.stats.token_requests == 1


@_KINDS
def test_the_repr_names_the_certificate(kind: Any, gateway: MockProvider, clock: FakeClock) -> None:
    """Its common name and the days that are left."""
    leaf = certificate()
    client = _client(kind, gateway.config(certificate=leaf), gateway, clock)

    expected = f"certificate CN=svc-user, {leaf.days_left():.0f} days left>"
    assert repr(client) == f"<seic.{kind.__name__} https://mtls.api.example token=none; {expected}"


@_KINDS
def test_the_repr_calls_no_callback(kind: Any, gateway: MockProvider, clock: FakeClock) -> None:
    """A certificate callback may ask a vault, and a debugger prints reprs at any time."""

    def vault() -> NoReturn:
        pytest.fail("the callback was called")

    client = _client(kind, gateway.config(certificate=vault), gateway, clock)

    assert repr(client).endswith("token=none; certificate not loaded yet>")


@_KINDS
def test_the_repr_has_no_secret(kind: Any, gateway: MockProvider, clock: FakeClock) -> None:
    """Neither the token, nor the client secret, nor the password."""
    client = _client(kind, gateway.config(), gateway, clock)
    token = client.auth.token_sync()

    for secret in (token.access_token, "AppSecret-1", "password-1"):
        assert secret not in repr(client) + repr(client.auth) + client.auth.describe()


@_KINDS
def test_control_characters_of_a_common_name_are_escaped(kind: Any, gateway: MockProvider, clock: FakeClock) -> None:
    """A repr is printed to terminals and logs."""
    made = CertificateAuthority("CA").issue("svc\n\x1b[31muser")
    leaf = seic.ClientCertificate.load(made.cert_pem, key=made.key_pem)
    client = _client(kind, gateway.config(certificate=leaf), gateway, clock)

    assert repr(client).isprintable()
    assert r"certificate CN=svc\n\x1b[31muser, " in repr(client)
    assert repr(leaf).isprintable()
    assert repr(leaf.leaf).isprintable()

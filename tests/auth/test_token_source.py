"""An auth as a `TokenSource`: its tokens for code that sends requests by other means."""

from __future__ import annotations

import threading

import pytest

import seic
from seic import OAuth2Auth, TokenSource
from seic.testing import MockProvider
from tests._support import identities
from tests._support.api import auth_for


@pytest.fixture
def source(server: MockProvider) -> TokenSource:
    """Return the source of an auth whose provider describes and revokes tokens."""
    provider = seic.Provider(token_url="/token", introspection_url="/introspect", revocation_url="/revoke")
    return auth_for(server, provider=provider, grant=seic.ClientCredentials()).source


async def test_tokens_in_async_code(source: TokenSource, server: MockProvider) -> None:
    """`current` sends nothing; `token` and `token_info` request a token if necessary; `revoke` drops it."""
    assert source.current is None
    token = await source.token()
    assert source.current is token is await source.token()
    assert (await source.token(force=True)).access_token == "token-2"

    server.add_response(path="/introspect", protected=False, json={"active": True, "scope": "orders.read"})
    assert (await source.token_info()).scope == "orders.read"
    server.add_response(path="/revoke", protected=False)
    await source.revoke()
    assert source.current is None
    assert [request.url.path for request in server.requests[-2:]] == ["/introspect", "/revoke"]


def test_tokens_in_blocking_code(source: TokenSource, server: MockProvider) -> None:
    """The methods with the suffix `_sync` do the same."""
    token = source.token_sync()
    assert source.current is token
    assert source.token_sync(force=True).access_token == "token-2"

    server.add_response(path="/introspect", protected=False, json={"active": True, "scope": "orders.read"})
    assert source.token_info_sync().scope == "orders.read"
    server.add_response(path="/revoke", protected=False)
    source.revoke_sync()
    assert source.current is None


async def test_a_certificate_callback_is_called_off_the_event_loop(server: MockProvider) -> None:
    """The first token needs the certificate, and the callback may block."""
    threads: list[str] = []

    def certificate() -> seic.ClientCertificate:
        threads.append(threading.current_thread().name)
        return identities.certificate()

    auth = auth_for(server, certificate=certificate, hosts=seic.Hosts(mtls="api.example"))
    await auth.source.token()

    assert threads
    assert threading.main_thread().name not in threads


async def test_without_a_certificate_none_can_be_reloaded(auth: OAuth2Auth) -> None:
    """Both methods name the setting."""
    with pytest.raises(seic.ConfigurationError) as caught:
        await auth.reload_certificate()
    with pytest.raises(seic.ConfigurationError) as twin:
        auth.reload_certificate_sync()
    assert caught.value.field == twin.value.field == "certificate"

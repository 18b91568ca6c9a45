from __future__ import annotations

import warnings
from collections.abc import Callable

import attrs
import pytest

import seic
from seic.sandbox import Sandbox


def test_without_a_certificate_the_settings_reach_the_api_host(sandbox: Sandbox) -> None:
    """Every credential is the sandbox's own."""
    config = sandbox.config()
    assert config.base_url == sandbox.api_url
    assert config.provider is seic.SEI_GATEWAY
    assert (config.client_id, config.client_secret) == (sandbox.client_id, sandbox.client_secret)
    assert config.grant == seic.ClientCredentials(username=sandbox.username, password=sandbox.password)
    assert (config.certificate, config.ca) == (None, sandbox.ca_pem)


@pytest.mark.parametrize("own", [True, False])
def test_a_certificate_chooses_the_mtls_host(own: bool, sandbox: Sandbox) -> None:
    """True is the service account's; a minted one is taken as it is."""
    config = sandbox.config(certificate=True if own else sandbox.issue_certificate("somebody-else"))
    assert config.base_url == sandbox.mtls_url
    assert isinstance(config.certificate, seic.ClientCertificate)
    assert config.certificate.common_name == (sandbox.username if own else "somebody-else")


def test_overrides_take_the_place_of_the_sandboxs_own(sandbox: Sandbox) -> None:
    """One changed setting leaves the others."""
    config = sandbox.config(client_secret="another", token_timeout=1.0)
    assert (config.client_id, config.client_secret, config.token_timeout) == (sandbox.client_id, "another", 1.0)


def test_behind_a_proxy_the_hosts_are_the_callers_to_name() -> None:
    """The sandbox cannot know where the proxy listens, and says so."""
    with Sandbox(behind_proxy=True) as sandbox:
        with pytest.raises(RuntimeError, match="the proxy has the hosts"):
            sandbox.config()
        config = sandbox.config(certificate=True, hosts=seic.Hosts(mtls="localhost:8443"))
    assert config.base_url == "https://localhost:8443"


async def test_sdk_gets_a_token_and_makes_a_call_on_each_host(sandbox: Sandbox) -> None:
    """Both peers in one test: near side and far side agree."""
    for certificate in (False, True):
        async with seic.AsyncClient(sandbox.config(certificate=certificate)) as client:
            reply = await client.get("/v1/echo")
        assert reply.json()["certificate_common_name"] == (sandbox.username if certificate else None)
    counts = sandbox.counts
    assert [(host.tokens_issued, host.api_calls) for host in (counts.api, counts.mtls)] == [(1, 1), (1, 1)]


@pytest.mark.parametrize(
    ("provider", "grant"),
    [
        (seic.SEI_PLATFORM, lambda s: seic.ClientCredentials(username=s.email, password=s.password)),
        (seic.OAUTH2, lambda _: seic.ClientCredentials()),
    ],
    ids=["platform", "plain"],
)
@pytest.mark.parametrize("certificate", [False, True])
async def test_each_dialect_has_its_settings(
    provider: seic.Provider,
    grant: Callable[[Sandbox], seic.ClientCredentials],
    certificate: bool,
    sandbox: Sandbox,
) -> None:
    """The grant is the one that the dialect's form has fields for; the SDK gets a token, uses it, and renews it."""
    config = sandbox.config(provider=provider, certificate=certificate)
    assert config.provider.token_url == provider.token_url
    assert config.grant == grant(sandbox)
    async with seic.AsyncClient(config) as client:
        reply = await client.get("/v1/echo")
        assert reply.json()["certificate_common_name"] == (sandbox.username if certificate else None)
        sandbox.revoke_all()
        assert (await client.get("/v1/echo")).status_code == 200
    assert sandbox.counts.tokens_issued == 2


def test_the_platforms_account_is_no_name_of_a_certificate(sandbox: Sandbox) -> None:
    """Expect the account's own certificate to do, which names no email address, and to be warned of nowhere."""
    config = sandbox.config(provider=seic.SEI_PLATFORM, certificate=True, strict_common_name=True)
    with warnings.catch_warnings(record=True) as warned, seic.Client(config) as client:
        warnings.simplefilter("always")
        assert client.get("/v1/echo").status_code == 200
    assert [str(each.message) for each in warned] == []


def test_what_documents_leave_open_is_filled_in(sandbox: Sandbox) -> None:
    """Where the sandbox had to decide it, and the caller has not."""
    assert sandbox.config(provider=seic.SEI_PLATFORM).provider.revocation_url == "/v2/oauth/revoke"
    stated = attrs.evolve(seic.SEI_PLATFORM, revocation_url="/elsewhere")
    assert sandbox.config(provider=stated).provider is stated
    plain = sandbox.config(provider=seic.OAUTH2).provider
    assert (plain.revocation_url, plain.introspection_url) == ("/oauth/v2/revoke", "/oauth/v2/introspect")
    foreign = seic.Provider(token_url="/oauth/elsewhere")
    assert sandbox.config(provider=foreign).provider is foreign

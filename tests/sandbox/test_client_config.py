"""`Sandbox.config`: the config of a client."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import attrs
import pytest

import seic
from seic.sandbox import Sandbox


def test_without_a_certificate_the_config_has_the_api_host(sandbox: Sandbox) -> None:
    """With the sandbox's credentials."""
    config = sandbox.config()
    assert config.base_url == sandbox.api_url
    assert config.provider is seic.SEI_GATEWAY
    assert (config.client_id, config.client_secret) == (sandbox.client_id, sandbox.client_secret)
    assert config.grant == seic.ClientCredentials(username=sandbox.username, password=sandbox.password)
    assert (config.certificate, config.ca) == (None, sandbox.ca_pem)


@pytest.mark.parametrize("own", [True, False])
def test_a_certificate_selects_the_mtls_host(own: bool, sandbox: Sandbox) -> None:
    """True is the service account's certificate; an issued one is used as it is."""
    config = sandbox.config(certificate=True if own else sandbox.issue_certificate("somebody-else"))
    assert config.base_url == sandbox.mtls_url
    assert isinstance(config.certificate, seic.ClientCertificate)
    assert config.certificate.common_name == (sandbox.username if own else "somebody-else")


def test_overrides_replace_arguments(sandbox: Sandbox) -> None:
    """The others stay."""
    config = sandbox.config(client_secret="another", token_timeout=1.0)
    assert (config.client_id, config.client_secret, config.token_timeout) == (sandbox.client_id, "another", 1.0)


def test_behind_a_proxy_the_hosts_are_required() -> None:
    """The sandbox does not know the address of the proxy; the error says so."""
    with Sandbox(behind_proxy=True) as sandbox:
        with pytest.raises(RuntimeError, match="the proxy has the hosts"):
            sandbox.config()
        config = sandbox.config(certificate=True, hosts=seic.Hosts(mtls="localhost:8443"))
    assert config.base_url == "https://localhost:8443"


async def test_sdk_works_with_each_host(sandbox: Sandbox) -> None:
    """A token and an API request."""
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
async def test_config_works_in_each_dialect(
    provider: seic.Provider,
    grant: Callable[[Sandbox], seic.ClientCredentials],
    certificate: bool,
    sandbox: Sandbox,
) -> None:
    """The grant has the fields of the dialect; the SDK gets a token, uses it and refreshes it."""
    config = sandbox.config(provider=provider, certificate=certificate)
    assert config.provider.token_url == provider.token_url
    assert config.grant == grant(sandbox)
    async with seic.AsyncClient(config) as client:
        reply = await client.get("/v1/echo")
        assert reply.json()["certificate_common_name"] == (sandbox.username if certificate else None)
        sandbox.revoke_all()
        assert (await client.get("/v1/echo")).status_code == 200
    assert sandbox.counts.tokens_issued == 2


def test_certificate_without_an_email_causes_no_warning_on_the_platform(sandbox: Sandbox) -> None:
    """The account's certificate has the user name and not the email address."""
    config = sandbox.config(provider=seic.SEI_PLATFORM, certificate=True, strict_common_name=True)
    with warnings.catch_warnings(record=True) as warned, seic.Client(config) as client:
        warnings.simplefilter("always")
        assert client.get("/v1/echo").status_code == 200
    assert [str(each.message) for each in warned] == []


def test_undocumented_urls_are_completed(sandbox: Sandbox) -> None:
    """If the provider does not set them."""
    assert sandbox.config(provider=seic.SEI_PLATFORM).provider.revocation_url == "/v2/oauth/revoke"
    provider = attrs.evolve(seic.SEI_PLATFORM, revocation_url="/elsewhere")
    assert sandbox.config(provider=provider).provider is provider
    plain = sandbox.config(provider=seic.OAUTH2).provider
    assert (plain.revocation_url, plain.introspection_url) == ("/oauth/v2/revoke", "/oauth/v2/introspect")
    foreign = seic.Provider(token_url="/oauth/elsewhere")
    assert sandbox.config(provider=foreign).provider is foreign

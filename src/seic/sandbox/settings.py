"""The SDK's settings for a running sandbox: the only module here that knows the near side beyond its values.

It is imported when a `Config` is asked for, and not before: the far side itself stands on the values alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from seic._config import Config
from seic._model.grants import ClientCredentials
from seic._model.hosts import Hosts
from seic._model.provider import Provider
from seic._oauth.providers import OAUTH2, SEI_GATEWAY, SEI_PLATFORM
from seic._tls.certificate import ClientCertificate
from seic.sandbox.plain import INTROSPECTION_PATH, PLAIN_REVOCATION_PATH

if TYPE_CHECKING:
    from seic.sandbox.pki import IssuedCertificate
    from seic.sandbox.sandbox import Sandbox


# By token URL: what the sandbox had to decide, since the dialect's documents do not. The gateway's session_token_field
# is not among them: who uses that grant has to name the field in production, too.
_DECIDED: Mapping[str, Mapping[str, Callable[[Sandbox], str]]] = {
    SEI_PLATFORM.token_url: {"revocation_url": lambda sandbox: sandbox.revocation_path},
    OAUTH2.token_url: {
        "introspection_url": lambda _: INTROSPECTION_PATH,
        "revocation_url": lambda _: PLAIN_REVOCATION_PATH,
    },
}


def build_config(sandbox: Sandbox, certificate: IssuedCertificate | None, overrides: dict[str, Any]) -> Config:
    """Return settings that reach the sandbox with the credentials of its service account.

    Args:
        sandbox: It has to run.
        certificate: What the client presents; None for the host that asks for none.
        overrides: Arguments of `Config`, which take the place of the sandbox's; a `provider` that leaves open what the
            sandbox had to decide is completed.
    """
    provider = _complete(overrides.pop("provider", SEI_GATEWAY), sandbox)
    arguments: dict[str, Any] = {
        "provider": provider,
        "client_id": sandbox.client_id,
        "client_secret": sandbox.client_secret,
        "grant": _grant(provider, sandbox),
        "ca": sandbox.ca_pem,
    }
    if "hosts" not in overrides:
        arguments["hosts"] = Hosts(api=sandbox.api_url, mtls=sandbox.mtls_url)
    if certificate is not None:
        arguments["certificate"] = ClientCertificate.load(certificate.cert_pem, key=certificate.key_pem)
    return Config(**{**arguments, **overrides})


def _complete(provider: Provider, sandbox: Sandbox) -> Provider:
    """Fill in what a dialect's documents leave open, where the sandbox had to decide it."""
    known = _DECIDED.get(provider.token_url, {})
    own: dict[str, Any] = {name: value(sandbox) for name, value in known.items() if getattr(provider, name) is None}
    return attrs.evolve(provider, **own) if own else provider


def _grant(provider: Provider, sandbox: Sandbox) -> ClientCredentials:
    if provider.username_field is None:
        return ClientCredentials()
    # The account has two names.
    username = sandbox.email if provider.username_field == "email" else sandbox.username
    return ClientCredentials(username=username, password=sandbox.password)

"""The SDK's settings for a running sandbox: the only module here that knows the near side beyond its values.

It is imported when a `Config` is asked for, and not before: the far side itself stands on the values alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from seic._config import Config
from seic._model.grants import ClientCredentials
from seic._model.hosts import Hosts
from seic._oauth.providers import SEI_GATEWAY
from seic._tls.certificate import ClientCertificate

if TYPE_CHECKING:
    from seic.sandbox.pki import IssuedCertificate
    from seic.sandbox.sandbox import Sandbox


def build_config(sandbox: Sandbox, certificate: IssuedCertificate | None, overrides: dict[str, Any]) -> Config:
    """Return settings that reach the sandbox with the credentials of its service account.

    Args:
        sandbox: It has to run.
        certificate: What the client presents; None for the host that asks for none.
        overrides: Arguments of `Config`, which take the place of the sandbox's.
    """
    arguments: dict[str, Any] = {
        "provider": SEI_GATEWAY,
        "client_id": sandbox.client_id,
        "client_secret": sandbox.client_secret,
        "grant": ClientCredentials(username=sandbox.username, password=sandbox.password),
        "ca": sandbox.ca_pem,
    }
    if "hosts" not in overrides:
        arguments["hosts"] = Hosts(api=sandbox.api_url, mtls=sandbox.mtls_url)
    if certificate is not None:
        arguments["certificate"] = ClientCertificate.load(certificate.cert_pem, key=certificate.key_pem)
    return Config(**{**arguments, **overrides})

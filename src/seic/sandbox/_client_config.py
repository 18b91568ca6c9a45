"""The `seic.Config` of a client of the sandbox; the only module here, with the demo, that imports the SDK."""

from __future__ import annotations

from typing import Any

import attrs

from seic._config import Config
from seic._model.grants import ClientCredentials
from seic._model.provider import Provider
from seic._oauth.providers import OAUTH2, SEI_GATEWAY, SEI_PLATFORM
from seic._tls.certificate import ClientCertificate
from seic.sandbox._certificates import IssuedCertificate
from seic.sandbox._dialects.oauth2 import INTROSPECTION_PATH, OAUTH2_REVOCATION_PATH
from seic.sandbox._registration import Registration


def build_config(
    registration: Registration,
    *,
    ca_pem: bytes,
    certificate: IssuedCertificate | None,
    revocation_path: str,
    overrides: dict[str, Any],
) -> Config:
    """Return a config with the credentials of the sandbox's account.

    Args:
        registration: The registered application and account.
        ca_pem: The CA that the client trusts.
        certificate: The client certificate; None for the api host.
        revocation_path: The path of the platform's revocation endpoint.
        overrides: Arguments of `Config`; they replace those above. URLs that the `provider` leaves open, because its
            documents do, are completed with the sandbox's.
    """
    # By token URL. The gateway's session_token_field is not here: a user of that grant must set it in production too.
    undocumented = {
        SEI_PLATFORM.token_url: {"revocation_url": revocation_path},
        OAUTH2.token_url: {"introspection_url": INTROSPECTION_PATH, "revocation_url": OAUTH2_REVOCATION_PATH},
    }
    provider: Provider = overrides.pop("provider", SEI_GATEWAY)
    missing: dict[str, Any] = {
        name: url for name, url in undocumented.get(provider.token_url, {}).items() if getattr(provider, name) is None
    }
    if missing:
        provider = attrs.evolve(provider, **missing)
    arguments: dict[str, Any] = {
        "provider": provider,
        "client_id": registration.client_id,
        "client_secret": registration.client_secret,
        "grant": _grant(provider, registration),
        "ca": ca_pem,
    }
    if certificate is not None:
        arguments["certificate"] = ClientCertificate.load(certificate.cert_pem, key=certificate.key_pem)
    return Config(**{**arguments, **overrides})


def _grant(provider: Provider, registration: Registration) -> ClientCredentials:
    if provider.username_field is None:
        return ClientCredentials()
    # The account has two names.
    username = registration.email if provider.username_field == "email" else registration.username
    return ClientCredentials(username=username, password=registration.password)

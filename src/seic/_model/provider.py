"""A provider: everything in which one dialect of OAuth 2.0 differs from another, as data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import attrs

from seic._errors import ConfigurationError
from seic._model.hosts import Hosts, Origin


class ClientAuthentication(Protocol):
    """How the client proves itself to the token endpoint (RFC 6749 §2.3): one small function over headers and form."""

    def apply(
        self, headers: dict[str, str], form: dict[str, str], *, client_id: str, client_secret: str | None
    ) -> None:
        """Add what proves the client to `headers` or `form`, in place."""
        ...


def _is_path_or_url(provider: Provider, attribute: attrs.Attribute[str], value: str) -> None:
    field = f"provider.{attribute.name}"
    # Two slashes make a host of what follows (RFC 3986 §4.2).
    if isinstance(value, str) and value.startswith("/") and not value.startswith("//"):
        return
    if not isinstance(value, str) or not value.startswith(("https://", "http://")):
        raise ConfigurationError(f"{field}: must be a path such as '/oauth/token' or an https URL", field=field)
    scheme, _, rest = value.partition("://")
    # Whether http on loopback is wanted is the configuration's to say, by its hosts.
    Origin.parse(f"{scheme}://{rest.partition('/')[0]}", field=field, allow_http_on_loopback=True)


@attrs.frozen(kw_only=True)
class Provider:
    """One dialect of OAuth 2.0; a new one is a new value, no code.

    Args:
        token_url: The token endpoint: a path below the chosen host, or a whole https URL.
        name: What errors and logs call it.
        environments: The known hosts by environment; empty where the user must pass `hosts`.
        client_authentication: How the client proves itself; None is `client_secret_basic` (RFC 6749 §2.3.1).
        client_id_header: A header that carries the client id on token and API calls (the gateway's `AppKey`).
        username_field: The form field of the service account in `client_credentials`; None where there is none.
        tracking_header: The response header that names a call, for the provider's support.
        idle_lifetime: Seconds after which an unused token is dead; None where there is no such limit.
        invalidate_grant_type: The `grant_type` that kills a token at the token endpoint; None where there is none.
        bare_401_means_token: Whether a 401 of the API that explains itself by neither challenge nor error body means a
            bad token. Only where the provider's documents say so: each such 401 costs a token request.
    """

    token_url: str = attrs.field(validator=_is_path_or_url)
    name: str = "the provider"
    environments: Mapping[str, Hosts] = attrs.field(factory=dict, hash=False)
    client_authentication: ClientAuthentication | None = None
    client_id_header: str | None = None
    username_field: str | None = None
    tracking_header: str | None = None
    idle_lifetime: float | None = None
    invalidate_grant_type: str | None = None
    bare_401_means_token: bool = False

from __future__ import annotations

import attrs
import pytest

from seic._errors import ConfigurationError
from seic._model.grants import ClientCredentials, Grant
from seic._model.provider import Provider

_GATEWAY = Provider(token_url="/v2/oauthtoken", name="the gateway", username_field="username")
_PLATFORM = Provider(token_url="/v2/oauth/token", name="the platform", username_field="email")
_PLAIN = Provider(token_url="/oauth/v2/token", name="the plain one")


def test_the_grant_is_called_as_the_standard_calls_it() -> None:
    """RFC 6749 §4.4.2 names the grant type."""
    grant: Grant = ClientCredentials()

    assert grant.grant_type == "client_credentials"


@pytest.mark.parametrize(
    ("provider", "grant", "fields"),
    [
        (_GATEWAY, ClientCredentials(username="svc", password="pw"), {"username": "svc", "password": "pw"}),
        (_PLATFORM, ClientCredentials(username="svc@x", password="pw"), {"email": "svc@x", "password": "pw"}),
        (_PLAIN, ClientCredentials(), {}),
    ],
    ids=["username at the gateway", "email at the platform", "none at a plain provider"],
)
def test_the_provider_names_the_fields(provider: Provider, grant: ClientCredentials, fields: dict[str, str]) -> None:
    """The same grant passes each provider's check and becomes that provider's form."""
    grant.check(provider)

    assert grant.fields(provider) == fields


@pytest.mark.parametrize(
    ("grant", "field"),
    [
        (ClientCredentials(), "grant.username"),
        (ClientCredentials(password="pw"), "grant.username"),
        (ClientCredentials(username="", password="pw"), "grant.username"),
        (ClientCredentials(username="svc"), "grant.password"),
        (ClientCredentials(username="svc", password=""), "grant.password"),
    ],
    ids=["nothing", "no username", "empty username", "no password", "empty password"],
)
@pytest.mark.parametrize("provider", [_GATEWAY, _PLATFORM], ids=["gateway", "platform"])
def test_a_missing_half_of_the_service_account_is_named(
    provider: Provider, grant: ClientCredentials, field: str
) -> None:
    """Where the form has a service account, an absent or empty half is an error that names it and the provider."""
    with pytest.raises(ConfigurationError, match=provider.name) as caught:
        grant.check(provider)

    assert caught.value.field == field
    assert field in str(caught.value)
    assert "pw" not in str(caught.value).split()


@pytest.mark.parametrize(
    "grant",
    [
        ClientCredentials(username="svc", password="pw"),
        ClientCredentials(username="svc"),
        ClientCredentials(password="pw"),
        ClientCredentials(username="", password=""),
    ],
    ids=["both", "username", "password", "empty"],
)
def test_a_service_account_that_would_go_nowhere_is_refused(grant: ClientCredentials) -> None:
    """A plain provider's form has no place for it: an error, rather than a password silently left out."""
    with pytest.raises(ConfigurationError, match="leave username and password out") as caught:
        grant.check(_PLAIN)

    assert caught.value.field == "grant.username"


@pytest.mark.parametrize(
    "grant",
    [ClientCredentials(), ClientCredentials(username="svc"), ClientCredentials(password="pw")],
    ids=["nothing", "username", "password"],
)
def test_half_an_account_never_reaches_the_form(grant: ClientCredentials) -> None:
    """Even unchecked, the form carries a whole service account or none."""
    assert grant.fields(_GATEWAY) == {}


def test_the_password_stays_out_of_the_repr() -> None:
    """A repr names the account and hides the password."""
    shown = repr(ClientCredentials(username="svc", password="hunter2"))

    assert "svc" in shown
    assert "hunter2" not in shown


def test_a_grant_cannot_change() -> None:
    """A grant is part of a token's key, so it is frozen."""
    grant = ClientCredentials(username="svc", password="pw")

    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        grant.username = "other"  # type: ignore[misc]

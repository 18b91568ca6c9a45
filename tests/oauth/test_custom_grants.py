"""A user's own grant: any object with the interface of `Grant`."""

from __future__ import annotations

import datetime as dt
from typing import Any, ClassVar
from urllib.parse import parse_qs

import attrs
import pytest

from seic import OAUTH2, ConfigurationError, Grant, OAuth2Auth, Provider, TokenRequestRefused
from tests._support.clocks import FakeClock
from tests._support.token_calls import Endpoints, config_of, reply, token_request


@attrs.frozen
class Ticket:
    """A grant of an application's own, without a base class of seic."""

    grant_type: ClassVar[str] = "urn:example:ticket"
    is_refreshed: ClassVar[bool] = True
    number: str
    is_repeatable: bool = True
    ends_at: dt.datetime | None = None

    def check(self, provider: Provider) -> None:
        """Require a number."""
        if not self.number:
            raise ConfigurationError("grant.number: is empty", field="grant.number")

    def fields(self, provider: Provider) -> dict[str, str]:
        """Return the number."""
        return {"ticket": self.number}


def test_its_fields_are_sent() -> None:
    """The form has the grant type and the fields of the grant."""
    grant: Grant = Ticket("7")

    assert token_request(config_of(OAUTH2, grant=grant)).content == b"grant_type=urn%3Aexample%3Aticket&ticket=7"


def test_its_check_is_used() -> None:
    """A configuration with an invalid grant is refused."""
    with pytest.raises(ConfigurationError) as caught:
        config_of(OAUTH2, grant=Ticket(""))

    assert caught.value.field == "grant.number"


def test_its_token_is_refreshed() -> None:
    """A refresh token is used first, without parameters that the grant does not have."""
    config = config_of(OAUTH2, grant=Ticket("7"))
    endpoints = Endpoints(config, reply({"access_token": "a", "expires_in": 60, "refresh_token": "r"}))
    clock = FakeClock()
    auth = OAuth2Auth(config, transport=endpoints, clock=clock.clock)
    auth.token_sync()
    clock.advance(61)
    auth.token_sync()

    assert [parse_qs(request.content.decode())["grant_type"] for request in endpoints.requests] == [
        ["urn:example:ticket"],
        ["refresh_token"],
    ]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"is_repeatable": False}, "works only once", id="used"),
        pytest.param({"ends_at": dt.datetime.fromtimestamp(1_700_000_030, dt.UTC)}, "expired at", id="expired"),
    ],
)
def test_a_grant_that_cannot_be_used_again(changes: dict[str, Any], reason: str) -> None:
    """The user must log in again, and nothing is sent."""
    config = config_of(OAUTH2, grant=attrs.evolve(Ticket("7"), **changes))
    endpoints = Endpoints(config, reply({"access_token": "a", "expires_in": 60}))
    clock = FakeClock()
    auth = OAuth2Auth(config, transport=endpoints, clock=clock.clock)
    auth.token_sync()
    clock.advance(61)
    with pytest.raises(TokenRequestRefused, match=reason) as caught:
        auth.token_sync()

    assert caught.value.code == "login_required"
    assert len(endpoints.requests) == 1

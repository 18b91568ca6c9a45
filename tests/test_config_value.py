"""A configuration as a value: compared, shown, copied, pickled, and known to a store, without its secrets."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import attrs
import pytest

from seic._config import Config
from seic._errors import ConfigurationError
from seic._model.grants import ClientCredentials
from seic._model.hosts import Hosts
from seic._oauth.providers import SEI_GATEWAY
from tests._support.configs import CA_FILE, PASSWORD, SECRET, make
from tests._support.identities import authority, certificate, issued
from tests._support.reports import report


class _Broken(str):
    __slots__ = ()

    def isprintable(self) -> bool:
        raise RuntimeError("broken")

    def __len__(self) -> int:
        return 1


# A value that holds secrets


def test_a_configuration_is_a_value() -> None:
    """Two equal ones are one as a key, and none can change."""
    one, other = make(), make()

    assert one == other
    assert {one: 1}[other] == 1
    assert one != make(client_secret="another")
    assert attrs.evolve(one, environment="test").base_url == "https://test.api.seic.com"
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        one.client_id = "other"  # type: ignore[misc]


def test_a_repr_shows_what_is_public_only() -> None:
    """The secrets show as hidden, the PEM of a CA by its length; the rest is there for whoever looks for a mistake."""
    # Who takes a file for the CA's may take one that holds its key, too.
    pem = authority().cert_pem + issued().key_pem
    shown = [repr(make(ca=ca, certificate=certificate())) for ca in (pem, pem.decode(), CA_FILE)]

    for text in shown:
        assert SECRET not in text
        assert PASSWORD not in text
        assert issued().key_pem.decode().splitlines()[1] not in text
        assert "client_secret=***" in text
        assert "client_id='app-key'" in text
    assert f"<{len(pem)} bytes>" in shown[0]
    assert "<PEM text>" in shown[1]
    assert f"ca={CA_FILE!r}" in shown[2]


def test_no_pickle_takes_it_and_a_copy_is_itself() -> None:
    """A pickle ends where nobody looks after it; a copy would be a second place where the secrets lie."""
    config = make(certificate=certificate())

    with pytest.raises(TypeError, match=r"Config holds secrets"):
        pickle.dumps(config)
    assert copy.deepcopy(config) is config


@pytest.mark.parametrize(
    "changes",
    [
        {"environment": "nowhere"},
        {"client_id": "two words"},
        {"client_secret": f"{SECRET}\n"},
        {"grant": ClientCredentials(password=PASSWORD)},
        {"token_timeout": 0},
        {"certificate": "client.pem"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_an_error_takes_no_secret_along(changes: dict[str, Any]) -> None:
    """A report with the variables of every frame, causes and contexts included, shows none; nor does a pickle."""
    with pytest.raises(ConfigurationError) as caught:
        make(**changes)
    written, pickled = report(caught.value), pickle.dumps(caught.value)

    assert "in called" in written  # the frames that are the SDK's are there
    for secret in (SECRET, PASSWORD):
        assert secret not in written
        assert secret.encode() not in pickled


@pytest.mark.parametrize(
    "changes", [{"typo": 1}, {"client_id": _Broken()}], ids=["a keyword that there is not", "a value that fails"]
)
def test_no_other_error_takes_a_secret_along(changes: dict[str, Any]) -> None:
    """What is no ConfigurationError has the same secrets beside it."""
    with pytest.raises((TypeError, RuntimeError)) as caught:
        make(**changes)
    written = report(caught.value)

    assert "in called" in written
    for secret in (SECRET, PASSWORD):
        assert secret not in written


def test_a_half_made_one_can_be_shown() -> None:
    """A crash reporter that comes by one must not fail by it."""
    assert repr(Config.__new__(Config)) == "<Config, half made>"


# What a store keeps a token under


def test_a_store_key_tells_identities_apart() -> None:
    """Whatever a token is bound to is in the key; what it is not bound to is not."""
    config = make()
    key = config.store_key(None)

    assert len({
        key,
        config.store_key("a1"),
        make(client_id="other").store_key(None),
        make(environment="test").store_key(None),
        make(hosts=Hosts(api="api.seic.com:444")).store_key(None),
        make(grant=ClientCredentials(username="other", password=PASSWORD)).store_key(None),
        make(provider=attrs.evolve(SEI_GATEWAY, token_url="/other")).store_key(None),
    }) == 7  # fmt: skip
    assert key == make(client_secret="renewed", ca=CA_FILE, token_timeout=1).store_key(None)
    assert key == make(grant=ClientCredentials(username="svc-user", password="renewed")).store_key(None)

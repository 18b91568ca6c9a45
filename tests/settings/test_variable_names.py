"""Names of variables that there are not: a slip is refused, what others set is left alone."""

from __future__ import annotations

import pytest

from seic._config import Config
from tests._support.settings import GATEWAY, SECRET, refused


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("SEIC_CERTFICATE", "SEIC_CERTIFICATE"),
        ("SEIC_ENVIROMENT", "SEIC_ENVIRONMENT"),
        ("SEIC_CERTIFICATE_FILE", "SEIC_CERTIFICATE"),
        ("SEIC_CA_FILE", "SEIC_CA"),
        ("SEIC_MTLSHOST", "SEIC_MTLS_HOST"),
        ("SEIC_PROFIL", "SEIC_PROFILE"),
        ("seic_certificate", "SEIC_CERTIFICATE"),
    ],
)
def test_a_slip_in_a_name_is_refused(name: str, nearest: str) -> None:
    """A certificate that nobody reads would mean another host; the error says which name was most likely meant."""
    error = refused({**GATEWAY, name: SECRET})

    assert error.field == name
    assert f"did you mean {nearest}?" in str(error)


def test_a_name_like_no_other_is_told_those_that_there_are() -> None:
    """Nothing is guessed where nothing is near."""
    error = refused({**GATEWAY, "SEIC_QQQQQQQQ": "x"})

    assert error.field == "SEIC_QQQQQQQQ"
    assert "did you mean" not in str(error)
    assert "SEIC_API_HOST, SEIC_CA, SEIC_CERTIFICATE," in str(error)


def test_of_several_slips_the_first_is_named_whoever_replaces_what() -> None:
    """The same variables give the same error, and an argument in place of one does not hide it."""
    error = refused({**GATEWAY, "SEIC_STOR": "memory", "SEIC_CERTFICATE": "x"}, certificate=None)

    assert error.field == "SEIC_CERTFICATE"


@pytest.mark.parametrize(
    "name",
    [
        "SEIC_SERVICE_HOST",
        "SEIC_SERVICE_PORT",
        "SEIC_GATEWAY_SERVICE_PORT_HTTPS",
        "SEIC_PORT",
        "SEIC_PORT_443_TCP",
        "SEIC_GATEWAY_PORT_443_TCP_ADDR",
        "SEICX_CERTFICATE",
        "MY_SEIC_CERTFICATE",
    ],
)
def test_what_others_set_is_left_alone(name: str) -> None:
    """Kubernetes gives each pod variables for the services beside it, and one may be called seic."""
    assert Config.from_env({**GATEWAY, name: "tcp://10.0.0.1:443"}) == Config.from_env(GATEWAY)


def test_an_unknown_variable_that_is_empty_is_not_set() -> None:
    """As with any other, nothing in it is nothing said."""
    assert Config.from_env({**GATEWAY, "SEIC_CERTFICATE": ""}) == Config.from_env(GATEWAY)

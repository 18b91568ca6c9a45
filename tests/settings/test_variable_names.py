"""Unknown variables: misspelt names are refused, and variables of other programs are ignored."""

from __future__ import annotations

import pytest

from seic import Config
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
def test_a_misspelt_name_is_refused(name: str, nearest: str) -> None:
    """An ignored certificate would select another host. The error suggests the most similar name."""
    error = refused({**GATEWAY, name: SECRET})

    assert error.field == name
    assert f"did you mean {nearest}?" in str(error)


def test_an_error_about_an_unknown_name_lists_the_known_ones() -> None:
    """There is no suggestion if no name is similar."""
    error = refused({**GATEWAY, "SEIC_QQQQQQQQ": "x"})

    assert error.field == "SEIC_QQQQQQQQ"
    assert "unknown variable; known variables: " in str(error)
    assert "did you mean" not in str(error)
    assert "SEIC_API_HOST, SEIC_ASSERTION, SEIC_AUDIENCE, SEIC_CA, SEIC_CERTIFICATE," in str(error)
    assert str(error).endswith("secrets also with _FILE or _COMMAND")


def test_of_several_misspelt_names_all_are_reported() -> None:
    """The error has the field of the first; the same variables cause it, even if an argument replaces one of them."""
    error = refused({**GATEWAY, "SEIC_STOR": "memory", "SEIC_CERTFICATE": "x"}, certificate=None)

    assert error.field == "SEIC_CERTFICATE"
    assert "SEIC_STOR: unknown variable; did you mean SEIC_STORE?" in str(error)


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
def test_variables_of_other_programs_are_ignored(name: str) -> None:
    """Kubernetes sets variables for each service in a namespace, and a service can be named seic."""
    assert Config.from_env({**GATEWAY, name: "tcp://10.0.0.1:443"}) == Config.from_env(GATEWAY)


def test_an_unknown_variable_that_is_empty_is_not_set() -> None:
    """An empty variable is the same as none."""
    assert Config.from_env({**GATEWAY, "SEIC_CERTFICATE": ""}) == Config.from_env(GATEWAY)

"""`seic_certificates`: each form works at the sandbox, and each defect has the reason that it is named after."""

from __future__ import annotations

from typing import get_args

import attrs
import pytest

import seic
from seic.sandbox import Sandbox
from seic.testing import CertificateFactory
from seic.testing._certificate_files import CertificateDefect, CertificateForm

#: Found when the files are read, by `check`, or by the server alone.
_CHECKED = {"expired", "not-yet-valid", "common-name", "expires-soon", "weak-key"}
_UNREADABLE = [defect for defect in get_args(CertificateDefect) if defect not in {*_CHECKED, "untrusted"}]


@pytest.fixture(autouse=True)
def _one_sandbox(seic_sandbox: Sandbox) -> None:
    """The sandbox of `seic_certificates`."""


@pytest.mark.parametrize("key_type", ["ec", "rsa"])
@pytest.mark.parametrize("form", get_args(CertificateForm))
def test_each_form_works(
    seic_certificates: CertificateFactory, seic_sandbox: Sandbox, form: CertificateForm, key_type: str
) -> None:
    """A handshake with the sandbox."""
    files = seic_certificates.create(form, key_type=key_type)  # type: ignore[arg-type]  # of the table
    config = seic_sandbox.config(certificate=True)
    with seic.Client(attrs.evolve(config, certificate=files.load())) as client:
        assert client.get("/v1/investments/accounts").status_code == 200


# A PKCS#12 file that is cut off, or has another certificate's key, has other reasons.
_CASES = [
    (defect, form)
    for defect in _UNREADABLE
    for form in ("pem", "pkcs12", "combined")
    if form != "pkcs12" or defect not in {"truncated", "key-mismatch"}
]


@pytest.mark.parametrize(("defect", "form"), _CASES)
def test_files_with_a_defect_do_not_load(
    seic_certificates: CertificateFactory, defect: CertificateDefect, form: CertificateForm
) -> None:
    """The reason is the defect's name."""
    files = seic_certificates.create(form, defect=defect)
    with pytest.raises(seic.CertificateError) as caught:
        files.load()

    assert caught.value.reason == defect


@pytest.mark.parametrize("defect", ["expired", "not-yet-valid", "weak-key"])
def test_dates_and_keys_are_checked_before_a_connection(
    seic_certificates: CertificateFactory, seic_sandbox: Sandbox, defect: CertificateDefect
) -> None:
    """The files can be read."""
    certificate = seic_certificates.create(defect=defect).load()
    config = seic_sandbox.config(certificate=True)
    client = seic.Client(attrs.evolve(config, certificate=certificate))
    with client, pytest.raises(seic.CertificateError) as caught:
        client.token()

    assert caught.value.reason == defect
    assert seic_sandbox.counts.connections == 0


def test_the_server_refuses_another_authority(seic_certificates: CertificateFactory, seic_sandbox: Sandbox) -> None:
    """The handshake fails."""
    certificate = seic_certificates.create(defect="untrusted").load()
    config = seic_sandbox.config(certificate=True)
    client = seic.Client(attrs.evolve(config, certificate=certificate))
    with client, pytest.raises(seic.CertificateError):
        client.token()


def test_a_certificate_of_another_account(seic_certificates: CertificateFactory, seic_sandbox: Sandbox) -> None:
    """The gateway refuses it, and the error names both."""
    certificate = seic_certificates.create(defect="common-name").load()
    config = attrs.evolve(seic_sandbox.config(certificate=True), certificate=certificate)
    with seic.Client(config) as client, pytest.raises(seic.TokenRequestRefused, match="CN=another-account"):
        client.token()


def test_a_certificate_that_expires_soon_works(seic_certificates: CertificateFactory, seic_sandbox: Sandbox) -> None:
    """Its dates are still good."""
    certificate = seic_certificates.create(defect="expires-soon").load()
    assert 1 < certificate.days_left() < 3
    config = attrs.evolve(seic_sandbox.config(certificate=True), certificate=certificate)
    with seic.Client(config) as client:
        assert client.token().access_token


def test_unknown_names_are_refused(seic_certificates: CertificateFactory) -> None:
    """Else a typing error would be a test without a defect."""
    with pytest.raises(ValueError, match="defect: must be one of expired, "):
        seic_certificates.create(defect="expird")  # type: ignore[arg-type]  # on purpose
    with pytest.raises(ValueError, match="form: must be one of pem, "):
        seic_certificates.create("jks")  # type: ignore[arg-type]  # on purpose

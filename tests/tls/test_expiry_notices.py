"""The expiry of a certificate: reported once a day, and not after its renewal."""

from __future__ import annotations

import datetime as dt

import pytest

from seic.events import CertificateExpiring, CertificateRotated
from tests._support.pki import DAY, NOW, Minted, mint
from tests._support.rotating import SETTLED, Bench, replace


def test_the_approaching_end_is_told_once_a_day(client: Minted, bench: Bench) -> None:
    """From 30 days before the expiry there is one event a day, with the remaining days."""
    bench.now = client.certificate.not_valid_after_utc - 30 * DAY
    bench.check()
    assert bench.events == []

    bench.now += dt.timedelta(seconds=1)
    bench.check(5)
    bench.now += DAY - dt.timedelta(seconds=1)
    bench.check(5)
    assert len(bench.events) == 1
    bench.now += dt.timedelta(seconds=1)
    bench.check(5)

    first, second = bench.events
    assert isinstance(first, CertificateExpiring)
    assert isinstance(second, CertificateExpiring)
    assert (first.path, first.subject) == (str(bench.folder / "client.pem"), "CN=svc-user")
    assert first.not_after == client.certificate.not_valid_after_utc
    assert first.days_left == pytest.approx(30, abs=1e-4)
    assert second.days_left == pytest.approx(29, abs=1e-4)


def test_a_renewal_ends_the_notices(client: Minted, bench: Bench, root: Minted) -> None:
    """A new certificate has no notices until its own expiry."""
    bench.now = client.certificate.not_valid_after_utc - 3 * DAY
    bench.check()
    replace(bench.folder, mint(issuer=root, number=8, not_after=NOW + 2000 * DAY))
    bench.check()
    bench.now += 2 * DAY
    bench.check()
    assert [type(event) for event in bench.events] == [CertificateExpiring, CertificateRotated]


def test_the_end_of_each_certificate_is_told_by_itself(client: Minted, bench: Bench, root: Minted) -> None:
    """A renewal that expires soon itself is reported as soon as its files are settled."""
    bench.now = client.certificate.not_valid_after_utc - 3 * DAY
    bench.check()
    replace(bench.folder, mint(issuer=root, number=8, not_after=bench.now + 2 * DAY))
    bench.check(SETTLED + 2)
    assert [type(event) for event in bench.events] == [CertificateExpiring, CertificateRotated, CertificateExpiring]

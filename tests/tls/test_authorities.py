"""The file of `ca=` is reloaded, and an invalid one leaves the last good authorities in use."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Any

import pytest

import seic
from seic.events import CertificateExpiring, CertificateRejected, CertificateRotated, Event, TrustStoreReloaded
from tests._support.hops import make_config
from tests._support.pki import DAY, NOW, Minted, mint, server
from tests._support.rotating import BELIEVED, MINUTE, SETTLED, Bench, connect, follow, replace
from tests._support.tls_servers import TlsServer, call


@pytest.fixture
def other() -> Minted:
    """Return the new authority."""
    return mint("Another root", ca=True, number=81)


def trusted_by(identity: Any) -> tuple[bytes, ...]:
    """Return the names of the authorities in use, in the order of the file."""
    return tuple(facts.der for facts in identity.current().trust.authorities)


def check(identity: Any, times: int = SETTLED) -> None:
    """Check some times, as the watching thread does, and wait for the result of each check."""
    for _ in range(times):
        identity.check_for_update(wait=True)


class Bundle:
    """The file of `ca=`, and an identity that watches it."""

    def __init__(self, folder: Path, root: Minted) -> None:
        self.path = folder / "ca.pem"
        self.path.write_bytes(root.pem)
        self.events: list[Event] = []
        self.identity = follow(self.path, self.events.append)

    @property
    def trusted(self) -> tuple[bytes, ...]:
        """Return the authorities in use."""
        return trusted_by(self.identity)

    def put(self, *authorities: Minted) -> None:
        """Replace the file by renaming."""
        staged = self.path.with_name("staged.pem")
        staged.write_bytes(b"".join(one.pem for one in authorities))
        staged.replace(self.path)

    def check(self, times: int = SETTLED) -> None:
        """Check some times, as the watching thread does."""
        check(self.identity, times)


@pytest.fixture
def bundle(tmp_path: Path, root: Minted) -> Bundle:
    """Return a bundle with one authority, which is in use."""
    made = Bundle(tmp_path, root)
    assert made.trusted == (root.der,)
    return made


def test_a_bundle_that_is_replaced_takes_over(bundle: Bundle, root: Minted, other: Minted) -> None:
    """Within two checks, with one event that has the file and the number of authorities."""
    bundle.put(root, other)
    bundle.check()
    assert bundle.trusted == (root.der, other.der)
    assert bundle.identity.generation == 2
    bundle.check(5)
    assert bundle.events == [TrustStoreReloaded(path=str(bundle.path), authorities=2)]


def test_the_same_content_again_is_no_news(bundle: Bundle, root: Minted) -> None:
    """Neither without a change, nor if the same content is written again."""
    bundle.check(5)
    bundle.put(root)
    bundle.check(5)
    assert (bundle.identity.generation, bundle.events) == (1, [])


def test_a_half_written_bundle_is_waited_for(bundle: Bundle, root: Minted, other: Minted) -> None:
    """Intermediate states are neither loaded nor reported."""
    whole = root.pem + other.pem
    for size in (0, 100, len(whole) - 20):
        bundle.path.write_bytes(whole[:size])
        bundle.check(2)
        assert bundle.trusted == (root.der,)
    bundle.path.write_bytes(whole)
    bundle.check()
    assert bundle.trusted == (root.der, other.der)
    assert [type(event) for event in bundle.events] == [TrustStoreReloaded]


def _spoil(row: str, bundle: Bundle) -> None:
    match row:
        case "garbage":
            bundle.path.write_bytes(b"garbage")
        case "gone":
            bundle.path.unlink()
        case "no authority":
            bundle.put(mint(issuer=mint("Another root", ca=True, number=81)))
        case _:
            bundle.put(mint("Old root", ca=True, number=82, not_before=NOW - 9 * DAY, not_after=NOW - DAY))


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("garbage", seic.Reason.UNKNOWN_FORMAT),
        ("gone", seic.Reason.NOT_FOUND),
        ("no authority", seic.Reason.NOT_A_CA),
        ("expired", seic.Reason.EXPIRED),
    ],
)
def test_a_bad_bundle_leaves_the_good_one_in_service_and_is_reported_once(
    row: str, reason: seic.Reason, bundle: Bundle, root: Minted, other: Minted
) -> None:
    """It can be incomplete for a second; then one event names the problem, until the next valid one."""
    _spoil(row, bundle)
    bundle.check(BELIEVED - 1)
    assert bundle.events == []
    bundle.check(20)

    assert bundle.trusted == (root.der,)
    (event,) = bundle.events
    assert isinstance(event, CertificateRejected)
    assert (event.path, event.reason) == (str(bundle.path), reason)
    assert event.problem.startswith(f"ca: {bundle.path}: ")
    bundle.put(other)
    bundle.check()
    assert bundle.trusted == (other.der,)


def test_a_mended_file_in_a_folder_is_read_again(bundle: Bundle, tmp_path: Path, root: Minted, other: Minted) -> None:
    """A folder does not change if a file in it is overwritten, so a repaired file is found by reading it again."""
    folder = tmp_path / "trusted"
    folder.mkdir()
    (folder / "root.pem").write_bytes(root.pem)
    seconds = 1000.0
    identity = follow(folder, monotonic=lambda: seconds)
    identity.current()
    (folder / "other.pem").write_bytes(b"garbage")
    check(identity, BELIEVED)
    (folder / "other.pem").write_bytes(other.pem)

    seconds += 0.9
    check(identity, 1)
    assert trusted_by(identity) == (root.der,)
    seconds += 0.1
    check(identity, 1)
    assert set(trusted_by(identity)) == {root.der, other.der}


def test_a_bundle_that_stays_cut_off_replaces_the_old_one_after_a_minute(
    bundle: Bundle, root: Minted, other: Minted
) -> None:
    """It may be still being written, so that the old one stays at first, and one event names it."""
    bundle.path.write_bytes(other.pem + root.pem[:-40])
    bundle.check(BELIEVED + 20)
    assert bundle.trusted == (root.der,)
    (event,) = bundle.events
    assert isinstance(event, CertificateRejected)
    assert (event.path, event.reason) == (str(bundle.path), seic.Reason.TRUNCATED)
    assert "may be still being written" in event.problem

    os.utime(bundle.path, (NOW.timestamp() - 61, NOW.timestamp() - 61))
    bundle.check(SETTLED)
    assert bundle.trusted == (other.der,)
    assert bundle.events[1:] == [TrustStoreReloaded(path=str(bundle.path), authorities=1)]


def test_a_folder_with_a_bad_file_takes_new_ones_and_that_file_once_it_is_mended(
    bundle: Bundle, tmp_path: Path, root: Minted, other: Minted
) -> None:
    """The bad file does not sink the others; it is read again every minute, since the folder will not change."""
    folder = tmp_path / "trusted"
    folder.mkdir()
    (folder / "root.pem").write_bytes(root.pem)
    bad = folder / "bad.pem"
    bad.write_bytes(b"garbage")
    os.utime(bad, (0, 0))
    seconds = 1000.0
    identity = follow(folder, monotonic=lambda: seconds)
    assert trusted_by(identity) == (root.der,)
    (folder / "other.pem").write_bytes(other.pem)
    check(identity)
    assert set(trusted_by(identity)) == {root.der, other.der}

    third = mint("Third root", ca=True, number=83)
    bad.write_bytes(third.pem)
    seconds += MINUTE
    check(identity, 1)
    assert set(trusted_by(identity)) == {root.der, other.der, third.der}


def test_a_bad_first_bundle_is_an_error(tmp_path: Path, root: Minted) -> None:
    """There is no earlier one to use, until it is repaired."""
    bundle = Bundle(tmp_path, root)
    bundle.path.write_bytes(b"garbage")
    bundle.check(BELIEVED)
    with pytest.raises(seic.CertificateError) as caught:
        bundle.identity.current()
    assert (caught.value.field, caught.value.reason) == ("ca", seic.Reason.UNKNOWN_FORMAT)
    bundle.put(root)
    assert bundle.trusted == (root.der,)


def test_a_relative_path_is_the_one_that_it_was_at_first(
    tmp_path: Path, root: Minted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The working directory at the creation of the configuration counts, not a later one."""
    (tmp_path / "ca.pem").write_bytes(root.pem)
    monkeypatch.chdir(tmp_path)
    config = make_config(ca="ca.pem")
    monkeypatch.chdir("/")
    assert config.ca == str(tmp_path / "ca.pem")
    assert trusted_by(connect(config)) == (root.der,)


def test_a_directory_is_followed_by_what_comes_and_goes_in_it(bundle: Bundle, root: Minted, other: Minted) -> None:
    """As with Kubernetes and c_rehash: a file that is added, removed or renamed changes the folder."""
    folder = bundle.path.with_name("trusted")
    folder.mkdir()
    (folder / "root.pem").write_bytes(root.pem)
    seconds = 1000.0
    identity = follow(folder, monotonic=lambda: seconds)
    assert trusted_by(identity) == (root.der,)
    (folder / "other.pem").write_bytes(other.pem)
    check(identity)
    assert set(trusted_by(identity)) == {root.der, other.der}


@pytest.mark.parametrize("form", ["bytes", "text", "the system's"])
def test_what_is_no_path_is_not_watched(form: str, bundle: Bundle, root: Minted) -> None:
    """There is no file to check."""
    ca = {"bytes": root.pem, "text": root.pem.decode(), "the system's": None}[form]
    identity = follow(ca)
    before = identity.current()
    check(identity, 5)
    assert identity.current() is before


# In an identity


@pytest.fixture
def followed(tmp_path: Path, root: Minted, client: Minted) -> Bench:
    """Return an identity in use with certificate and authorities in files."""
    client.write(tmp_path)
    (tmp_path / "ca.pem").write_bytes(root.pem)
    made = Bench(tmp_path, root, ca=tmp_path / "ca.pem")
    made.current()
    made.check()
    return made


def test_new_connections_trust_the_new_authorities(followed: Bench, root: Minted, other: Minted) -> None:
    """Without a change of the certificate: a new context and a new generation, and the old context is unchanged."""
    before = followed.current()
    (followed.folder / "ca.pem").write_bytes(other.pem)
    followed.check()
    after = followed.current()

    assert (after.certificate, after.generation) == (before.certificate, before.generation + 1)
    assert [type(event) for event in followed.events] == [TrustStoreReloaded]
    with TlsServer(server(other), trusts=root) as far:
        call(after.context, far.port)
        with pytest.raises(ssl.SSLCertVerificationError):
            call(before.context, far.port)


def test_a_bad_bundle_holds_up_no_certificate(followed: Bench, root: Minted, client: Minted) -> None:
    """The certificate rotates nevertheless, with the last good authorities."""
    (followed.folder / "ca.pem").write_bytes(b"garbage")
    new = mint(issuer=root, key="rsa", number=83)
    replace(followed.folder, new)
    followed.check(BELIEVED)

    assert followed.presented == new.der
    assert trusted_by(followed.identity) == (root.der,)
    assert {type(event) for event in followed.events} == {CertificateRotated, CertificateRejected}


def test_other_authorities_are_no_reason_to_tell_the_approaching_end_again(
    followed: Bench, other: Minted, client: Minted
) -> None:
    """It is the same certificate."""
    followed.now = client.certificate.not_valid_after_utc - DAY
    followed.check()
    (followed.folder / "ca.pem").write_bytes(other.pem)
    followed.check()
    assert [type(event) for event in followed.events] == [CertificateExpiring, TrustStoreReloaded]


def test_a_reload_takes_the_authorities_up_as_well(followed: Bench, other: Minted) -> None:
    """It returns whether the certificate is new, and the next connection trusts the new file."""
    (followed.folder / "ca.pem").write_bytes(other.pem)
    assert followed.identity.reload() is False
    assert trusted_by(followed.identity) == (other.der,)

"""Authorities: the file of `ca=` is followed, and a bad one leaves the last good ones in service."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from seic._errors import CertificateError
from seic._events import CertificateExpiring, CertificateRejected, CertificateRotated, Event, TrustStoreReloaded
from seic._tls.authorities import Authorities
from seic._tls.certificate import ClientCertificate
from seic._tls.reasons import Reason
from seic._tls.rotation import Identity
from seic._tls.trust import Trust
from tests._support.pki import DAY, NOW, Minted, mint, server
from tests._support.rotating import BELIEVED, MINUTE, SETTLED, replace
from tests._support.tls_servers import TlsServer, call


@pytest.fixture
def other() -> Minted:
    """The authority that takes over."""
    return mint("Another root", ca=True, number=81)


def ders(trust: Trust) -> tuple[bytes, ...]:
    """The authorities of a trust as they stand in the file."""
    return tuple(facts.der for facts in trust.authorities)


class Bundle:
    """The file of `ca=`, and what follows it."""

    def __init__(self, folder: Path, root: Minted) -> None:
        self.path = folder / "ca.pem"
        self.path.write_bytes(root.pem)
        self.events: list[Event] = []
        self.authorities = Authorities(self.path, emit=self.events.append)

    @property
    def trusted(self) -> tuple[bytes, ...]:
        """The authorities in service."""
        return ders(self.authorities.trust())

    def put(self, *authorities: Minted) -> None:
        """Replace it by renaming."""
        staged = self.path.with_name("staged.pem")
        staged.write_bytes(b"".join(one.pem for one in authorities))
        staged.replace(self.path)

    def look(self, times: int = SETTLED) -> None:
        """Look some times, as the watching thread does."""
        for _ in range(times):
            self.authorities.look()


@pytest.fixture
def bundle(tmp_path: Path, root: Minted) -> Bundle:
    """A bundle with one authority, which is in service."""
    made = Bundle(tmp_path, root)
    assert made.trusted == (root.der,)
    return made


def test_a_bundle_that_is_replaced_takes_over(bundle: Bundle, root: Minted, other: Minted) -> None:
    """Within two looks, with one event that names the file and how many there are now."""
    bundle.put(root, other)
    bundle.look()
    assert bundle.trusted == (root.der, other.der)
    assert bundle.authorities.generation == 1
    bundle.look(5)
    assert bundle.events == [TrustStoreReloaded(path=str(bundle.path), authorities=2)]


def test_the_same_content_again_is_no_news(bundle: Bundle, root: Minted) -> None:
    """Neither without a change, nor when the file is written once more."""
    bundle.look(5)
    bundle.put(root)
    bundle.look(5)
    assert (bundle.authorities.generation, bundle.events) == (0, [])


def test_a_half_written_bundle_is_waited_for(bundle: Bundle, root: Minted, other: Minted) -> None:
    """States on the way are neither taken up nor reported."""
    whole = root.pem + other.pem
    for size in (0, 100, len(whole) - 20):
        bundle.path.write_bytes(whole[:size])
        bundle.look(2)
        assert bundle.trusted == (root.der,)
    bundle.path.write_bytes(whole)
    bundle.look()
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
        ("garbage", Reason.UNKNOWN_FORMAT),
        ("gone", Reason.NOT_FOUND),
        ("no authority", Reason.NOT_A_CA),
        ("expired", Reason.EXPIRED),
    ],
)
def test_a_bad_bundle_leaves_the_good_one_in_service_and_is_reported_once(
    row: str, reason: Reason, bundle: Bundle, root: Minted, other: Minted
) -> None:
    """It may be half written for a second; then one event says what is wrong, until the next that works."""
    _spoil(row, bundle)
    bundle.look(BELIEVED - 1)
    assert bundle.events == []
    bundle.look(20)

    assert bundle.trusted == (root.der,)
    (event,) = bundle.events
    assert isinstance(event, CertificateRejected)
    assert (event.path, event.reason) == (str(bundle.path), reason)
    assert event.problem.startswith(f"ca: {bundle.path}: ")
    bundle.put(other)
    bundle.look()
    assert bundle.trusted == (other.der,)


def test_what_was_wrong_and_is_mended_unseen_is_read_again_in_a_minute(
    tmp_path: Path, root: Minted, other: Minted
) -> None:
    """A folder does not change when a file in it is written anew, so a bad one that was mended is found by reading."""
    folder = tmp_path / "trusted"
    folder.mkdir()
    (folder / "root.pem").write_bytes(root.pem)
    authorities = Authorities(folder, emit=lambda _: None)
    authorities.trust()
    (folder / "other.pem").write_bytes(b"garbage")
    for _ in range(BELIEVED):
        authorities.look()
    (folder / "other.pem").write_bytes(other.pem)

    for _ in range(MINUTE - 1):
        authorities.look()
    assert ders(authorities.trust()) == (root.der,)
    authorities.look()
    assert set(ders(authorities.trust())) == {root.der, other.der}


def test_a_bad_first_bundle_is_an_error(tmp_path: Path, root: Minted) -> None:
    """There is nothing to fall back on, until it is mended."""
    bundle = Bundle(tmp_path, root)
    bundle.path.write_bytes(b"garbage")
    bundle.look(BELIEVED)
    with pytest.raises(CertificateError) as caught:
        bundle.authorities.trust()
    assert (caught.value.field, caught.value.reason) == ("ca", Reason.UNKNOWN_FORMAT)
    bundle.put(root)
    assert bundle.trusted == (root.der,)


def test_a_relative_path_is_the_one_that_it_was_at_first(
    tmp_path: Path, root: Minted, other: Minted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the process goes afterwards."""
    bundle = Bundle(tmp_path, root)
    monkeypatch.chdir(tmp_path)
    authorities = Authorities("ca.pem", emit=bundle.events.append)
    monkeypatch.chdir("/")
    assert ders(authorities.trust()) == (root.der,)
    bundle.put(other)
    for _ in range(SETTLED):
        authorities.look()
    assert ders(authorities.trust()) == (other.der,)


def test_a_directory_is_followed_by_what_comes_and_goes_in_it(tmp_path: Path, root: Minted, other: Minted) -> None:
    """As Kubernetes and c_rehash do it: a file that comes, goes or is renamed changes the folder."""
    (tmp_path / "root.pem").write_bytes(root.pem)
    authorities = Authorities(tmp_path, emit=lambda _: None)
    assert ders(authorities.trust()) == (root.der,)
    (tmp_path / "other.pem").write_bytes(other.pem)
    for _ in range(SETTLED):
        authorities.look()
    assert set(ders(authorities.trust())) == {root.der, other.der}


@pytest.mark.parametrize("form", ["bytes", "text", "the system's"])
def test_what_is_no_path_is_not_watched(form: str, root: Minted) -> None:
    """There is nothing to look at."""
    ca = {"bytes": root.pem, "text": root.pem.decode(), "the system's": None}[form]
    authorities = Authorities(ca, emit=lambda _: None)
    authorities.trust()
    authorities.look()
    assert (authorities.is_watchable, authorities.generation) == (False, 0)


# Under an identity


class Followed:
    """An identity whose certificate and authorities both lie in files."""

    def __init__(self, folder: Path, root: Minted, client: Minted) -> None:
        self.folder = folder
        certificate, key = client.write(folder)
        self.ca = folder / "ca.pem"
        self.ca.write_bytes(root.pem)
        self.events: list[Event] = []
        self.now = NOW
        self.identity = Identity(
            ClientCertificate.load(certificate, key=key), ca=self.ca, emit=self.events.append, now=lambda: self.now
        )
        self.identity.hold()
        self.look()

    def look(self, times: int = SETTLED) -> None:
        """Look some times, as the watching thread does."""
        for _ in range(times):
            done = self.identity.look()
            assert done is None or done.wait(10)


@pytest.fixture
def followed(tmp_path: Path, root: Minted, client: Minted) -> Followed:
    """One that is in service."""
    return Followed(tmp_path, root, client)


def test_new_connections_trust_the_new_authorities(followed: Followed, root: Minted, other: Minted) -> None:
    """Without a change of the certificate: a fresh context and a new generation, and the old context as it was."""
    before = followed.identity.hold()
    followed.ca.write_bytes(other.pem)
    followed.look()
    after = followed.identity.hold()

    assert (after.certificate, after.generation) == (before.certificate, before.generation + 1)
    assert [type(event) for event in followed.events] == [TrustStoreReloaded]
    with TlsServer(server(other), trusts=root) as far:
        call(after.context, far.port)
        with pytest.raises(ssl.SSLCertVerificationError):
            call(before.context, far.port)


def test_a_bad_bundle_holds_up_no_certificate(followed: Followed, root: Minted, client: Minted) -> None:
    """The certificate rotates all the same, with the last good authorities."""
    followed.ca.write_bytes(b"garbage")
    new = mint(issuer=root, key="rsa", number=83)
    replace(followed.folder, new)
    followed.look(BELIEVED)
    held = followed.identity.hold()

    assert held.certificate.leaf.der == new.der
    assert ders(held.trust) == (root.der,)
    assert {type(event) for event in followed.events} == {CertificateRotated, CertificateRejected}


def test_other_authorities_are_no_reason_to_tell_the_approaching_end_again(
    followed: Followed, other: Minted, client: Minted
) -> None:
    """It is the same certificate."""
    followed.now = client.certificate.not_valid_after_utc - DAY
    followed.look()
    followed.ca.write_bytes(other.pem)
    followed.look()
    assert [type(event) for event in followed.events] == [CertificateExpiring, TrustStoreReloaded]


def test_a_reload_takes_the_authorities_up_as_well(followed: Followed, other: Minted) -> None:
    """It says whether the certificate is new, and the next connection trusts what the file holds."""
    followed.ca.write_bytes(other.pem)
    assert followed.identity.reload() is False
    assert ders(followed.identity.hold().trust) == (other.der,)

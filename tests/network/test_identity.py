from __future__ import annotations

import datetime as dt
import gc
import threading
import warnings
import weakref
from pathlib import Path
from typing import Any

import attrs
import httpx
import pytest

import seic
from seic._listeners import Listeners
from seic._network.identity import Presenter
from seic._tls.reasons import CertificateWarning
from seic._tls.watching import WATCHER
from seic.events import CertificateRotated, Event, TrustStoreReloaded
from tests._support.fakes.gateway import FakeGateway
from tests._support.pki import DAY, NOW, Minted, authority, mint
from tests._support.swapping import PairOnDisk


@pytest.fixture
def root() -> Minted:
    """The authority of both sides."""
    return authority()


def presenter(source: Any, root: Minted, *, account: str | None = None, strict: bool = False) -> Presenter:
    """What a configuration would make."""
    return Presenter(source, ca=root.pem, account=account, strict=strict)


def loaded(pair: Minted) -> seic.ClientCertificate:
    """A pair as a user loads it."""
    return seic.ClientCertificate.load(pair.pair)


# Warnings


def test_what_deserves_a_warning_is_said_once(root: Minted) -> None:
    """However many pools ask for it: each certificate's concerns are issued by the first."""
    one = presenter(loaded(mint(issuer=root, not_before=NOW - 100 * DAY, not_after=NOW + 2 * DAY)), root)
    with pytest.warns(CertificateWarning, match="in 2.0 days|in 1.9 days") as caught:
        one.present()
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one.present()
        one.present(http2=True)


def test_a_name_that_is_not_the_accounts_is_a_warning(root: Minted) -> None:
    """It names both, and the file."""
    one = presenter(loaded(mint("somebody-else", issuer=root)), root, account="svc-user")
    with pytest.warns(CertificateWarning, match="CN=somebody-else, but the service account is 'svc-user'"):
        one.present()


@pytest.mark.parametrize("account", ["svc-user", None], ids=["its own", "a provider that does not ask"])
def test_a_name_that_fits_is_none(account: str | None, root: Minted) -> None:
    """Neither is one that nobody asks for."""
    name = "svc-user" if account else "somebody-else"
    one = presenter(loaded(mint(name, issuer=root)), root, account=account)

    one.present()
    assert one.hint() is None


# The account's name


def with_certificate(gateway: FakeGateway, certificate: Any, **changes: Any) -> seic.Config:
    """Settings of a service account whose certificate it is."""
    return gateway.config(certificate=certificate, hosts=seic.Hosts(mtls="mtls.example"), **changes)


@pytest.mark.parametrize(("status", "hinted"), [(401, True), (403, True), (400, False)])
async def test_a_refusal_names_the_certificate_as_a_likely_cause(
    status: int, hinted: bool, gateway: FakeGateway, root: Minted
) -> None:
    """Where the credentials were refused and the names differ; not where the form was wrong."""
    gateway.plan.append(httpx.Response(status, json={"code": "gateway.authentication.failure"}))
    config = with_certificate(gateway, loaded(mint("somebody-else", issuer=root)))
    async with seic.AsyncClient(config, transport=gateway) as client:
        with pytest.raises(seic.TokenRequestRefused) as caught:
            await client.token()

    assert ("a likely cause" in str(caught.value)) is hinted
    assert ("CN=somebody-else" in str(caught.value)) is hinted


def test_strictness_makes_it_an_error_when_the_configuration_is_made(gateway: FakeGateway, root: Minted) -> None:
    """The reason is a code of its own; another provider does not ask for the name."""
    certificate = loaded(mint("somebody-else", issuer=root))
    with pytest.raises(seic.CertificateError) as caught:
        with_certificate(gateway, certificate, strict_common_name=True)

    assert caught.value.reason == "common-name"
    plain = attrs.evolve(seic.SEI_GATEWAY, common_name_is_username=False)
    with_certificate(gateway, certificate, strict_common_name=True, provider=plain)


def test_strictness_holds_for_callbacks_and_renewals(root: Minted, tmp_path: Path) -> None:
    """A callback's certificate is refused when it comes; one that is renewed leaves the last good one in service."""
    somebody = mint("somebody-else", issuer=root, number=61)
    with pytest.raises(seic.CertificateError, match="somebody-else"):
        presenter(lambda: loaded(somebody), root, account="svc-user", strict=True).present()
    disk = PairOnDisk(tmp_path, mint(issuer=root, number=62))
    one = presenter(disk.load(), root, account="svc-user", strict=True)
    before = one.present()
    disk.put(somebody)
    with pytest.raises(seic.CertificateError, match="somebody-else"):
        one.reload()

    assert one.present().generation == before.generation


# Who is told


def test_listeners_hear_of_rotations_for_as_long_as_they_live(root: Minted, tmp_path: Path) -> None:
    """Nothing has to be taken back when an auth goes."""
    disk = PairOnDisk(tmp_path, mint(issuer=root, number=63))
    one = presenter(disk.load(), root)
    one.present()
    heard: list[Event] = []
    listeners = Listeners(heard.append)
    one.tell(listeners)
    disk.put(mint(issuer=root, number=64))
    one.reload()
    gone = weakref.ref(listeners)
    del listeners
    gc.collect()
    disk.put(mint(issuer=root, number=65))
    one.reload()

    assert [type(event) for event in heard] == [CertificateRotated]
    assert gone() is None


async def test_the_token_follows_its_certificate(gateway: FakeGateway, root: Minted, tmp_path: Path) -> None:
    """A token that was bound to the old certificate is renewed, and kept under the new one's thumbprint."""
    keys: list[str] = []

    class Store(seic.MemoryStore):
        def save(self, key: str, token: seic.Token) -> None:
            keys.append(key)
            super().save(key, token)

    disk = PairOnDisk(tmp_path, mint(issuer=root, number=66))
    new = mint(issuer=root, number=67)
    config = with_certificate(gateway, disk.load(), store=Store())
    async with seic.AsyncClient(config, transport=gateway) as client:
        first = await client.token()
        config.presenter.present()
        disk.put(new)
        assert await client.reload_certificate()
        second = await client.token()

    assert (first.access_token, second.access_token) == ("token-1", "token-2")
    assert keys[1] == config.store_key(new_thumbprint := loaded(new).thumbprint)
    assert keys[0] != keys[1]
    assert config.presenter.thumbprint() == new_thumbprint


# Nothing to reload


@pytest.mark.parametrize(
    ("source", "words"),
    [(lambda root: None, "there is none"), (lambda root: loaded(mint(issuer=root)), "load it from files")],
    ids=["no certificate", "bytes"],
)
def test_what_cannot_be_loaded_again_says_so(source: Any, words: str, root: Minted) -> None:
    """The error names the setting."""
    with pytest.raises(seic.ConfigurationError, match=words) as caught:
        presenter(source(root), root).reload()

    assert caught.value.field == "certificate"


def test_without_a_certificate_nothing_rotates(root: Minted) -> None:
    """There is one generation, no thumbprint and nothing to look for."""
    one = presenter(None, root)

    assert one.present().certificate is None
    assert one.present().generation == one.rotation.generation
    assert (one.thumbprint(), one.certificate(), one.hint()) == (None, None, None)
    assert not one.look(0)


def test_a_certificate_that_died_in_memory_still_names_itself(root: Minted) -> None:
    """Pages and checks look at it whatever its dates; to present it is what fails."""
    dead = loaded(mint(issuer=root, not_before=NOW - 9 * DAY, not_after=NOW - DAY))
    one = presenter(dead, root)

    assert one.certificate() == dead
    assert one.thumbprint() == dead.thumbprint
    with pytest.raises(seic.CertificateError) as caught:
        one.present()
    assert caught.value.reason == "expired"
    assert dead.not_after < dt.datetime.now(dt.UTC)


# Authorities


@pytest.fixture
def ca(tmp_path: Path, root: Minted) -> Path:
    """The authority in a file."""
    path = tmp_path / "ca.pem"
    path.write_bytes(root.pem)
    return path


@pytest.mark.parametrize("with_certificate", [True, False])
def test_the_file_of_the_authorities_is_watched(with_certificate: bool, ca: Path, root: Minted) -> None:
    """With a client certificate or without one: what it holds next is trusted by the next pool."""
    changed = threading.Event()

    def listen(event: Event) -> None:
        if isinstance(event, TrustStoreReloaded):
            changed.set()

    certificate = loaded(mint(issuer=root, number=91)) if with_certificate else None
    one = Presenter(certificate, ca=ca, account=None, strict=False)
    listeners = Listeners(listen)
    one.tell(listeners)
    before = one.present()
    other = mint("Another root", ca=True, number=92)
    ca.write_bytes(other.pem)

    assert changed.wait(10)
    assert one.rotation.generation != before.generation
    after = one.present(http2=True)
    assert after.generation == one.rotation.generation
    assert after.context.get_ca_certs(binary_form=True) == [other.der]
    assert before.context.get_ca_certs(binary_form=True) == [root.der]


@pytest.mark.parametrize("http2", [True, False])
@pytest.mark.parametrize("with_certificate", [True, False])
def test_a_bad_file_of_authorities_fails_no_new_pool(
    with_certificate: bool, http2: bool, ca: Path, root: Minted
) -> None:
    """Each token call opens a pool of its own, and all of them trust the last good authorities."""
    certificate = loaded(mint(issuer=root, number=93)) if with_certificate else None
    one = Presenter(certificate, ca=ca, account=None, strict=False)
    one.present()
    ca.unlink()
    assert one.present(http2=http2).context.get_ca_certs(binary_form=True) == [root.der]


def test_an_identity_goes_with_its_configuration(root: Minted, tmp_path: Path) -> None:
    """Nobody has to close anything for the watcher to let go of it, with a certificate or authorities in files."""
    disk = PairOnDisk(tmp_path, mint(issuer=root, number=94))
    ca = tmp_path / "ca.pem"
    ca.write_bytes(root.pem)
    for certificate in (disk.load(), None):
        one = Presenter(certificate, ca=ca, account=None, strict=False)
        one.present()
        assert id(one.rotation) in {id(watched) for watched in WATCHER._watched}
        gone = threading.Event()
        weakref.finalize(one.rotation, gone.set)
        del one
        assert until_collected(gone)


def until_collected(gone: threading.Event) -> bool:
    """Collect until it is gone: the thread that looks holds it for the moment of a look."""
    for _ in range(1000):
        gc.collect()
        if gone.wait(0.01):
            return True
    return False

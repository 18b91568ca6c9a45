"""The identity of a configuration: warnings, account, listeners, authorities, and sharing."""

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
from seic._identity import Identity, shared_identity
from seic._listeners import Listeners
from seic._transport import identity_of
from seic.events import CertificateRotated, Event, TrustStoreReloaded
from seic.testing import MockProvider
from tests._support.pki import DAY, NOW, Minted, authority, mint
from tests._support.swapping import PairOnDisk


@pytest.fixture
def root() -> Minted:
    """Return the authority of client and server."""
    return authority()


def identity(source: Any, root: Minted, *, account: str | None = None, strict: bool = False) -> Identity:
    """Return the identity of a configuration."""
    return shared_identity(source, ca=root.pem, account=account, strict=strict)


def loaded(pair: Minted) -> seic.ClientCertificate:
    """Return a loaded pair."""
    return seic.ClientCertificate.load(pair.pair)


# Warnings


def test_what_deserves_a_warning_is_said_once(root: Minted) -> None:
    """The first pool issues the warnings of each certificate, for any number of pools."""
    one = identity(loaded(mint(issuer=root, not_before=NOW - 100 * DAY, not_after=NOW + 2 * DAY)), root)
    with pytest.warns(seic.CertificateWarning, match="in 2.0 days|in 1.9 days") as caught:
        one.current()
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one.current()
        one.current().http2_context()


def test_a_name_that_is_not_the_accounts_is_a_warning(root: Minted) -> None:
    """It has both names and the file."""
    one = identity(loaded(mint("somebody-else", issuer=root)), root, account="svc-user")
    with pytest.warns(seic.CertificateWarning, match="CN=somebody-else, but the service account is 'svc-user'"):
        one.current()


@pytest.mark.parametrize("account", ["svc-user", None], ids=["its own", "a provider that does not ask"])
def test_a_name_that_fits_is_none(account: str | None, root: Minted) -> None:
    """Nor is there a warning without an account."""
    name = "svc-user" if account else "somebody-else"
    one = identity(loaded(mint(name, issuer=root)), root, account=account)

    one.current()
    assert one.hint() is None


# Common name


def with_certificate(gateway: MockProvider, certificate: Any, **changes: Any) -> seic.Config:
    """Return a configuration of a service account with a certificate."""
    return gateway.config(certificate=certificate, hosts=seic.Hosts(mtls="mtls.example"), **changes)


@pytest.mark.parametrize(("status", "hinted"), [(401, True), (403, True), (400, False)])
async def test_a_refusal_names_the_certificate_as_a_likely_cause(
    status: int, hinted: bool, gateway: MockProvider, root: Minted
) -> None:
    """If the credentials were refused and the names differ, but not after a malformed request."""
    gateway.token_responses.append(httpx.Response(status, json={"code": "gateway.authentication.failure"}))
    config = with_certificate(gateway, loaded(mint("somebody-else", issuer=root)))
    async with seic.AsyncClient(config, transport=gateway) as client:
        with pytest.raises(seic.TokenRequestRefused) as caught:
            await client.token()

    assert ("a likely cause" in str(caught.value)) is hinted
    assert ("CN=somebody-else" in str(caught.value)) is hinted


def test_strictness_makes_it_an_error_when_the_configuration_is_made(gateway: MockProvider, root: Minted) -> None:
    """The reason has its own code; another provider does not compare the name."""
    certificate = loaded(mint("somebody-else", issuer=root))
    with pytest.raises(seic.CertificateError) as caught:
        with_certificate(gateway, certificate, strict_common_name=True)

    assert caught.value.reason == "common-name"
    plain = attrs.evolve(seic.SEI_GATEWAY, common_name_is_username=False)
    with_certificate(gateway, certificate, strict_common_name=True, provider=plain)


def test_strictness_holds_for_callbacks_and_renewals(root: Minted, tmp_path: Path) -> None:
    """A certificate from a callback is refused at once; a renewed one leaves the last good one in use."""
    somebody = mint("somebody-else", issuer=root, number=61)
    with pytest.raises(seic.CertificateError, match="somebody-else"):
        identity(lambda: loaded(somebody), root, account="svc-user", strict=True).current()
    disk = PairOnDisk(tmp_path, mint(issuer=root, number=62))
    one = identity(disk.load(), root, account="svc-user", strict=True)
    before = one.current()
    disk.put(somebody)
    with pytest.raises(seic.CertificateError, match="somebody-else"):
        one.reload()

    assert one.current().generation == before.generation


# Listeners


def test_listeners_hear_of_rotations_for_as_long_as_they_live(root: Minted, tmp_path: Path) -> None:
    """An auth that is dropped needs no cleanup."""
    disk = PairOnDisk(tmp_path, mint(issuer=root, number=63))
    one = identity(disk.load(), root)
    one.current()
    heard: list[Event] = []
    listeners = Listeners(heard.append)
    one.add_listener(listeners)
    disk.put(mint(issuer=root, number=64))
    one.reload()
    gone = weakref.ref(listeners)
    del listeners
    gc.collect()
    disk.put(mint(issuer=root, number=65))
    one.reload()

    assert [type(event) for event in heard] == [CertificateRotated]
    assert gone() is None


async def test_the_token_follows_its_certificate(gateway: MockProvider, root: Minted, tmp_path: Path) -> None:
    """A token bound to the old certificate is renewed, and stored with the new thumbprint."""
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
        identity_of(config).current()
        disk.put(new)
        assert await client.reload_certificate()
        second = await client.token()

    assert (first.access_token, second.access_token) == ("token-1", "token-2")
    assert keys[1] == config.store_key(new_thumbprint := loaded(new).thumbprint)
    assert keys[0] != keys[1]
    assert identity_of(config).thumbprint == new_thumbprint


# Certificates that cannot be reloaded


@pytest.mark.parametrize(
    ("source", "words"),
    [(lambda root: None, "there is none"), (lambda root: loaded(mint(issuer=root)), "load it from files")],
    ids=["no certificate", "bytes"],
)
def test_what_cannot_be_loaded_again_says_so(source: Any, words: str, root: Minted) -> None:
    """The error names the setting."""
    with pytest.raises(seic.ConfigurationError, match=words) as caught:
        identity(source(root), root).reload()

    assert caught.value.field == "certificate"


def test_without_a_certificate_nothing_rotates(root: Minted) -> None:
    """There is one generation, no thumbprint and nothing to check."""
    one = identity(None, root)

    assert one.current().certificate is None
    assert one.current().generation == one.generation
    assert (one.thumbprint, one.certificate, one.hint()) == (None, None, None)
    assert not one.check_for_update(urgent=True)


def test_a_certificate_that_died_in_memory_still_names_itself(root: Minted) -> None:
    """Pages and checks show it whatever its dates; only connections fail."""
    dead = loaded(mint(issuer=root, not_before=NOW - 9 * DAY, not_after=NOW - DAY))
    one = identity(dead, root)

    assert one.certificate == dead
    assert one.thumbprint == dead.thumbprint
    with pytest.raises(seic.CertificateError) as caught:
        one.current()
    assert caught.value.reason == "expired"
    assert dead.not_after < dt.datetime.now(dt.UTC)


# Authorities


@pytest.fixture
def ca(tmp_path: Path, root: Minted) -> Path:
    """Return the authority in a file."""
    path = tmp_path / "ca.pem"
    path.write_bytes(root.pem)
    return path


@pytest.mark.parametrize("with_certificate", [True, False])
def test_the_file_of_the_authorities_is_watched(with_certificate: bool, ca: Path, root: Minted) -> None:
    """With and without a client certificate: the next pool trusts its new content."""
    changed = threading.Event()

    def listen(event: Event) -> None:
        if isinstance(event, TrustStoreReloaded):
            changed.set()

    certificate = loaded(mint(issuer=root, number=91)) if with_certificate else None
    one = Identity(certificate, ca=ca)
    listeners = Listeners(listen)
    one.add_listener(listeners)
    before = one.current()
    other = mint("Another root", ca=True, number=92)
    ca.write_bytes(other.pem)

    assert changed.wait(10)
    after = one.current()
    assert before.generation != after.generation == one.generation
    assert after.context.get_ca_certs(binary_form=True) == [other.der]
    assert after.http2_context().get_ca_certs(binary_form=True) == [other.der]
    assert before.context.get_ca_certs(binary_form=True) == [root.der]


@pytest.mark.parametrize("http2", [True, False])
@pytest.mark.parametrize("with_certificate", [True, False])
def test_a_bad_file_of_authorities_fails_no_new_pool(
    with_certificate: bool, http2: bool, ca: Path, root: Minted
) -> None:
    """Each token request opens its own pool, and all of them trust the last good authorities."""
    certificate = loaded(mint(issuer=root, number=93)) if with_certificate else None
    one = Identity(certificate, ca=ca)
    one.current()
    ca.unlink()
    context = one.current().http2_context() if http2 else one.current().context
    assert context.get_ca_certs(binary_form=True) == [root.der]


def test_an_identity_goes_with_its_users(root: Minted, tmp_path: Path) -> None:
    """Nothing needs to be closed: the watching thread holds no reference."""
    disk = PairOnDisk(tmp_path, mint(issuer=root, number=94))
    ca = tmp_path / "ca.pem"
    ca.write_bytes(root.pem)
    for certificate in (disk.load(), None):
        one = shared_identity(certificate, ca=ca)
        one.current()
        gone = threading.Event()
        weakref.finalize(one, gone.set)
        del one
        assert until_collected(gone)


def until_collected(gone: threading.Event) -> bool:
    """Collect garbage until it is gone; the checking thread holds it during a check."""
    for _ in range(1000):
        gc.collect()
        if gone.wait(0.01):
            return True
    return False


@pytest.mark.parametrize("error", [RuntimeError, SystemExit])
def test_a_failing_listener_stops_neither_the_thread_nor_the_others(
    error: type[BaseException], root: Minted, tmp_path: Path
) -> None:
    """An identity with a listener that raises in each check does not block another."""
    disk = PairOnDisk(tmp_path, mint(issuer=root, number=97))
    checked, rotated = threading.Event(), threading.Event()

    class Failing(Identity):
        def check_for_update(self, *, urgent: bool = False, wait: bool = False, **_: object) -> bool:
            checked.set()
            raise error

    failing = Failing(loaded(mint(issuer=root, number=98)), ca=root.pem)
    failing.current()
    one = Identity(disk.load(), ca=root.pem)
    listeners = Listeners(lambda event: rotated.set() if isinstance(event, CertificateRotated) else None)
    one.add_listener(listeners)
    one.current()
    assert checked.wait(10)
    disk.put(mint(issuer=root, number=99))
    assert rotated.wait(10)


# One identity for equal configurations


def test_equal_configurations_share_one_identity(gateway: MockProvider, root: Minted, tmp_path: Path) -> None:
    """So do copies from `attrs.evolve`, unless the identity's own settings change."""
    disk = PairOnDisk(tmp_path, mint(issuer=root, number=68))
    certificate = disk.load()
    config = with_certificate(gateway, certificate)
    one = identity_of(config)

    assert identity_of(with_certificate(gateway, certificate)) is one
    assert identity_of(with_certificate(gateway, disk.load())) is one
    assert identity_of(attrs.evolve(config)) is one
    assert identity_of(attrs.evolve(config, token_timeout=5)) is one
    assert seic.OAuth2Auth(config).certificate is one.certificate


def test_other_configurations_have_an_identity_of_their_own(
    gateway: MockProvider, root: Minted, tmp_path: Path
) -> None:
    """Another file, authority or account is another identity, even with the same certificate."""
    pair = mint(issuer=root, number=69)
    first, second = PairOnDisk(tmp_path / "a", pair), PairOnDisk(tmp_path / "b", pair)
    config = with_certificate(gateway, first.load(), ca=root.pem)
    others = [
        attrs.evolve(config, certificate=second.load()),
        attrs.evolve(config, certificate=loaded(pair)),
        attrs.evolve(config, certificate=lambda: loaded(pair)),
        attrs.evolve(config, ca=None),
        attrs.evolve(config, grant=seic.ClientCredentials(username="another", password="p")),
        attrs.evolve(config, strict_common_name=True),
    ]
    made = [identity_of(one) for one in (config, *others)]

    assert len({id(one) for one in made}) == 7


def test_clients_of_equal_configurations_rotate_together(gateway: MockProvider, root: Minted, tmp_path: Path) -> None:
    """A reload by one client rotates all."""
    disk = PairOnDisk(tmp_path, mint(issuer=root, number=73))
    config, new = with_certificate(gateway, disk.load()), mint(issuer=root, number=74)
    with seic.Client(config) as one, seic.Client(attrs.evolve(config, token_timeout=5)) as other:
        disk.put(new)
        assert one.reload_certificate()
        assert not other.reload_certificate()
        assert other.certificate == one.certificate == loaded(new)


def test_a_callback_that_cannot_be_hashed_is_shared_too(gateway: MockProvider, root: Minted) -> None:
    """It is identified by its object."""

    class Vault:
        __hash__ = None  # type: ignore[assignment]

        def __call__(self) -> seic.ClientCertificate:
            return loaded(mint(issuer=root, number=75))

    vault = Vault()
    one = identity(vault, root)

    assert identity(vault, root) is one
    assert identity(Vault(), root) is not one

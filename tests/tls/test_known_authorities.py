"""The file of `ca=` is parsed once while it does not change, for all configurations that name it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import freezegun
import pytest

import seic
from tests._support.pki import DAY, NOW, Minted, authority, mint

_OLD = time.time() - 3600


class Bundle:
    """A file that counts how often it is opened."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = path
        self.opened = 0
        real = os.open

        def counted(name: str, flags: int, *rest: int) -> int:
            self.opened += os.fspath(name) == str(path)
            return real(name, flags, *rest)

        monkeypatch.setattr(os, "open", counted)

    def put(self, root: Minted, *, changed_at: float = _OLD) -> None:
        """Replace the file."""
        staged = self.path.with_name("staged")
        staged.write_bytes(root.pem)
        os.utime(staged, (changed_at, changed_at))
        staged.replace(self.path)


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    """Return a file with an authority, which was written an hour ago."""
    bundle = Bundle(tmp_path / "ca.pem", monkeypatch)
    bundle.put(authority())
    return bundle


def configure(bundle: Bundle) -> seic.Config:
    """Return a configuration with the file."""
    return seic.Config(
        provider=seic.SEI_GATEWAY,
        client_id="AppKey-1",
        client_secret="AppSecret-1",
        grant=seic.ClientCredentials(username="svc-user", password="password-1"),
        ca=bundle.path,
    )


def test_a_known_file_is_not_read_again(bundle: Bundle) -> None:
    """Neither by another configuration, nor for a context."""
    for _ in range(3):
        configure(bundle)
        seic.create_ssl_context(ca=bundle.path)
    assert bundle.opened == 1


def test_a_changed_file_is_read_again(bundle: Bundle) -> None:
    """Also if its size and the time of its change are the same."""
    other = mint("Another root", ca=True, number=81)
    configure(bundle)
    before = seic.create_ssl_context(ca=bundle.path).get_ca_certs()
    bundle.put(other)
    assert seic.create_ssl_context(ca=bundle.path).get_ca_certs() != before
    assert bundle.opened == 2


def test_a_file_that_was_just_written_is_read_each_time(bundle: Bundle) -> None:
    """It may be incomplete, and its next change may have the same time."""
    bundle.put(authority(), changed_at=time.time())
    for number in range(1, 3):
        configure(bundle)
        assert bundle.opened == number


def test_a_known_authority_that_expires_is_refused(bundle: Bundle) -> None:
    """The dates are checked each time."""
    configure(bundle)
    with freezegun.freeze_time(NOW + 50_000 * DAY), pytest.raises(seic.CertificateError, match="expired on"):
        configure(bundle)
    assert bundle.opened == 1

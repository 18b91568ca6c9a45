"""Certificates from a callback: called at intervals, and early after a refusal; its failures change nothing."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import seic
from seic.events import CertificateRejected, CertificateRotated
from tests._support.pki import DAY, NOW, PASSPHRASE, Minted, mint
from tests._support.rotating import BELIEVED, NEW, Bench, Vault


def test_a_callback_is_asked_once_a_minute(client: Minted, root: Minted, tmp_path: Path) -> None:
    """It is called for the first pair, then after each interval, and its result is used at once."""
    vault = Vault(client)
    bench = Bench(tmp_path, root, vault)
    assert vault.calls == 0
    assert bench.presented == client.der
    assert vault.calls == 1

    vault.minted = NEW
    bench.seconds += 59.9
    bench.check()
    assert vault.calls == 1
    bench.seconds += 0.1
    bench.check()
    assert vault.calls == 2
    assert bench.presented == NEW.der
    assert [type(event) for event in bench.events] == [CertificateRotated]


def test_refused_handshakes_ask_a_callback_early_and_not_all_of_them(
    client: Minted, root: Minted, tmp_path: Path
) -> None:
    """A thousand concurrent refusals cause one call; a second later there can be another."""
    vault = Vault(client)
    bench = Bench(tmp_path, root, vault)
    bench.current()
    vault.minted = NEW
    bench.seconds += 1
    for _ in range(1000):
        bench.check_urgently()
    assert vault.calls == 2
    assert bench.presented == NEW.der
    bench.seconds += 1
    bench.check_urgently()
    assert vault.calls == 3


def test_a_failing_callback_leaves_the_pair_in_service(
    client: Minted, root: Minted, tmp_path: Path, assert_no_leak: Callable[..., None]
) -> None:
    """Its failure is one event with the class of the exception, but without its message, which can contain a secret."""
    vault = Vault(client)
    bench = Bench(tmp_path, root, vault)
    bench.current()
    vault.error = RuntimeError(f"token {PASSPHRASE} was refused")
    for _ in range(3):
        bench.seconds += 60
        bench.check()

    assert bench.presented == client.der
    (event,) = bench.events
    assert isinstance(event, CertificateRejected)
    assert (event.path, event.reason) == ("the certificate callback", seic.Reason.SOURCE_FAILED)
    assert event.problem.endswith("the new certificate could not be had: RuntimeError")
    assert_no_leak(event)

    with pytest.raises(seic.CertificateError) as caught:
        bench.identity.reload()
    assert caught.value.__cause__ is vault.error


@pytest.mark.parametrize(
    "error", [SystemExit(1), asyncio.CancelledError(), GeneratorExit()], ids=lambda e: type(e).__name__
)
@pytest.mark.parametrize("urgent", [False, True], ids=["timely", "urgent"])
def test_a_callback_that_wants_to_end_everything_only_fails(
    urgent: bool, error: BaseException, client: Minted, root: Minted, tmp_path: Path
) -> None:
    """A BaseException is also a failure of the source: it ends no API call and no thread."""
    vault = Vault(client)
    bench = Bench(tmp_path, root, vault)
    bench.current()
    vault.error = error
    bench.seconds += 60
    bench.identity.check_for_update(urgent=urgent, wait=True)

    assert bench.presented == client.der
    (event,) = bench.events
    assert isinstance(event, CertificateRejected)
    assert (event.reason, type(error).__name__ in event.problem) == (seic.Reason.SOURCE_FAILED, True)


def test_a_passphrase_that_wants_to_end_everything_only_fails(
    client: Minted, root: Minted, tmp_path: Path, assert_no_leak: Callable[..., None]
) -> None:
    """A passphrase callback that raises SystemExit in a reload causes an error without the frames that hold the key."""
    certificate, key = client.write(tmp_path)
    key.write_bytes(client.key_bytes(password=PASSPHRASE))
    answers: list[str] = [PASSPHRASE]

    def answer() -> str:
        return answers.pop() if answers else sys.exit(1)

    identity = Bench(tmp_path, root, seic.ClientCertificate.load(certificate, key=key, password=answer)).identity
    with pytest.raises(seic.CertificateError, match="SystemExit") as caught:
        identity.reload()
    assert_no_leak(caught.value, keys=(client,))


def test_a_callback_with_a_mistake_in_its_settings_leaves_the_pair_in_service(
    client: Minted, root: Minted, tmp_path: Path
) -> None:
    """A ConfigurationError from a callback is a failure like any other: an event, and raised by a reload."""
    vault = Vault(client)
    bench = Bench(tmp_path, root, vault)
    bench.current()
    vault.error = seic.ConfigurationError("VAULT_ADDR: is missing", field="VAULT_ADDR")
    bench.seconds += 60
    bench.check()

    assert bench.presented == client.der
    (event,) = bench.events
    assert isinstance(event, CertificateRejected)
    assert (event.reason, "VAULT_ADDR: is missing" in event.problem) == (seic.Reason.SOURCE_FAILED, True)
    with pytest.raises(seic.CertificateError) as caught:
        bench.identity.reload()
    assert caught.value.__cause__ is vault.error


def test_a_callback_that_fails_at_first_is_an_error(client: Minted, root: Minted, tmp_path: Path) -> None:
    """Without a first pair there is nothing to use."""
    vault = Vault(client)
    vault.error = OSError("down")
    with pytest.raises(seic.CertificateError, match="OSError"):
        Bench(tmp_path, root, vault).current()


def test_a_callback_that_returns_something_else_is_told_what_to_return(root: Minted, tmp_path: Path) -> None:
    """The error names the returned type and the expected one."""
    bench = Bench(tmp_path, root, lambda: b"PEM")  # type: ignore[arg-type]
    with pytest.raises(seic.CertificateError, match=r"must return what ClientCertificate\.load returns, not bytes"):
        bench.current()


def test_a_callback_that_returns_what_cannot_work_is_reported_with_its_reason(
    client: Minted, root: Minted, tmp_path: Path
) -> None:
    """An error of load inside the callback keeps its reason."""
    vault = Vault(client)
    bench = Bench(tmp_path, root, vault)
    bench.current()
    vault.minted = mint(issuer=root, not_after=NOW - DAY / 2)
    bench.seconds += 60
    bench.check()
    assert [event.reason for event in bench.events if isinstance(event, CertificateRejected)] == [seic.Reason.EXPIRED]


def test_a_failing_passphrase_is_reported_without_its_text(client: Minted, root: Minted, tmp_path: Path) -> None:
    """A passphrase callback that fails in a reload is a failure of the source."""
    certificate, key = client.write(tmp_path)
    key.write_bytes(client.key_bytes(password=PASSPHRASE))
    answers: list[str] = [PASSPHRASE]
    bench = Bench(tmp_path, root, seic.ClientCertificate.load(certificate, key=key, password=answers.pop))
    bench.current()
    os.utime(key)
    bench.check(BELIEVED)
    assert [event.problem for event in bench.events if isinstance(event, CertificateRejected)] == [
        f"{key}: the callable that supplies its passphrase raised IndexError"
    ]

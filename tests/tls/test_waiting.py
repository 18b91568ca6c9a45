"""`ClientCertificate.load(..., wait=...)`: files that another process has yet to write."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from seic import CertificateError, ClientCertificate, Config, ConfigurationError, Reason
from tests._support.pki import PASSPHRASE, Minted, mint

_PATIENCE = 30


class Looks:
    """Counts the looks at the files, in place of the time between them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._looked = threading.Semaphore(0)
        self._go_on = threading.Semaphore(0)
        monkeypatch.setattr("seic._tls.certificate.time.sleep", self._pause)

    def _pause(self, _seconds: float) -> None:
        self._looked.release()
        assert self._go_on.acquire(timeout=_PATIENCE)

    def after_one(self, change: Callable[[], object]) -> None:
        """Change the files after the next look, and have them looked at again."""
        assert self._looked.acquire(timeout=_PATIENCE)
        change()
        self._go_on.release()


@pytest.mark.parametrize("with_folder", [True, False], ids=["folder", "files"])
def test_files_that_are_written_later_are_waited_for(
    with_folder: bool, client: Minted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sidecar makes the folder, the key, an empty certificate, one of the last run, and at last the right one."""
    looks = Looks(monkeypatch)
    folder = tmp_path / "tls"
    certificate, key = folder / "tls.crt", folder / "tls.key"
    arguments = (folder, None) if with_folder else (certificate, key)
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(ClientCertificate.load, arguments[0], key=arguments[1], wait=_PATIENCE)
        looks.after_one(folder.mkdir)
        looks.after_one(lambda: key.write_bytes(client.key_pem))
        looks.after_one(certificate.touch)
        looks.after_one(lambda: certificate.write_bytes(client.pem[:90]))
        looks.after_one(lambda: certificate.write_bytes(mint(number=9).pem))
        looks.after_one(lambda: certificate.write_bytes(client.pem))
        assert loading.result(_PATIENCE).leaf.der == client.der
    assert loading.result().files[:2] == (certificate, key)


def test_the_error_after_the_wait_is_that_of_the_files(tmp_path: Path) -> None:
    """It tells how long they were waited for."""
    with pytest.raises(CertificateError, match=r"no such file; .* waited for, for 0\.01 seconds") as caught:
        ClientCertificate.load(tmp_path / "client.pem", wait=0.01)
    assert caught.value.reason == Reason.NOT_FOUND


def test_an_error_that_no_waiting_ends_is_raised_at_once(
    client: Minted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bytes do not change, and nobody writes a missing passphrase into the file."""
    monkeypatch.setattr("seic._tls.certificate.time.sleep", lambda _: pytest.fail("it waited"))
    with pytest.raises(CertificateError) as caught:
        ClientCertificate.load(client.pem, wait=_PATIENCE)
    assert caught.value.reason == Reason.NO_KEY
    sealed = tmp_path / "client.pem"
    sealed.write_bytes(client.pem + client.key_bytes(password="secret"))
    with pytest.raises(CertificateError) as caught:
        ClientCertificate.load(sealed, wait=_PATIENCE)
    assert caught.value.reason == Reason.PASSPHRASE_MISSING


@pytest.mark.parametrize("wait", [-1, float("inf"), float("nan"), "30", None, True])
def test_a_wait_that_is_not_a_number_of_seconds_is_refused(wait: object, client: Minted) -> None:
    """At once, also for bytes."""
    with pytest.raises(ConfigurationError, match="finite number of seconds") as caught:
        ClientCertificate.load(client.pair, wait=wait)  # type: ignore[arg-type]
    assert caught.value.field == "wait"


@pytest.mark.parametrize("first", [None, "", "the passphrase of the last run"], ids=["missing", "empty", "old"])
def test_a_file_with_the_passphrase_is_waited_for(
    first: str | None, client: Minted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is written after the key that it opens."""
    looks = Looks(monkeypatch)
    certificate, key = client.write(tmp_path)
    key.write_bytes(client.key_bytes(password=PASSPHRASE))
    passphrase = tmp_path / "passphrase"
    if first is not None:
        passphrase.write_text(first)
    environ = {
        "SEIC_PROVIDER": "oauth2",
        "SEIC_CLIENT_ID": "id",
        "SEIC_CLIENT_SECRET": "secret",
        "SEIC_MTLS_HOST": "mtls.example",
        "SEIC_CERTIFICATE": str(certificate),
        "SEIC_CERTIFICATE_KEY": str(key),
        "SEIC_CERTIFICATE_PASSWORD_FILE": str(passphrase),
    }
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(Config.from_env, {**environ, "SEIC_CERTIFICATE_WAIT": str(_PATIENCE)})
        looks.after_one(lambda: passphrase.write_text(PASSPHRASE))
        config = loading.result(_PATIENCE)
    assert isinstance(config.certificate, ClientCertificate)
    passphrase.unlink()
    with pytest.raises(ConfigurationError, match=r"SEIC_CERTIFICATE_PASSWORD_FILE: .* cannot be read"):
        Config.from_env(environ)


@pytest.mark.parametrize("setting", ["CLIENT_SECRET_FILE", "CA", "STORE_KEY_FILE", "CLIENT_KEY"])
def test_the_other_files_of_the_sidecar_are_waited_for(
    setting: str, client: Minted, root: Minted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait is one for all, and its error names the variable."""
    late = tmp_path / "late.pem"
    environ = {
        "SEIC_PROVIDER": "oauth2",
        "SEIC_CLIENT_ID": "id",
        "SEIC_API_HOST": "api.example",
        "SEIC_CLIENT_SECRET": "secret",
        f"SEIC_{setting}": str(late),
    }
    if setting == "STORE_KEY_FILE":
        environ["SEIC_STORE"] = f"file://{tmp_path}/store"
    if setting == "CLIENT_KEY":
        environ |= {"SEIC_CLIENT_AUTH": "private_key_jwt", "SEIC_CLIENT_SECRET": ""}
    environ.pop(f"SEIC_{setting.removesuffix('_FILE')}", None) if setting.endswith("_FILE") else None
    with pytest.raises(ConfigurationError, match=rf"^SEIC_{setting}: .* waited for, for 0\.01 seconds"):
        Config.from_env({**environ, "SEIC_CERTIFICATE_WAIT": "0.01"})
    looks = Looks(monkeypatch)
    content = client.key_pem if setting == "CLIENT_KEY" else root.pem if setting == "CA" else b"s" * 40
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(Config.from_env, {**environ, "SEIC_CERTIFICATE_WAIT": str(_PATIENCE)})
        looks.after_one(late.touch)
        looks.after_one(lambda: late.write_bytes(content))
        assert isinstance(loading.result(_PATIENCE), Config)

"""Paths, bytes and text that hold certificates and keys: mistakes in them, and text that errors never quote."""

from __future__ import annotations

import base64
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from seic import CertificateError, ClientCertificate, ConfigurationError, Reason, create_ssl_context
from tests._support.pki import PASSPHRASE, Minted, mint
from tests._support.reports import report


def test_a_key_that_is_missing_is_named(client: Minted, tmp_path: Path) -> None:
    """The error names the key's path."""
    certificate, _ = client.write(tmp_path)
    with pytest.raises(CertificateError) as caught:
        ClientCertificate.load(certificate, key=tmp_path / "gone.key")
    assert (caught.value.reason, caught.value.path) == (Reason.NOT_FOUND, str(tmp_path / "gone.key"))


def test_a_relative_path_that_is_missing_tells_where_it_was_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message names the working directory, since services often start in another one."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CertificateError, match=f"no such file in the working directory {tmp_path}"):
        ClientCertificate.load("client.pem")


def test_a_relative_path_stays_where_it_was_loaded(
    client: Minted, root: Minted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a change of the working directory the same files are read again; errors name them as the user did."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "other").mkdir()
    client.write(tmp_path / "mine")
    mint(issuer=root, number=9).write(tmp_path / "other")
    (tmp_path / "link").symlink_to("mine")
    monkeypatch.chdir(tmp_path / "link")
    loaded = ClientCertificate.load("client.pem", key="./client.key")

    monkeypatch.chdir(tmp_path / "other")
    assert loaded.reload() == loaded
    assert all(file.is_absolute() for file in loaded.files)
    assert loaded.path == "client.pem"
    (tmp_path / "mine" / "client.key").unlink()
    with pytest.raises(CertificateError, match=rf"in the working directory {tmp_path / 'mine'}") as caught:
        loaded.reload()
    assert caught.value.path == "./client.key"


def test_a_relative_path_without_a_working_directory_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the working directory was removed, the error says to write the whole path."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(CertificateError, match="write the whole path") as caught:
        ClientCertificate.load("client.pem")
    assert (caught.value.reason, caught.value.path) == (Reason.NOT_FOUND, "client.pem")


@pytest.mark.parametrize("name", ["M" + "aB3" * 20, "LS0t" + "aB3" * 20, "MII" + "a" * 20 + "/" + "b" * 30])
def test_a_file_whose_name_looks_like_base64_is_a_path(
    name: str, client: Minted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An existing file is a file even if its name looks like a key; a missing one is not quoted."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CertificateError) as caught:
        ClientCertificate.load(name)
    assert name not in str(caught.value)

    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_bytes(client.pair)
    assert ClientCertificate.load(name).path == name
    assert ClientCertificate.load(client.pem, key=name).leaf.der == client.der


def test_a_dangling_link_tells_its_target(tmp_path: Path) -> None:
    """The error names the target of a dangling link."""
    (tmp_path / "client.pem").symlink_to("gone.pem")
    with pytest.raises(CertificateError, match=r"it is a link to gone\.pem, which does not exist"):
        ClientCertificate.load(tmp_path / "client.pem")


def test_a_directory_without_the_names_of_kubernetes_is_refused(tmp_path: Path) -> None:
    """A directory is read as a mounted secret; the error says which names it must have."""
    with pytest.raises(CertificateError, match=r"directory without tls\.crt") as caught:
        ClientCertificate.load(tmp_path)
    assert (caught.value.reason, caught.value.path) == (Reason.IS_A_DIRECTORY, str(tmp_path))


def test_a_directory_as_the_key_is_refused(client: Minted, tmp_path: Path) -> None:
    """A key must be a file."""
    certificate, _ = client.write(tmp_path)
    (tmp_path / "keys").mkdir()
    with pytest.raises(CertificateError, match="name the file in it") as caught:
        ClientCertificate.load(certificate, key=tmp_path / "keys")
    assert (caught.value.reason, caught.value.path) == (Reason.IS_A_DIRECTORY, str(tmp_path / "keys"))


@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_file_that_may_not_be_read_names_the_user(what: str, client: Minted, tmp_path: Path) -> None:
    """The error about a file or folder without permission names the user who lacks it."""
    tmp_path.chmod(0o755)
    folder = tmp_path / "folder"
    folder.mkdir()
    certificate, key = client.write(folder)
    (key if what == "file" else folder).chmod(0)
    named = key if what == "file" else certificate
    was = os.geteuid()
    for above in tmp_path.parents[:2]:
        above.chmod(0o755)
    if was == 0:  # root can read everything
        os.seteuid(65534)
    try:
        with pytest.raises(CertificateError, match="give its user read permission") as caught:
            ClientCertificate.load(certificate, key=key)
    finally:
        os.seteuid(was)
        folder.chmod(0o700)
    assert (caught.value.reason, caught.value.path) == (Reason.UNREADABLE, str(named))
    assert f"(user id {65534 if was == 0 else was})" in str(caught.value)


def test_a_failing_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error quotes the system's message."""

    def fail(*arguments: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "open", fail)
    with pytest.raises(CertificateError, match="cannot be read: Input/output error") as caught:
        ClientCertificate.load(tmp_path / "client.pem")
    assert caught.value.reason == Reason.UNREADABLE


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no named pipes")
@pytest.mark.parametrize("what", ["pipe", "device", "socket"])
def test_pipes_devices_and_sockets_are_refused_at_once(what: str, client: Minted, tmp_path: Path) -> None:
    """A pipe without a writer does not block, and an endless device is not read."""
    certificate, key = client.write(tmp_path)
    key.unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        if what == "pipe":
            os.mkfifo(key)
            program = (
                "import seic, sys\n"
                "try: seic.ClientCertificate.load(sys.argv[1], key=sys.argv[2])\n"
                "except seic.CertificateError as error: print(error.reason, error.path)"
            )
            done = subprocess.run(
                [sys.executable, "-c", program, certificate, key],
                capture_output=True,
                text=True,
                timeout=20,
                check=True,
            )
            assert done.stdout.split() == [Reason.UNREADABLE.value, str(key)]
            return
        if what == "device":
            key.symlink_to("/dev/zero")
        else:
            listener.bind(str(key))
        with pytest.raises(CertificateError) as caught:
            ClientCertificate.load(certificate, key=key)
    assert (caught.value.reason, caught.value.path) == (Reason.UNREADABLE, str(key))


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("two\nlines", id="lines"),
        pytest.param("nul\0byte", id="nul"),
    ],
)
def test_text_that_is_neither_path_nor_pem_is_never_quoted(text: str) -> None:
    """Text that cannot be a path may be a secret: the error does not quote it."""
    with pytest.raises(CertificateError, match="neither a path nor PEM") as caught:
        ClientCertificate.load(text)
    assert caught.value.path == "the certificate given as text"


def test_a_bare_base64_key_is_never_quoted_as_a_path(client: Minted, assert_no_leak: Callable[..., None]) -> None:
    """The error does not quote a part of a key that was pasted as bare Base64."""
    text = base64.b64encode(client.key_bytes(encoding=Encoding.DER)).decode()[:-8]
    with pytest.raises(CertificateError) as caught:
        ClientCertificate.load(client.pem, key=text)
    assert caught.value.path == "the key given as text"
    assert_no_leak(caught.value, keys=(client,))


@pytest.mark.parametrize(
    "mangle",
    [
        pytest.param(lambda pem: Path(pem.replace("\n", "\\n")), id="escaped-in-a-path"),
        pytest.param(lambda pem: pem.replace("\n", "\\n").replace("-----", "----"), id="lost-dash"),
        pytest.param(lambda pem: f'"{"".join(pem.splitlines()[1:-1])}"', id="quoted-body"),
        pytest.param(lambda pem: os.fsencode("".join(pem.splitlines()[1:-1]) + "'"), id="path-of-bytes"),
        pytest.param(lambda pem: "key=" + pem.splitlines()[1][:40], id="forty-letters"),
    ],
)
def test_a_damaged_key_is_never_quoted_as_a_path(
    mangle: Callable[[str], Any], client: Minted, assert_no_leak: Callable[..., None]
) -> None:
    """The error does not quote key text that is damaged or was passed as a path."""
    given = mangle(client.key_pem.decode())

    class Entry:
        def __fspath__(self) -> bytes:
            return bytes(given)

    with pytest.raises(CertificateError, match="neither a path nor PEM") as caught:
        ClientCertificate.load(client.pem, key=Entry() if isinstance(given, bytes) else given)  # type: ignore[arg-type]
    assert (caught.value.path, caught.value.reason) == ("the key given as text", Reason.NOT_FOUND)
    assert_no_leak(caught.value, keys=(client,))
    assert client.key_pem.decode().splitlines()[1][:40] not in report(caught.value)


def test_a_path_that_looks_like_base64_is_read_where_it_exists(client: Minted, tmp_path: Path) -> None:
    """An existing file may have such a name."""
    folder = tmp_path / ("BEGIN" + "Ab1" * 20)
    folder.mkdir()
    certificate, key = client.write(folder)
    assert ClientCertificate.load(certificate, key=key).path == str(certificate)


def test_a_missing_path_with_a_digest_is_named(tmp_path: Path) -> None:
    """A hex digest is not a key: the error quotes the path."""
    missing = str(tmp_path / ("0123456789abcdef" * 4))
    with pytest.raises(CertificateError, match="there is no such file") as caught:
        ClientCertificate.load(missing)
    assert caught.value.path == missing


@pytest.mark.parametrize("supplied", [False, True], ids=["given", "by-a-callable"])
def test_a_passphrase_that_is_not_utf8_is_merely_wrong(
    supplied: bool, client: Minted, assert_no_leak: Callable[..., None]
) -> None:
    """A lone surrogate, as from the environment, causes no UnicodeEncodeError that holds the passphrase."""
    wrong = f"{PASSPHRASE}\udce9"
    with pytest.raises(CertificateError) as caught:
        ClientCertificate.load(
            client.pem, key=client.key_bytes(password=PASSPHRASE), password=(lambda: wrong) if supplied else wrong
        )
    assert (caught.value.reason, caught.value.__context__) == (Reason.PASSPHRASE_WRONG, None)
    assert_no_leak(caught.value, keys=(client,))


@pytest.mark.parametrize("field", ["key", "password"])
def test_a_bytearray_is_refused_and_in_no_frame(
    field: str, client: Minted, assert_no_leak: Callable[..., None]
) -> None:
    """A mutable type is refused, and its content is not shown."""
    secret = bytearray(client.key_pem if field == "key" else PASSPHRASE.encode())
    arguments: dict[str, Any] = {"key": client.key_pem, field: secret}
    with pytest.raises(ConfigurationError, match=rf"^{field}: must be .* not bytearray$") as caught:
        ClientCertificate.load(client.pem, **arguments)
    assert_no_leak(caught.value, keys=(client,))


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"certificate": None}, "certificate"),
        ({"certificate": ["client.pem"]}, "certificate"),
        ({"certificate": "client.pem", "key": 7}, "key"),
        ({"certificate": "client.pem", "password": 7}, "password"),
    ],
    ids=["none", "list", "key", "password"],
)
def test_an_argument_of_another_type_is_refused_by_name(arguments: dict[str, Any], field: str) -> None:
    """Any other type than a path, text or bytes is an error before a file is read."""
    with pytest.raises(ConfigurationError, match=rf"^{field}: must be .*, not (NoneType|list|int)$") as caught:
        ClientCertificate.load(**arguments)
    assert caught.value.field == field


def test_a_context_wants_a_loaded_certificate() -> None:
    """A path, which other libraries accept, is refused with a hint at `load`; `ca` is checked too."""
    with pytest.raises(ConfigurationError, match=r"^certificate: must be seic\.ClientCertificate\.load\("):
        create_ssl_context(certificate="client.pem")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"^ca: must be .*, not int$"):
        create_ssl_context(ca=7)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("callback", "words"),
    [(lambda: 1 // 0, "raised ZeroDivisionError"), (lambda: 7, "text or bytes, not int")],
    ids=["fails", "number"],
)
def test_a_passphrase_that_cannot_be_had_names_the_file(
    callback: Any, words: str, client: Minted, tmp_path: Path, assert_no_leak: Callable[..., None]
) -> None:
    """The callable's exception is the cause, without its frames."""
    certificate, key = client.write(tmp_path)
    key.write_bytes(client.key_bytes(password=PASSPHRASE))

    with pytest.raises(CertificateError, match=words) as caught:
        ClientCertificate.load(certificate, key=key, password=callback)

    assert (caught.value.reason, caught.value.path) == (Reason.SOURCE_FAILED, str(key))
    if "raised" in words:
        assert isinstance(caught.value.__cause__, ZeroDivisionError)
        assert caught.value.__cause__.__traceback__ is None
    assert_no_leak(caught.value, keys=(client,))


def test_no_frame_shows_the_key_if_the_certificate_is_wrong(client: Minted) -> None:
    """The function that refuses the certificate has the key among its arguments."""
    with pytest.raises(CertificateError) as caught:
        ClientCertificate.load("two\nlines", key=client.key_pem.decode())
    written = report(caught.value)

    assert "in called" in written
    assert client.key_pem.decode().splitlines()[1] not in written

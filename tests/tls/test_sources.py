"""Where certificates and keys come from: what is wrong with a path, and text that must never be quoted."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from seic._errors import CertificateError
from seic._tls.certificate import ClientCertificate
from seic._tls.reasons import Reason
from tests._support.pki import Minted


def test_a_key_that_is_missing_is_named(client: Minted, tmp_path: Path) -> None:
    """The key's own path stands in the error when it is the key that is missing."""
    certificate, _ = client.write(tmp_path)
    with pytest.raises(CertificateError) as caught:
        ClientCertificate.load(certificate, key=tmp_path / "gone.key")
    assert (caught.value.reason, caught.value.path) == (Reason.NOT_FOUND, str(tmp_path / "gone.key"))


def test_a_relative_path_that_is_missing_tells_where_it_was_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The working directory stands in the message: services start elsewhere than their authors."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CertificateError, match=f"no such file in the working directory {tmp_path}"):
        ClientCertificate.load("client.pem")


def test_a_dangling_link_tells_its_target(tmp_path: Path) -> None:
    """A link to nowhere is named with what it points to."""
    (tmp_path / "client.pem").symlink_to("gone.pem")
    with pytest.raises(CertificateError, match=r"it is a link to gone\.pem, which does not exist"):
        ClientCertificate.load(tmp_path / "client.pem")


def test_a_directory_without_the_names_of_kubernetes_is_refused(tmp_path: Path) -> None:
    """A directory is taken for a mounted secret, and the error says which names are looked for."""
    with pytest.raises(CertificateError, match=r"directory without tls\.crt") as caught:
        ClientCertificate.load(tmp_path)
    assert (caught.value.reason, caught.value.path) == (Reason.IS_A_DIRECTORY, str(tmp_path))


def test_a_directory_as_the_key_is_refused(client: Minted, tmp_path: Path) -> None:
    """A key is a file."""
    certificate, _ = client.write(tmp_path)
    (tmp_path / "keys").mkdir()
    with pytest.raises(CertificateError, match="name the file in it") as caught:
        ClientCertificate.load(certificate, key=tmp_path / "keys")
    assert (caught.value.reason, caught.value.path) == (Reason.IS_A_DIRECTORY, str(tmp_path / "keys"))


@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_file_that_may_not_be_read_names_the_user(what: str, client: Minted, tmp_path: Path) -> None:
    """A file without permission, or in a folder without it, is an error that tells whose permission is missing."""
    tmp_path.chmod(0o755)
    folder = tmp_path / "folder"
    folder.mkdir()
    certificate, key = client.write(folder)
    (key if what == "file" else folder).chmod(0)
    named = key if what == "file" else certificate
    was = os.geteuid()
    for above in tmp_path.parents[:2]:
        above.chmod(0o755)
    if was == 0:  # nothing is unreadable to root
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
    """What the system says of a file that cannot be read reaches the error."""

    def fail(*arguments: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "open", fail)
    with pytest.raises(CertificateError, match="cannot be read: Input/output error") as caught:
        ClientCertificate.load(tmp_path / "client.pem")
    assert caught.value.reason == Reason.UNREADABLE


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("two\nlines", id="lines"),
        pytest.param("nul\0byte", id="nul"),
    ],
)
def test_text_that_is_neither_path_nor_pem_is_never_quoted(text: str) -> None:
    """Text that cannot be a path may be a secret: the error says what was expected and does not repeat it."""
    with pytest.raises(CertificateError, match="neither a path nor PEM") as caught:
        ClientCertificate.load(text)
    assert caught.value.path == "the certificate given as text"


def test_a_bare_base64_key_is_never_quoted_as_a_path(client: Minted, assert_no_leak: Callable[..., None]) -> None:
    """A key pasted as Base64 without its frame is not repeated in 'no such file'."""
    text = base64.b64encode(client.key_bytes(encoding=Encoding.DER)).decode()
    with pytest.raises(CertificateError) as caught:
        ClientCertificate.load(client.pem, key=text)
    assert caught.value.path == "the key given as text"
    assert_no_leak(caught.value, keys=(client,))


@pytest.mark.parametrize("wrong", [None, 7, ["client.pem"]])
def test_what_is_no_material_at_all_is_a_type_error(wrong: Any) -> None:
    """Anything but a path, text or bytes is a mistake of the program's."""
    with pytest.raises(TypeError, match="path, PEM text or bytes"):
        ClientCertificate.load(wrong)

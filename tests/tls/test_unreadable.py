"""Files and folders that this user may not read: the error names them and the missing permission."""

from __future__ import annotations

import contextlib
import os
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from seic import CertificateError, ClientCertificate, Reason, create_ssl_context
from tests._support.pki import Minted


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unset the machine's own variables, which may name a bundle."""
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)


@contextlib.contextmanager
def _as_nobody(folder: Path) -> Iterator[str]:
    """Run the body as a user without privileges, since root can read everything."""
    for above in [folder, *folder.parents[:2]]:
        above.chmod(0o755)
    was = os.geteuid()
    if was == 0:
        os.seteuid(65534)
    try:
        yield f"(user id {os.geteuid()})"
    finally:
        os.seteuid(was)


@pytest.mark.parametrize("what", ["folder", "file-in-it"])
def test_a_directory_that_may_not_be_read_is_named(what: str, root: Minted, tmp_path: Path) -> None:
    """The error names the unreadable folder or file, and the user."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "ca.pem").write_bytes(root.pem)
    named = folder / "ca.pem" if what == "file-in-it" else folder
    named.chmod(0)
    with _as_nobody(tmp_path) as user, pytest.raises(CertificateError) as caught:
        create_ssl_context(ca=folder)
    folder.chmod(0o700)

    assert (caught.value.reason, caught.value.path, caught.value.field) == (Reason.UNREADABLE, str(named), "ca")
    assert f"this process {user} may not read it" in str(caught.value)
    assert "give its user read permission" in str(caught.value)


def test_a_folder_of_a_pair_that_may_not_be_entered_is_not_taken_for_an_empty_one(
    client: Minted, tmp_path: Path
) -> None:
    """Its tls.crt exists but is not visible: the error is about the permission, not the file."""
    folder = tmp_path / "tls"
    folder.mkdir()
    (folder / "tls.crt").write_bytes(client.pem)
    (folder / "tls.key").write_bytes(client.key_pem)
    folder.chmod(0)
    with _as_nobody(tmp_path) as user, pytest.raises(CertificateError) as caught:
        ClientCertificate.load(folder)
    folder.chmod(0o700)

    assert (caught.value.reason, caught.value.path) == (Reason.UNREADABLE, str(folder / "tls.crt"))
    assert f"this process {user} may not read it" in str(caught.value)
    assert "give its user read permission" in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "closed"), [("SSL_CERT_FILE", "file"), ("SSL_CERT_FILE", "folder"), ("SSL_CERT_DIR", "folder")]
)
def test_a_variable_that_names_what_may_not_be_read_is_an_error(
    variable: str, closed: str, root: Minted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is about the permission, not about a missing file or its format."""
    folder = tmp_path / "folder"
    folder.mkdir()
    bundle = folder / "ca.pem"
    bundle.write_bytes(root.pem)
    (bundle if closed == "file" else folder).chmod(0)
    named = str(bundle if variable == "SSL_CERT_FILE" else folder)
    monkeypatch.setenv(variable, named)
    with _as_nobody(tmp_path) as user, pytest.raises(CertificateError, match="may not read it") as caught:
        create_ssl_context()
    folder.chmod(0o700)

    assert (caught.value.reason, caught.value.path) == (Reason.UNREADABLE, named)
    assert user in str(caught.value)
    assert f"({variable})" in str(caught.value)


def test_a_systems_folder_that_may_not_be_read_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: Minted
) -> None:
    """The system's bundle is used if its folder of hashed names is not readable."""
    (tmp_path / "bundle.pem").write_bytes(root.pem)
    (tmp_path / "closed").mkdir(mode=0)
    paths = ssl.DefaultVerifyPaths("", "", "", str(tmp_path / "none"), "", str(tmp_path / "closed"))
    monkeypatch.setattr("seic._tls.trust._BUNDLES", (str(tmp_path / "closed" / "x"), str(tmp_path / "bundle.pem")))
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths)
    with _as_nobody(tmp_path):
        context = create_ssl_context()
    assert context.get_ca_certs(binary_form=True) == [root.der]

"""Files that are none: a pipe, a device, a socket, a directory, one without an end, one on a hanging file system."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

import seic
from tests._support.settings import GATEWAY, PASSWORD, write

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has neither pipes nor devices in folders")


def _secret(path: Path) -> None:
    seic.Config.from_env({**GATEWAY, "SEIC_PASSWORD": "", "SEIC_PASSWORD_FILE": str(path)})


def _profiles(path: Path) -> None:
    seic.Config.from_file(path)


def _saml(path: Path) -> None:
    config = seic.Config(
        provider=seic.OAUTH2,
        hosts=seic.Hosts(api="api.example"),
        client_id="id",
        client_secret="secret",
        grant=seic.SamlBearer(assertion=path),
    )
    with seic.Client(config, transport=httpx.MockTransport(lambda _: httpx.Response(200))) as client:
        client.token()


def _certificate(path: Path) -> None:
    seic.ClientCertificate.load(path)


def _ca(path: Path) -> None:
    seic.create_ssl_context(ca=path)


READERS = [_secret, _profiles, _saml, _certificate, _ca]


@pytest.fixture
def irregular(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Return a maker of files of a kind."""
    with socket.socket(socket.AF_UNIX) as listener:

        def make(kind: str) -> Path:
            path = tmp_path / "file"
            if kind == "pipe":
                os.mkfifo(path)
            elif kind == "socket":
                listener.bind(str(path))
            elif kind == "folder":
                path.mkdir()
            elif kind == "huge":
                with path.open("wb") as file:
                    file.truncate(2**40)
            else:
                path.symlink_to(kind)
            return path

        yield make


@pytest.mark.parametrize("kind", ["pipe", "socket", "/dev/zero", "/dev/null", "/dev/urandom", "folder", "huge"])
@pytest.mark.parametrize("read", READERS)
def test_what_is_no_regular_file_is_an_error(
    read: Callable[[Path], None], kind: str, irregular: Callable[[str], Path]
) -> None:
    """It is read neither for ever nor without bound, and the error says what it is."""
    with pytest.raises(seic.SeicError) as caught:
        read(irregular(kind))

    expected = {"folder": "directory", "huge": "larger than", "socket": "No such device"}
    words = expected.get(kind, "a pipe, a socket or a device")
    if (read, kind) != (_ca, "folder"):  # a folder of authorities is one
        assert words in str(caught.value)


@pytest.mark.skipif(not Path("/proc/kmsg").exists(), reason="only Linux has it")
@pytest.mark.parametrize("read", READERS)
def test_a_file_without_content_yet_is_an_error(read: Callable[[Path], None]) -> None:
    """Some files of the kernel are regular, and have nothing to read at the moment."""
    with pytest.raises(seic.SeicError):
        read(Path("/proc/kmsg"))


@pytest.mark.parametrize("read", READERS)
def test_a_file_system_that_hangs_is_an_error(
    read: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error comes in time, a second caller waits for the same read, and the file is read again afterwards."""
    path = write(tmp_path / "file", f"{PASSWORD}\n")
    gate, real, opened = threading.Event(), os.open, []

    def hang(name: str, *args: int, **keywords: int) -> int:
        if Path(name) == path:
            opened.append(name)
            gate.wait(10)
        return real(name, *args, **keywords)

    monkeypatch.setattr("seic._files.PATIENCE", 0.05)
    monkeypatch.setattr(os, "open", hang)
    for _ in range(2):
        with pytest.raises(seic.SeicError, match="could not be read within"):
            read(path)
    assert len(opened) == 1
    monkeypatch.setattr("seic._files.PATIENCE", 10)
    gate.set()

    if read is _secret:
        read(path)
    else:
        with pytest.raises(seic.SeicError) as caught:
            read(path)
        assert "could not be read within" not in str(caught.value)


@pytest.mark.parametrize("text", ["x = " + "[" * 5000 + "]" * 5000, "a" + ".a" * 5000 + " = 1", "x = '\udcff'"])
def test_a_profile_that_is_no_toml_is_an_error(text: str, tmp_path: Path) -> None:
    """Nested deeply, with a key of thousands of parts, or not in UTF-8: none of it is a RecursionError or slow."""
    path = tmp_path / "config.toml"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(seic.ConfigurationError, match="is not TOML in UTF-8, or is nested too deeply"):
        seic.Config.from_file(path)

"""`seic request -o`: a file that appears complete, after interruptions and changes at the server."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests._support.command import run
from tests._support.file_server import FileServer
from tests._support.loopback import PATIENCE


def test_a_download(files: FileServer, tmp_path: Path) -> None:
    """The file appears complete, and nothing else stays."""
    target = tmp_path / "out.bin"
    done = run("request", "GET", "/file", "-o", str(target))

    assert done.code == 0
    assert done.out == ""
    assert target.read_bytes() == files.content
    assert sorted(path.name for path in tmp_path.glob("out*")) == ["out.bin"]


def test_an_interrupted_download_goes_on(files: FileServer, tmp_path: Path) -> None:
    """The rest alone is requested, of the same version."""
    target = tmp_path / "out.bin"
    files.cut = 50_000
    broken = run("request", "GET", "/file", "-o", str(target))
    files.cut = None
    done = run("request", "GET", "/file", "-o", str(target))

    assert broken.code == 5
    assert "50000 bytes are in" in broken.err
    assert done.code == 0
    assert target.read_bytes() == files.content
    assert files.requests[-1]["Range"] == "bytes=50000-"
    assert sorted(path.name for path in tmp_path.glob("out*")) == ["out.bin"]


@pytest.mark.parametrize("etag", ['"two"', None, 'W/"one"'])
def test_another_version_starts_again(files: FileServer, tmp_path: Path, etag: str | None) -> None:
    """Parts of two versions are never joined; without a strong version nothing is resumed."""
    target = tmp_path / "out.bin"
    files.cut, files.etag = 50_000, '"one"' if etag == '"two"' else etag
    assert run("request", "GET", "/file", "-o", str(target)).code == 5
    files.cut, files.etag, files.content = None, etag, files.content[::-1]
    done = run("request", "GET", "/file", "-o", str(target))

    assert done.code == 0
    assert target.read_bytes() == files.content
    assert ("Range" in files.requests[-1]) is (etag == '"two"')


def test_a_part_of_the_rest_is_not_the_file(files: FileServer, tmp_path: Path) -> None:
    """A server may send less than the rest (RFC 9110 §15.3.7); the next run gets more of it."""
    target = tmp_path / "out.bin"
    files.cut = 50_000
    run("request", "GET", "/file", "-o", str(target))
    files.cut, files.part = None, 1_000
    partial = run("request", "GET", "/file", "-o", str(target))
    existed = target.exists()
    files.part = None
    done = run("request", "GET", "/file", "-o", str(target))

    assert partial.code == 5
    assert "51000 of 102400 bytes" in partial.err
    assert not existed
    assert done.code == 0
    assert target.read_bytes() == files.content


def test_a_part_from_another_place_starts_again(files: FileServer, tmp_path: Path) -> None:
    """A part with a gap before it is not joined, and is not taken for the file."""
    target = tmp_path / "out.bin"
    files.cut = 50_000
    run("request", "GET", "/file", "-o", str(target))
    files.cut, files.shift = None, 1_000
    done = run("request", "GET", "/file", "-o", str(target))

    assert done.code == 0
    assert target.read_bytes() == files.content


def test_a_shorter_file_starts_again(files: FileServer, tmp_path: Path) -> None:
    """The server has less than the part here, under the same version."""
    target = tmp_path / "out.bin"
    files.cut = 50_000
    run("request", "GET", "/file", "-o", str(target))
    files.cut, files.content = None, b"short"
    done = run("request", "GET", "/file", "-o", str(target))

    assert done.code == 0
    assert target.read_bytes() == b"short"


def test_no_file_of_an_error(files: FileServer, tmp_path: Path) -> None:
    """The body of the error is printed, and an older file is kept."""
    target = tmp_path / "out.bin"
    target.write_bytes(b"old")
    done = run("request", "GET", "/absent", "-o", str(target))

    assert done.code == 7
    assert json.loads(done.out) == {"error": "no such file"}
    assert target.read_bytes() == b"old"


def test_progress_at_a_terminal(files: FileServer, tmp_path: Path) -> None:
    """On stderr; a pipe gets none."""
    shown = run("request", "GET", "/file", "-o", str(tmp_path / "out.bin"), at_terminal=True)
    piped = run("request", "GET", "/file", "-o", str(tmp_path / "out.bin"))

    assert "102.4/102.4 kB" in shown.err
    assert piped.err == ""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("is_changed", [False, True])
def test_a_killed_program(files: FileServer, tmp_path: Path, number: int, is_changed: bool) -> None:
    """The same command goes on where it was killed, unless the file at the server has changed since."""
    target, part = tmp_path / "out.bin", tmp_path / "out.bin.part"
    files.content = os.urandom(600_000)
    files.cut, files.hold = 400_000, True
    # A job in the background of a shell ignores SIGINT, and so would the program.
    program = ["env", "--default-signal=INT", sys.executable, "-m", "seic"]
    with subprocess.Popen(
        [*program, "request", "GET", "/file", "-o", str(target)], stderr=subprocess.DEVNULL
    ) as process:
        wait_for_size(part, 100_000)
        process.send_signal(number)
    kept = part.stat().st_size
    assert process.returncode in (-number, 128 + number)
    assert not target.exists()

    files.cut, files.hold = None, False
    if is_changed:
        files.content, files.etag = os.urandom(500_000), '"two"'
    done = run("request", "GET", "/file", "-o", str(target))
    assert done.code == 0
    assert target.read_bytes() == files.content
    assert files.requests[-1]["Range"] == f"bytes={kept}-"
    assert sorted(path.name for path in tmp_path.glob("out*")) == ["out.bin"]


def wait_for_size(path: Path, size: int) -> None:
    """Return when a file has a size; fail after a while."""
    pause = threading.Event()
    for _ in range(int(PATIENCE * 100)):
        if path.exists() and path.stat().st_size >= size:
            return
        pause.wait(0.01)
    raise AssertionError(f"{path} is too small")


def test_a_server_that_ignores_versions(files: FileServer, tmp_path: Path) -> None:
    """It sends the rest of another version; the whole file is requested then."""
    target = tmp_path / "out.bin"
    files.cut = 50_000
    run("request", "GET", "/file", "-o", str(target))
    files.cut, files.ignores_versions = None, True
    files.content, files.etag = files.content[::-1], '"two"'
    done = run("request", "GET", "/file", "-o", str(target))

    assert done.code == 0
    assert target.read_bytes() == files.content
    assert ["Range" in one for one in files.requests] == [False, True, False]


def test_a_place_that_cannot_have_the_file(files: FileServer, tmp_path: Path) -> None:
    """It is refused before anything is requested."""
    for place in (tmp_path, tmp_path / "absent" / "out.bin"):
        refused = run("request", "GET", "/file", "-o", str(place))
        assert refused.code == 3
        assert f"--output: {place} is " in refused.err
    assert files.requests == []


def test_status_and_headers_of_a_download(files: FileServer, tmp_path: Path) -> None:
    """On stdout; the file has the body alone."""
    shown = run("request", "GET", "/file", "-i", "-o", str(tmp_path / "out.bin"))

    assert shown.out.startswith("HTTP/1.1 200 OK\n")
    assert "etag: " in shown.out
    assert (tmp_path / "out.bin").read_bytes() == files.content


def test_an_interruption_at_a_terminal(files: FileServer, tmp_path: Path) -> None:
    """The note about it has a line of its own, after the progress."""
    files.cut = 50_000
    broken = run("request", "GET", "/file", "-o", str(tmp_path / "out.bin"), at_terminal=True)

    # After the escape sequence that shows the cursor again.
    assert re.search(r"^(?:\x1b\[\?25h)?seic: 50000 bytes", broken.err, re.MULTILINE)
    assert broken.err.index("50.0/102.4 kB") < broken.err.index("seic: 50000 bytes")


@pytest.mark.parametrize("name", ["out.bin.part", "out.bin.part.json"])
def test_a_link_in_place_of_the_part(files: FileServer, tmp_path: Path, name: str) -> None:
    """Another user of a shared folder can plant one; the file that it leads to stays as it is."""
    other = tmp_path / "other"
    other.write_text("mine")
    (tmp_path / name).symlink_to(other)
    done = run("request", "GET", "/file", "-o", str(tmp_path / "out.bin"))

    assert done.code == 0
    assert other.read_text() == "mine"
    assert (tmp_path / "out.bin").read_bytes() == files.content
    assert not (tmp_path / "out.bin").is_symlink()


def test_a_linked_part_is_not_continued(files: FileServer, tmp_path: Path) -> None:
    """Even if it is of the same version."""
    files.cut = 50_000
    run("request", "GET", "/file", "-o", str(tmp_path / "out.bin"))
    part, other = tmp_path / "out.bin.part", tmp_path / "other"
    part.rename(other)
    part.symlink_to(other)
    files.cut = None
    done = run("request", "GET", "/file", "-o", str(tmp_path / "out.bin"))

    assert done.code == 0
    assert other.stat().st_size == 50_000
    assert "Range" not in files.requests[-1]

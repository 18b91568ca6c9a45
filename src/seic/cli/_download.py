"""Downloads of `seic request -o`: with progress at a terminal, and resumed after an interruption (RFC 9110 §14)."""

from __future__ import annotations

import json
import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from seic._errors import ConfigurationError
from seic.cli._progress import download_progress
from seic.cli._terminal import Terminal

if TYPE_CHECKING:
    import httpx

    from seic._client import Client

_OK, _PARTIAL, _NOT_SATISFIABLE = 200, 206, 416
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


def download(client: Client, request: httpx.Request, path: Path, terminal: Terminal) -> httpx.Response:
    """Write the body of an answer to a file, which appears when it is complete, and return the answer.

    Until then its content is in `FILE.part`, and the server's version of it in `FILE.part.json`. An answer without a
    file, such as an error, is returned unread.

    Raises:
        ConfigurationError: The path is one of a folder.
    """
    if path.is_dir() or not path.parent.is_dir():
        problem = "is a folder" if path.is_dir() else "is in a folder that does not exist"
        raise ConfigurationError(f"--output: {path} {problem}; name a file", field="output")
    part, note = path.with_name(f"{path.name}.part"), path.with_name(f"{path.name}.part.json")
    # Bytes are counted, so they must not be compressed.
    request.headers["Accept-Encoding"] = "identity"
    offset, etag = _resume(request, part, note)
    response = client.send(request, stream=True)
    if offset and _is_another(response, offset, etag):
        response.close()
        del request.headers["Range"], request.headers["If-Range"]
        offset, response = 0, client.send(request, stream=True)
    if response.status_code in (_OK, _PARTIAL):
        try:
            offset = offset if response.status_code == _PARTIAL else 0
            _remember(response, request, note)
            _write(response, part, offset, terminal)
        finally:
            response.close()
        part.replace(path)
        note.unlink(missing_ok=True)
    return response


def _is_another(response: httpx.Response, offset: int, etag: str) -> bool:
    """Whether the file there is shorter than the part here, or the server sends a part of another version or place."""
    if response.status_code == _PARTIAL:
        return response.headers.get("ETag", etag) != etag or not _continues(response, offset)
    return bool(response.status_code == _NOT_SATISFIABLE)


def _resume(request: httpx.Request, part: Path, note: Path) -> tuple[int, str]:
    """Ask for the rest of a file, if a part of the same version is here; return its size and version."""
    try:
        if not (_is_own(part) and _is_own(note)):
            return 0, ""
        known = json.loads(note.read_text(encoding="utf-8"))
        size = part.stat().st_size
    except (OSError, ValueError):
        return 0, ""
    if not isinstance(known, dict) or known.get("url") != str(request.url) or request.method != "GET" or not size:
        return 0, ""
    etag = str(known.get("etag"))
    request.headers["Range"] = f"bytes={size}-"
    # With another version the server answers with the whole file (RFC 9110 §13.1.5).
    request.headers["If-Range"] = etag
    return size, etag


def _is_own(path: Path) -> bool:
    """Whether a path is a file of this user: in a shared folder others can plant the beginning, or a link."""
    found = path.lstat()
    return stat.S_ISREG(found.st_mode) and (not hasattr(os, "geteuid") or found.st_uid == os.geteuid())


def _continues(response: httpx.Response, offset: int) -> bool:
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    return match is not None and int(match[1]) == offset


def _remember(response: httpx.Response, request: httpx.Request, note: Path) -> None:
    etag = response.headers.get("ETag", "")
    # A weak one does not promise equal bytes (RFC 9110 §8.8.1).
    note.unlink(missing_ok=True)
    if etag.startswith('"') and "Content-Encoding" not in response.headers:
        with note.open("x", encoding="utf-8") as file:
            json.dump({"url": str(request.url), "etag": etag}, file)


def _open_own(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


def _write(response: httpx.Response, part: Path, offset: int, terminal: Terminal) -> None:
    import httpx

    total = _size(response, offset)
    done = offset
    if not offset:
        part.unlink(missing_ok=True)
    try:
        with (
            open(part, "ab" if offset else "xb", opener=_open_own) as file,
            download_progress(terminal, total, offset) as advance,
        ):
            for some in response.iter_bytes():
                file.write(some)
                done += len(some)
                advance(len(some))
        if offset and total is not None and done < total:
            # The server may send less than what was asked for (RFC 9110 §15.3.7).
            raise httpx.RemoteProtocolError(f"the server sent a part of the rest only: {done} of {total} bytes")
    except BaseException:
        # After the progress, whose line it must not share.
        terminal.note(f"seic: {done} bytes are in {part}; run the same command again to go on")
        raise


def _size(response: httpx.Response, offset: int) -> int | None:
    """Return the size of the whole file; None if the server does not say it."""
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if offset and match is not None and match[2] != "*":
        return int(match[2])
    length = response.headers.get("Content-Length", "")
    return offset + int(length) if length.isdecimal() else None

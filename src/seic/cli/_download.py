"""Downloads of `seic request -o`: with progress at a terminal, and resumed after an interruption (RFC 9110 §14)."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from seic.cli._exit_code import ExitCode
from seic.cli._terminal import Terminal

if TYPE_CHECKING:
    import httpx

    from seic._client import Client

_OK, _PARTIAL, _NOT_SATISFIABLE = 200, 206, 416
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


def download(client: Client, request: httpx.Request, path: Path, terminal: Terminal) -> int:
    """Write the body of an answer to a file, which appears when it is complete.

    Until then its content is in `FILE.part`, and the server's version of it in `FILE.part.json`.
    """
    part, note = path.with_name(f"{path.name}.part"), path.with_name(f"{path.name}.part.json")
    # Bytes are counted, so they must not be compressed.
    request.headers["Accept-Encoding"] = "identity"
    offset = _resume(request, part, note)
    response = client.send(request, stream=True)
    try:
        if response.status_code == _NOT_SATISFIABLE and offset:
            # The file there is shorter than the part here: start again.
            response.close()
            part.unlink()
            del request.headers["Range"], request.headers["If-Range"]
            offset, response = 0, client.send(request, stream=True)
        if response.status_code not in (_OK, _PARTIAL):
            response.read()
            terminal.write_bytes(response.content)
            terminal.note(f"seic: the API answered {response.status_code} {response.reason_phrase}")
            return ExitCode.API
        offset = offset if _continues(response, offset) else 0
        _remember(response, request, note)
        _write(response, part, offset, terminal)
    finally:
        response.close()
    part.replace(path)
    note.unlink(missing_ok=True)
    return ExitCode.OK


def _resume(request: httpx.Request, part: Path, note: Path) -> int:
    """Ask for the rest of a file, if a part of the same version is here; return the size of the part."""
    try:
        known = json.loads(note.read_text(encoding="utf-8"))
        size = part.stat().st_size
    except (OSError, ValueError):
        return 0
    if not isinstance(known, dict) or known.get("url") != str(request.url) or request.method != "GET" or not size:
        return 0
    request.headers["Range"] = f"bytes={size}-"
    # With another version the server answers with the whole file (RFC 9110 §13.1.5).
    request.headers["If-Range"] = str(known.get("etag"))
    return size


def _continues(response: httpx.Response, offset: int) -> bool:
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    return response.status_code == _PARTIAL and match is not None and int(match[1]) == offset


def _remember(response: httpx.Response, request: httpx.Request, note: Path) -> None:
    etag = response.headers.get("ETag", "")
    # A weak one does not promise equal bytes (RFC 9110 §8.8.1).
    if etag.startswith('"') and "Content-Encoding" not in response.headers:
        note.write_text(json.dumps({"url": str(request.url), "etag": etag}), encoding="utf-8")
    else:
        note.unlink(missing_ok=True)


def _write(response: httpx.Response, part: Path, offset: int, terminal: Terminal) -> None:
    length = response.headers.get("Content-Length", "")
    total = offset + int(length) if length.isdecimal() else None
    done = offset
    with part.open("ab" if offset else "wb") as file, _progress(terminal, total, offset) as advance:
        try:
            for some in response.iter_bytes():
                file.write(some)
                done += len(some)
                advance(len(some))
        except BaseException:
            terminal.note(f"seic: {done} bytes are in {part}; run the same command again to go on")
            raise


@contextlib.contextmanager
def _progress(terminal: Terminal, total: int | None, done: int) -> Iterator[Callable[[int], object]]:
    """Show the progress at a terminal; yield a function that takes the number of further bytes."""
    try:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn
    except ModuleNotFoundError:  # the extra `cli` is not installed
        yield lambda size: None
        return
    console = Console(file=terminal.stderr, no_color=not terminal.has_color)
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not terminal.stderr.isatty()) as progress:
        task = progress.add_task("", total=total, completed=done)
        yield lambda size: progress.advance(task, size)

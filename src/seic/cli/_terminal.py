"""`Terminal`: the standard streams, with colours and tables at a terminal and plain lines in a pipe."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any, TextIO


class Terminal:
    """The standard streams of one run; created when the command starts, since tests replace the streams."""

    def __init__(self) -> None:
        self.stdout: TextIO = sys.stdout
        self.stderr: TextIO = sys.stderr
        self.is_terminal = self.stdout.isatty()
        self.has_color = self.is_terminal and not _is_plain()

    def print(self, text: str = "", *, end: str = "\n") -> None:
        """Write a line to stdout."""
        self._write(self.stdout, text, end=end)

    def write_bytes(self, data: bytes) -> None:
        """Write bytes to stdout, unchanged."""
        self.stdout.flush()
        buffer = getattr(self.stdout, "buffer", None)
        if buffer is None:
            self.stdout.write(data.decode(errors="replace"))
        else:
            buffer.write(data)
            buffer.flush()

    def sentence(self, text: str) -> None:
        """Write a result in words to stdout; at a terminal in lines that end with a word."""
        self._write(self.stdout, _fit(text) if self.is_terminal else text)

    def note(self, text: str) -> None:
        """Write a line to stderr, so that it does not mix with the result; at a terminal as in `sentence`."""
        self._write(self.stderr, _fit(text) if self.stderr.isatty() else text)

    def error(self, text: str) -> None:
        """Write the sentence about a failure to stderr."""
        if not self.stderr.isatty():
            self._write(self.stderr, f"seic: {text}")
            return
        lines = _fit(f"seic: {text}")
        self._write(self.stderr, lines if _is_plain() else lines.replace("seic:", "\x1b[31mseic:\x1b[0m", 1))

    def json(self, value: Any) -> None:
        """Write a value as JSON, indented for people."""
        self.print(json.dumps(value, indent=2, ensure_ascii=False, default=str))

    def table(self, rows: Iterable[Sequence[str]], *, header: Sequence[str] = (), styles: Sequence[str] = ()) -> None:
        """Write rows: in columns at a terminal, with tabs and without a header in a pipe.

        Args:
            rows: The cells of each row.
            header: The titles of the columns.
            styles: The style of each column, as rich names it; colours are left out where they are not wanted.
        """
        cells = [[_printable(cell) for cell in row] for row in rows]
        if not self.is_terminal or not self._draw(cells, header, styles):
            for row in cells:
                self.print("\t".join(row).rstrip("\t"))

    def _draw(self, rows: Sequence[Sequence[str]], header: Sequence[str], styles: Sequence[str]) -> bool:
        try:
            from rich.console import Console
            from rich.table import Table
            from rich.text import Text
        except ModuleNotFoundError:  # the extra `cli` is not installed
            return False
        table = Table(box=None, show_header=bool(header), header_style="bold", padding=(0, 2, 0, 0), pad_edge=False)
        for number in range(max(map(len, rows), default=0)):
            title = header[number] if number < len(header) else ""
            # The first column has names, which are read badly if they are wrapped.
            table.add_column(title, style=styles[number] if number < len(styles) else "", no_wrap=number == 0)
        for row in rows:
            table.add_row(*(Text(cell, overflow="fold") for cell in row))
        # Without colours no other style either, as in `style`.
        color_system: Any = "auto" if self.has_color else None
        Console(file=self.stdout, color_system=color_system, highlight=False).print(table)
        return True

    def style(self, text: str, code: str) -> str:
        """Return a text in a style of ECMA-48, such as `1` for bold or `31` for red; unchanged without colours."""
        return f"\x1b[{code}m{text}\x1b[0m" if self.has_color else text

    def foreign_text(self, text: str) -> None:
        """Write text of a server to stdout; at a terminal without control characters, and with a line's end."""
        if self.is_terminal:
            text = _without_controls(text).removesuffix("\n") + "\n"
        self._write(self.stdout, text, end="")

    def can_show(self, text: str) -> bool:
        """Return whether the encoding of stdout has each character of a text."""
        try:
            text.encode(self.stdout.encoding or "utf-8")
        except UnicodeEncodeError:
            return False
        return True

    @staticmethod
    def _write(stream: TextIO, text: str, *, end: str = "\n") -> None:
        encoding = stream.encoding or "utf-8"
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + end)

    def discard(self) -> None:
        """Send what is still buffered nowhere, since the reader of the pipe has ended."""
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.stdout.fileno())
            os.close(nowhere)


def fold(text: str, width: int) -> str:
    """Return a text in lines of a width; a word is broken only if it is longer than a line."""
    return "\n".join(textwrap.wrap(text, width, break_on_hyphens=False)) or text


def _fit(text: str) -> str:
    # A longer word is an address or a path, which can be copied only if the terminal itself breaks it.
    width = shutil.get_terminal_size().columns
    lines = _without_controls(text).split("\n")
    return "\n".join(
        "\n".join(textwrap.wrap(line, width, break_on_hyphens=False, break_long_words=False)) or line for line in lines
    )


def _without_controls(text: str) -> str:
    # A terminal obeys control characters, which text of a server may have, such as the reason of a status.
    return "".join(one if one.isprintable() or one in "\n\t" else "\N{REPLACEMENT CHARACTER}" for one in text)


def _is_plain() -> bool:
    # As https://no-color.org: any value but the empty one.
    return bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"


def _printable(text: str) -> str:
    # Text of servers and certificates: a terminal obeys control characters, and a tab would add a column.
    return "".join(character if character.isprintable() else " " for character in text)

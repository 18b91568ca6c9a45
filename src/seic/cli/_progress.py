"""Progress on stderr, if that is a terminal and rich is installed: of a download, and of the pages of a collection."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from seic.cli._terminal import Terminal


@contextlib.contextmanager
def download_progress(terminal: Terminal, total: int | None, done: int) -> Iterator[Callable[[int], object]]:
    """Show the progress of a download; yield a function that takes the number of further bytes."""
    try:
        from rich.progress import BarColumn, DownloadColumn, TimeRemainingColumn, TransferSpeedColumn
    except ModuleNotFoundError:  # the extra `cli` is not installed
        yield lambda size: None
        return
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with _progress(terminal, *columns) as progress:
        task = progress.add_task("", total=total, completed=done)
        yield lambda size: progress.advance(task, size)


@contextlib.contextmanager
def page_progress(terminal: Terminal) -> Iterator[Callable[[int, Callable[[], None]], object]]:
    """Show how many pages came; yield a function that takes the number of a page, and the function that writes it."""

    def write_only(number: int, write: Callable[[], None]) -> None:
        write()

    try:
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    except ModuleNotFoundError:
        yield write_only
        return
    columns = (BarColumn(), TextColumn("pages: {task.completed}"), TimeElapsedColumn())
    with _progress(terminal, *columns, transient=True) as progress:
        task = progress.add_task("", total=None)

        def update(number: int, write: Callable[[], None]) -> None:
            progress.update(task, completed=number)
            # The same terminal shows the result: not in the same line.
            if terminal.is_terminal:
                progress.stop()
            write()
            if terminal.is_terminal:
                terminal.stdout.flush()
                progress.start()

        yield update


def _progress(terminal: Terminal, *columns: Any, transient: bool = False) -> Any:
    from rich.console import Console
    from rich.progress import Progress

    console = Console(file=terminal.stderr)
    # Not redirected: the result goes to stdout as it is.
    return Progress(
        *columns,
        console=console,
        disable=not terminal.stderr.isatty(),
        transient=transient,
        redirect_stdout=False,
        redirect_stderr=False,
    )

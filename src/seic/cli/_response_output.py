"""Responses of `seic request` on stdout: one body as it came, all items of a collection, or what jq selects."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable
from typing import Any

import httpx

from seic._errors import ConfigurationError
from seic.cli._exit_code import ExitCode
from seic.cli._json_query import compile_query
from seic.cli._progress import page_progress
from seic.cli._terminal import Terminal

_FIRST_ERROR = 400


class ResponseOutput:
    """Writes responses.

    Args:
        terminal: The streams.
        expression: That of `--jq`.
        with_head: Whether status and headers come first.

    Raises:
        ConfigurationError: The expression is wrong.
    """

    def __init__(self, terminal: Terminal, expression: str | None, *, with_head: bool) -> None:
        self._terminal = terminal
        self._query = None if expression is None else compile_query(expression)
        self._with_head = with_head
        #: The member of a page that has its items, once a page was seen; None if a page is an array.
        self._member: str | None = None
        #: The item that is not written yet.
        self._last = ""

    def response(self, response: httpx.Response) -> int:
        """Write one response, unless it was read already, and return the exit code."""
        if self._with_head:
            self._terminal.foreign_text(_head(response))
        is_error = response.status_code >= _FIRST_ERROR
        if not response.is_closed:
            if self._query is not None and not is_error:
                response.read()
                self._select(response)
            elif self._terminal.is_terminal:
                response.read()
                self._show(response)
            else:
                for part in response.iter_bytes():
                    self._terminal.write_bytes(part)
        if not is_error:
            return ExitCode.OK
        if not self._with_head:
            self._terminal.note(f"seic: the API answered {response.status_code} {response.reason_phrase}")
        return ExitCode.API

    def pages(self, pages: Iterable[httpx.Response]) -> int:
        """Write what the pages of a collection have, each when it comes, and return the exit code."""
        # Without jq: one array, with an item on each line. It ends only after the last page, so that what an error
        # leaves behind is not taken for all.
        with page_progress(self._terminal) as show:
            for number, page in enumerate(pages, 1):
                show(number, functools.partial(self._select if self._query is not None else self._write_items, page))
        if self._query is None:
            self._terminal.print(f"{self._last}\n]" if self._last else "[]")
        return ExitCode.OK

    def _write_items(self, page: httpx.Response) -> None:
        for item in self._items(page):
            # Each line has its end, since the progress takes the next one. Whether a comma follows an item is known
            # when the next one comes.
            self._terminal.print(f"{self._last}," if self._last else "[")
            self._last = self._to_json(item)

    def _items(self, page: httpx.Response) -> list[Any]:
        body = _json(page)
        if isinstance(body, list):
            return body
        members = dict(body) if isinstance(body, dict) else {}
        if self._member is None:
            lists = [name for name, value in members.items() if isinstance(value, list)]
            if len(lists) != 1:
                found = f"its lists are {', '.join(lists)}" if lists else "it has no list"
                raise ConfigurationError(
                    f"--all: the items of {page.request.url.path} are not known: {found}; select them, for example "
                    f"with --jq '.{lists[0] if lists else 'items'}[]'",
                    field="all",
                )
            self._member = lists[0]
        items = members.get(self._member)
        return items if isinstance(items, list) else []

    def _select(self, response: httpx.Response) -> None:
        _json(response)
        for line in [] if self._query is None else self._query(response.text):
            if line.startswith('"'):
                # A string is printed as it is, as gh does.
                text = json.loads(line)
                self._terminal.foreign_text(f"{text}\n")
            else:
                self._terminal.print(self._to_json(json.loads(line)) if self._terminal.is_terminal else line)

    def _to_json(self, value: Any) -> str:
        return json.dumps(value, indent=2 if self._terminal.is_terminal else None, ensure_ascii=False)

    def _show(self, response: httpx.Response) -> None:
        """Write a body for people."""
        content_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if content_type.endswith(("/json", "+json")):
            try:
                self._terminal.print(self._to_json(response.json()))
            except ValueError:
                self._terminal.foreign_text(response.text)
        elif b"\0" in response.content:
            size = len(response.content)
            self._terminal.note(f"The body, {size} bytes of {content_type or 'no type'}, is not text; add -o FILE.")
        elif response.content:
            self._terminal.foreign_text(response.text)


def _head(response: httpx.Response) -> str:
    status = f"{response.http_version} {response.status_code} {response.reason_phrase}".rstrip()
    return "".join(
        f"{line}\n" for line in (status, *(f"{name}: {value}" for name, value in response.headers.items()), "")
    )


def _json(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        content_type = response.headers.get("Content-Type", "no type").partition(";")[0]
        raise ConfigurationError(
            f"{response.request.url.path}: the body is not JSON ({content_type}); leave --jq and --all out",
            field="path",
        ) from None

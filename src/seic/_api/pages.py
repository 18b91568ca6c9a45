"""Pages of a collection: the next page by a `Link` header (RFC 8288) or by a cursor in the reply."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from seic._api.response_errors import raise_for_status
from seic._errors import ConfigurationError
from seic._model.provider import Provider
from seic._oauth.redact import sanitize

#: The end of a field's name that says that a reply may lack the field.
_OPTIONAL = "?"
_MISSING = object()


async def async_pages(client: Any, url: Any, *, provider: Provider, **options: Any) -> AsyncIterator[Any]:
    """Yield the replies of a collection; see `AsyncClient.pages`."""
    pages = _Pages(provider)
    following = None
    while True:
        reply = await client.get(url, **options)
        # First: a page that repeats an earlier one is not yielded.
        following = pages.next_url(reply)
        yield reply
        if following is None:
            return
        url, options["params"] = _without_query(following)


def blocking_pages(client: Any, url: Any, *, provider: Provider, **options: Any) -> Iterator[Any]:
    """Yield the replies of a collection; see `Client.pages`."""
    pages = _Pages(provider)
    following = None
    while True:
        reply = client.get(url, **options)
        following = pages.next_url(reply)
        yield reply
        if following is None:
            return
        url, options["params"] = _without_query(following)


class _Pages:
    """The pages of one collection; replies and URLs are those of httpx or httpx2."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._seen: set[str] = set()

    def next_url(self, reply: Any) -> Any:
        """Return the URL of the page after a reply; None after the last page.

        Raises:
            ApiError: The reply is an error.
            ConfigurationError: The reply lacks the cursor, or its cursor was there before.
        """
        raise_for_status(reply, provider=self._provider)
        current = (reply.history[0] if reply.history else reply).request.url
        self._seen.add(str(current))
        link = reply.links.get("next", {}).get("url")
        following = self._by_cursor(reply, current) if link is None else reply.url.join(link)
        if following is None or str(following) not in self._seen:
            return following
        cause = "the API ignores the cursor; check the parameter's name"
        if link is not None or self._provider.page_cursor_parameter is None:
            cause = "the API repeats itself"
        raise ConfigurationError(
            f"provider.page_cursor_parameter: the page after {current.path} was there before: {cause}",
            field="provider.page_cursor_parameter",
        )

    def _by_cursor(self, reply: Any, current: Any) -> Any:
        name, parameter = self._provider.page_cursor_field, self._provider.page_cursor_parameter
        if name is None:
            return None
        value, problem = _member(reply, name.removesuffix(_OPTIONAL))
        # Later pages may lack it: the first has shown that its name is right.
        if value is _MISSING and problem and (name.endswith(_OPTIONAL) or len(self._seen) > 1):
            return None
        if value is _MISSING:
            raise ConfigurationError(
                f"provider.page_cursor_field: the page {current.path} {problem or 'is not JSON'}; set the path of the "
                f"member with the next cursor, with {_OPTIONAL} at its end if the only page may lack it",
                field="provider.page_cursor_field",
            )
        if value in (None, "", False):
            return None
        return current.join(value) if parameter is None else current.copy_set_param(parameter, str(value))


def _member(reply: Any, path: str) -> tuple[Any, str]:
    """Return the member at a path, or `_MISSING` and the reason; no reason if the body is not JSON."""
    try:
        value = reply.json()
    except ValueError:
        return _MISSING, ""
    for name in path.split("."):
        if not isinstance(value, Mapping) or name not in value:
            others = ", ".join(value) if isinstance(value, Mapping) else ""
            return _MISSING, f"has no {path}; the members there are: {sanitize(others) or 'none'}"
        value = value[name]
    if value is not None and not isinstance(value, str | int):
        raise ConfigurationError(
            f"provider.page_cursor_field: {path} must be a string or a number, not {type(value).__name__}",
            field="provider.page_cursor_field",
        )
    return value, ""


def _without_query(url: Any) -> tuple[Any, Any]:
    # httpx replaces the query of a URL if the client has parameters of its own.
    return url.copy_with(query=None), url.params

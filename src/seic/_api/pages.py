"""Pages of a collection: the next page by a `Link` header (RFC 8288) or by a cursor in the reply."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from seic._api.link_header import next_target
from seic._api.response_errors import raise_for_status
from seic._errors import ConfigurationError
from seic._httpx import either
from seic._model.provider import Provider
from seic._oauth.redact import sanitize
from seic._setting_errors import SettingNames

#: The end of a field's name that says that a reply may lack the field.
_OPTIONAL = "?"
_MISSING = object()
#: Members by which a reply says that there are more pages, in lower case and without separators: the cursor of the next
#: one, or its URL; a flag; the number of pages.
_CURSOR = (
    r"next(page)?(cursor|token|url|uri|link|href|marker|key|offset|start|id)?|cursor|(end|after)cursor"
    r"|(continuation|pagination|continue)(token|key)?|scrollid|lastevaluatedkey"
)
_FLAG = r"(is|has)?(more|next|nextpage|moreresults|moreitems|truncated)"
_COUNT = r"totalpages|pagecount|numpages|lastpage"
#: The depth of objects in which such a member is searched for.
_DEPTH = 3


async def async_pages(
    client: Any, url: Any, *, provider: Provider, setting_names: SettingNames, **options: Any
) -> AsyncIterator[Any]:
    """Yield the replies of a collection; see `AsyncClient.pages`."""
    pages = _Pages(provider, setting_names)
    following = None
    while True:
        reply = await client.get(url, **options)
        # First: a page that repeats an earlier one is not yielded.
        following = pages.next_url(reply)
        yield reply
        if following is None:
            return
        url, options["params"] = _without_query(following)


def blocking_pages(
    client: Any, url: Any, *, provider: Provider, setting_names: SettingNames, **options: Any
) -> Iterator[Any]:
    """Yield the replies of a collection; see `Client.pages`."""
    pages = _Pages(provider, setting_names)
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

    def __init__(self, provider: Provider, setting_names: SettingNames) -> None:
        self._provider = provider
        self._setting_names = setting_names
        # In the form in which they are sent: other spellings of a query are equal.
        self._seen: set[Any] = set()
        self._is_first = True

    def next_url(self, reply: Any) -> Any:
        """Return the URL of the page after a reply; None after the last page.

        Raises:
            ApiError: The reply is an error.
            ConfigurationError: The reply lacks the cursor, or its cursor was there before; or no cursor is set, and the
                reply says that there are more pages.
        """
        with self._setting_names.rename_errors():
            following = self._next_url(reply)
        self._is_first = False
        return following

    def _next_url(self, reply: Any) -> Any:
        raise_for_status(reply, provider=self._provider)
        current = (reply.history[0] if reply.history else reply).request.url
        if reply.has_redirect_location:
            target = sanitize(reply.headers["Location"])
            raise ConfigurationError(
                f"url: the page {current.path} redirects to {target}; pass that URL, or set follow_redirects=True on "
                "the client",
                field="url",
            )
        self._seen.add(_without_query(current))
        try:
            link = next_target(", ".join(reply.headers.get_list("Link")))
        except ValueError:
            if self._provider.page_cursor_field is None:
                raise self._malformed_link(current) from None
            link = None
        try:
            following = self._by_cursor(reply, current) if link is None else reply.url.join(link)
        except either("InvalidURL"):
            following = _MISSING
        if following is _MISSING:
            raise ConfigurationError(
                f"provider.page_cursor_field: the URL of the page after {current.path} is malformed",
                field="provider.page_cursor_field",
            )
        if following is None:
            return None
        if (key := _without_query(following)) not in self._seen:
            # Noted now, since the client may send it as another URL.
            self._seen.add(key)
            return following
        cause = "the API ignores the cursor; check the parameter's name"
        if link is not None or self._provider.page_cursor_parameter is None:
            cause = "the API repeats itself"
        raise ConfigurationError(
            f"provider.page_cursor_parameter: the page after {current.path} was there before: {cause}",
            field="provider.page_cursor_parameter",
        )

    def _malformed_link(self, current: Any) -> ConfigurationError:
        return ConfigurationError(
            "provider.page_cursor_field: missing, and the Link header of the page "
            f"{current.path} is malformed: the URL of the next page must be in angle brackets, as in "
            '<URL>; rel="next" (RFC 8288); have the API corrected, or set the path of the member with the next cursor',
            field="provider.page_cursor_field",
        )

    def _by_cursor(self, reply: Any, current: Any) -> Any:
        name, parameter = self._provider.page_cursor_field, self._provider.page_cursor_parameter
        if name is None:
            # An API with `Link` headers may send none with its only page.
            if "Link" not in reply.headers and self._is_first:
                self._refuse_more(reply, current)
            return None
        value, problem = _member(reply, name.removesuffix(_OPTIONAL))
        # Later pages may lack it: the first has shown that its name is right.
        if value is _MISSING and problem and (name.endswith(_OPTIONAL) or not self._is_first):
            return None
        if value is _MISSING:
            raise ConfigurationError(
                f"provider.page_cursor_field: the page {current.path} {problem or 'is not JSON'}; set the path of the "
                f"member with the next cursor, with {_OPTIONAL} at its end if the only page may lack it",
                field="provider.page_cursor_field",
            )
        if value in (None, "", False):
            return None
        if parameter is not None:
            return current.copy_set_param(parameter, str(value))
        if not isinstance(value, str):
            raise ConfigurationError(
                f"provider.page_cursor_parameter: missing; {name} is a number and not a URL, so set the parameter that "
                "takes it",
                field="provider.page_cursor_parameter",
            )
        return current.join(value)

    def _refuse_more(self, reply: Any, current: Any) -> None:
        """Raise if a reply says that there are more pages, in a member that no setting names."""
        try:
            sign = _sign_of_more(reply.json())
        except ValueError:
            return
        if sign is None:
            return
        path, value = sanitize(sign[0]), sign[1]
        advice = f"set it to {path}"
        if isinstance(value, bool) or re.fullmatch(_COUNT, _plain(path)):
            advice = "set it to the member with the next cursor, or request the pages with client.get(..., params=...)"
        elif not (isinstance(value, str) and re.match(r"(https?:/)?/", value)):
            parameter = self._setting_names.in_advice("provider.page_cursor_parameter")
            advice += f", and {parameter} to the parameter that takes it"
        raise ConfigurationError(
            f"provider.page_cursor_field: missing, but {path} in the page {current.path} says that there are more, and "
            f"there is no Link header; {advice}",
            field="provider.page_cursor_field",
        )


def _sign_of_more(document: object, depth: int = _DEPTH) -> tuple[str, object] | None:
    """Return path and value of a member that says that there are more pages; cursors first."""
    members = dict(_members(document, depth))
    if any(value is False and re.fullmatch(_FLAG, _plain(path)) for path, value in members.items()):
        return None
    for pattern in (_CURSOR, _FLAG, _COUNT):
        for path, value in members.items():
            if not re.fullmatch(pattern, _plain(path)):
                continue
            is_number = isinstance(value, int) and not isinstance(value, bool)
            if pattern is _CURSOR and ((isinstance(value, str) and value) or (is_number and value)):
                return path, value
            if (pattern is _FLAG and value is True) or (pattern is _COUNT and is_number and int(str(value)) > 1):
                return path, value
    return None


def _members(document: object, depth: int) -> Iterator[tuple[str, object]]:
    if not isinstance(document, Mapping):
        return
    for name, value in document.items():
        yield name, value
        if depth > 1:
            yield from ((f"{name}.{below}", each) for below, each in _members(value, depth - 1))


def _plain(path: str) -> str:
    """Return the last name of a path, in lower case without separators; with `next` before it, as `next.href`."""
    above, _, name = path.lower().rpartition(".")
    if re.search(r"(^|\.)next$", above):
        name = f"next{name}"
    return re.sub(r"[^a-z]", "", name)


def _member(reply: Any, path: str) -> tuple[Any, str]:
    """Return the member at a path, or `_MISSING` and the reason; no reason if the body is not JSON."""
    try:
        value = reply.json()
    except ValueError:
        return _MISSING, ""
    rest = path
    while rest:
        # A name may have a point itself, as `@odata.nextLink`.
        name = rest if isinstance(value, Mapping) and rest in value else rest.partition(".")[0]
        if not isinstance(value, Mapping) or name not in value:
            others = ", ".join(value) if isinstance(value, Mapping) else ""
            return _MISSING, f"has no {path}; the members there are: {sanitize(others) or 'none'}"
        value, rest = value[name], rest[len(name) + 1 :]
    if value is True or (value is not None and not isinstance(value, str | int)):
        raise ConfigurationError(
            f"provider.page_cursor_field: {path} must be a string or a number, not {type(value).__name__}",
            field="provider.page_cursor_field",
        )
    return value, ""


def _without_query(url: Any) -> tuple[Any, Any]:
    # httpx replaces the query of a URL if the client has parameters of its own.
    return url.copy_with(query=None), url.params

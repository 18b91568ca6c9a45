"""Exceptions of other libraries, freed of the secrets in their requests and frames."""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from typing import Any

from seic._httpx import either, httpx_of
from seic._model.secret import HIDDEN


def free_of_secrets(
    error: Exception, secrets: Collection[str], *, handled: BaseException | None = None
) -> Exception | None:
    """Remove requests and frames from an exception of another library and its causes, in place, and return it.

    A `RequestError` of httpx has the request, and the frames of the libraries have the raw headers and form, which
    crash reporters and pickles would record. If the message itself contains a secret, because the server echoed it, the
    result is a new exception of the same class without a message, or None if the class is not of httpx.

    The exception `handled` by the caller when the call began, and its causes, are not changed: Python chains it to
    errors of the call.
    """
    seen = {id(handled)}
    queue: list[Any] = [error]
    fit = True
    while queue:
        link = queue.pop()
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        link.__traceback__ = None
        fit = fit and not any(secret in str(link) for secret in secrets)
        if isinstance(link, either("RequestError")):
            with contextlib.suppress(RuntimeError):  # it never had a request
                link.request = bare_request(link.request)
        queue += [link.__cause__, link.__context__]
    if fit:
        return error
    # Its kind says whether the request went out, and a secret of one letter must not hide that.
    is_wordless = isinstance(error, either("TransportError")) and type(error).__module__ in ("httpx", "httpx2")
    return type(error)(HIDDEN) if is_wordless else None


def bare_request(request: Any) -> Any:
    """Return a request with the method and URL only: headers and query contain secrets."""
    return httpx_of(type(request)).Request(request.method, request.url.copy_with(query=None))

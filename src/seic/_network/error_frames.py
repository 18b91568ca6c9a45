"""Exceptions of other libraries, freed of the secrets in their requests and frames."""

from __future__ import annotations

import contextlib
from collections.abc import Collection

import httpx

from seic._model.secret import HIDDEN


def free_of_secrets(
    error: Exception, secrets: Collection[str], *, handled: BaseException | None = None
) -> Exception | None:
    """Strip a foreign exception and its causes of requests and frames, in place, and return it.

    An `httpx.RequestError` holds the request, and the frames of the libraries hold the raw headers and form: crash
    reporters and pickles would take them along. One whose very words hold a secret, since the server echoed what it was
    sent, cannot be kept: then it is one of the same kind without words, or None where the kind is not httpx's own.

    What was `handled` when the call began is the caller's own, and what it came from: Python chains it to what the call
    raises, and it is left as it is.
    """
    seen = {id(handled)}
    queue: list[BaseException | None] = [error]
    fit = True
    while queue:
        link = queue.pop()
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        link.__traceback__ = None
        fit = fit and not any(secret in str(link) for secret in secrets)
        if isinstance(link, httpx.RequestError):
            with contextlib.suppress(RuntimeError):  # it never had a request
                link.request = httpx.Request(link.request.method, link.request.url.copy_with(query=None))
        queue += [link.__cause__, link.__context__]
    if fit:
        return error
    # Its kind says whether the request went out, and a secret of one letter must not hide that.
    is_wordless = isinstance(error, httpx.TransportError) and type(error).__module__ == "httpx"
    return type(error)(HIDDEN) if is_wordless else None

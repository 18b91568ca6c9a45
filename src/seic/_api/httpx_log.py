"""Keeps httpx and httpx2 from logging the requests that seic logs itself.

Their line has the query, which may contain secrets, and no tracking id. Other requests are logged as before.
"""

from __future__ import annotations

import contextvars
import logging
from typing import Any

#: The logger of one line for each response.
LOGGER = logging.getLogger("seic.api")
#: Whether the current task or thread sends a request of an auth of seic.
IN_REQUEST: contextvars.ContextVar[bool] = contextvars.ContextVar("seic_in_request", default=False)


def _filter(record: logging.LogRecord) -> bool:
    if not IN_REQUEST.get() or record.levelno != logging.INFO:
        return True
    if LOGGER.isEnabledFor(logging.INFO):
        return False
    if isinstance(record.args, tuple):
        record.args = tuple(map(_without_query, record.args))
    return True


def _without_query(value: Any) -> Any:
    return value.copy_with(query=None, fragment=None) if hasattr(value, "copy_with") else value


for _name in ("httpx", "httpx2"):
    logging.getLogger(_name).addFilter(_filter)

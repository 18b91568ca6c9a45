"""The version, and the `User-Agent` that names it."""

from __future__ import annotations

from typing import Any

import httpx

#: pyproject.toml repeats it; a test compares the two.
__version__ = "0.1.0"

#: The beginning of the values that httpx and httpx2 send if the user named none.
HTTPX_USER_AGENT = "python-httpx"


def user_agent(module: Any = httpx) -> str:
    """Return the value of requests of httpx or httpx2 whose sender the user did not name.

    Firewalls answer 403 to requests without one.
    """
    return f"seic/{__version__} python-{module.__name__}/{module.__version__}"

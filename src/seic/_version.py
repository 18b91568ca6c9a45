"""The version, and the `User-Agent` that names it."""

from __future__ import annotations

import httpx

#: pyproject.toml repeats it; a test compares the two.
__version__ = "0.1.0"

#: The value of requests whose sender the user did not name. Firewalls answer 403 to requests without one.
USER_AGENT = f"seic/{__version__} python-httpx/{httpx.__version__}"
#: The beginning of the values that httpx and httpx2 send if the user named none.
HTTPX_USER_AGENT = "python-httpx"

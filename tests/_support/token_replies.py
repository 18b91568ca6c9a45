"""A reply of the gateway's token endpoint, as the protocol's functions take it."""

from __future__ import annotations

import json
from typing import Any

import httpx

from seic import SEI_GATEWAY
from seic._oauth.reply import Reply


def reply_of(body: object, *, status: int = 200, headers: Any = None, **changes: Any) -> Reply:
    """Return a reply of the gateway; a body other than bytes is encoded as JSON."""
    settings = {
        "host": "api.example",
        "url": "https://api.example/v2/oauthtoken",
        "now": 1_001.0,
        "secrets": ("hunter2",),
        "provider": SEI_GATEWAY,
        **changes,
    }
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(status=status, headers=httpx.Headers(headers or {}), body=content, **settings)

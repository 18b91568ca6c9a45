"""A reply of the gateway's token endpoint, and any other, parsed."""

from __future__ import annotations

import json
from typing import Any

import httpx

from seic._model.token import Token
from seic._oauth.messages import parse_token_reply
from seic._oauth.providers import SEI_GATEWAY
from seic._oauth.reply import Reply

GATEWAY_REPLY = {
    "refresh_token_expires_in": "0",
    "api_product_list": "[Investors]",
    "api_product_list_json": ["Investors"],
    "organization_name": "sei",
    "developer.email": "jdoe@seic.com",
    "token_type": "BearerToken",
    "issued_at": "1529525648451",
    "client_id": "ADsgdnnkjnfdIKJN",
    "access_token": "QxHKdx0nk2i",
    "application_name": "21c2fcd4-03ed-48815cf168",
    "scope": "",
    "expires_in": "3599",
    "refresh_count": "0",
    "status": "approved",
}


def reply_of(body: object, *, status: int = 200, headers: Any = None, **changes: Any) -> Reply:
    """Return a reply of the gateway; a body that is not bytes is sent as JSON."""
    settings = {"host": "api.example", "now": 1_001.0, "secrets": ("hunter2",), "provider": SEI_GATEWAY, **changes}
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(status=status, headers=httpx.Headers(headers or {}), body=content, **settings)


def parse(body: bytes | dict[str, Any], *, status: int = 200, headers: dict[str, str] | None = None) -> Token:
    """Parse a reply of the gateway."""
    return parse_token_reply(reply_of(body, status=status, headers=headers), obtained_at=1_000.0)

"""The control's JSON about requests, tokens and the state.

Values of a request that may be secret are not in it: the sandbox may get a secret that is not its own by mistake.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
from aiohttp import hdrs

from seic.sandbox._certificates import common_name_of
from seic.sandbox._control.fault_actions import describe_faults
from seic.sandbox._dialects.sei_gateway import APP_KEY
from seic.sandbox._sandbox import Sandbox
from seic.sandbox._server.received import ReceivedRequest

_SHOWN_HEADERS = (hdrs.ACCEPT, hdrs.CONTENT_LENGTH, hdrs.CONTENT_TYPE, hdrs.RANGE, hdrs.USER_AGENT)


def describe_request(request: ReceivedRequest) -> dict[str, Any]:
    """Return a request without its query, body and secret headers."""
    return {
        "number": request.number,
        "kind": request.kind,
        "host": request.host,
        "method": request.method,
        "path": request.path,
        "received_at": request.received_at,
        "status": request.status,
        "fault": request.fault,
        "common_name": request.common_name,
        "thumbprint": request.thumbprint,
        "headers": {name: request.headers[name] for name in _SHOWN_HEADERS if name in request.headers},
        "has_token": hdrs.AUTHORIZATION in request.headers,
        "has_app_key": APP_KEY in request.headers,
        "body_length": len(request.body),
    }


def describe_state(sandbox: Sandbox) -> dict[str, Any]:
    """Return the faults, tokens and certificates of a sandbox."""
    return {
        **describe_faults(sandbox),
        "api_url": sandbox.api_url,
        "mtls_url": sandbox.mtls_url,
        "tokens": [attrs.asdict(token) for token in sandbox.active_tokens],
        "certificates": [
            {"common_name": common_name_of(each.certificate), "thumbprint": each.thumbprint}
            for each in sandbox.issued_certificates
        ],
    }


def issue_token(sandbox: Sandbox, fields: Mapping[str, Any]) -> dict[str, str]:
    """Return a token as in `Sandbox.issue`, for the fields `claims`, `cnf` and `issuer`.

    Raises:
        ValueError: A field is unknown, or has another type.
    """
    kinds: dict[str, tuple[type, ...]] = {"claims": (dict,), "cnf": (bool, dict), "issuer": (str,)}
    for name, value in fields.items():
        if not isinstance(value, kinds.get(name, ())):
            raise ValueError(f"{name}: unknown, or of another type")  # noqa: TRY004 - one kind for all mistakes
    claims, cnf, issuer = fields.get("claims", {}), fields.get("cnf", False), fields.get("issuer", "")
    return {"access_token": sandbox.issue(claims, cnf=cnf, issuer=issuer), "token_type": "Bearer"}

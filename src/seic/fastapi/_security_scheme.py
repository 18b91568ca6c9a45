"""Security schemes in FastAPI's OpenAPI document, and the scopes of `Security(..., scopes=[...])`.

With Starlette alone, the classes have no effect.
"""

from collections.abc import Collection
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException

if TYPE_CHECKING:
    from fastapi.security import SecurityScopes

    class SecurityScheme:
        """A dependency that FastAPI's OpenAPI document shows as a security scheme."""

        scheme_name: str
        model: Any

else:
    try:
        from fastapi.security import SecurityScopes
        from fastapi.security.base import SecurityBase as SecurityScheme
    except ModuleNotFoundError:

        class SecurityScheme: ...

        class SecurityScopes:
            def __init__(self, scopes: list[str] | None = None) -> None:
                self.scopes = scopes or []


__all__ = ["NO_SCOPES", "SecurityScheme", "SecurityScopes", "bearer_model", "cookie_model", "require_scopes"]

#: The default of dependencies, for calls without FastAPI.
NO_SCOPES = SecurityScopes()


def bearer_model() -> Any:
    """Return the OpenAPI model of a JWT in the `Authorization` header; None without FastAPI."""
    try:
        from fastapi.openapi.models import HTTPBearer
    except ModuleNotFoundError:
        return None
    return HTTPBearer(bearerFormat="JWT")


def cookie_model(name: str) -> Any:
    """Return the OpenAPI model of a cookie; None without FastAPI."""
    try:
        from fastapi.openapi.models import APIKey
    except ModuleNotFoundError:
        return None
    return APIKey.model_validate({"in": "cookie", "name": name})


def require_scopes(required: Collection[str], granted: Collection[str], *, scheme: str) -> None:
    """Raise a 403 unless every required scope is granted (RFC 6750 §3.1).

    Args:
        required: The scopes of the handler.
        granted: The scopes of the token.
        scheme: The start of the challenge: the authentication scheme, with a realm or without.

    Raises:
        HTTPException: A scope is missing.
    """
    if not set(required) <= set(granted):
        separator = ", " if "=" in scheme else " "
        challenge = f'{scheme}{separator}error="insufficient_scope", scope="{" ".join(dict.fromkeys(required))}"'
        raise HTTPException(HTTPStatus.FORBIDDEN, headers={"WWW-Authenticate": challenge})

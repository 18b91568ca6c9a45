"""The door for FastAPI and Starlette: clients that live as long as the application, and answers for errors.

Starlette alone will do, but for the `Annotated` aliases. Two rooms need an extra of their own, imported by name:
`seic.fastapi.settings` (pydantic-settings) and `seic.fastapi.bearer` (joserfc).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

try:
    import starlette as _starlette  # noqa: F401  # here its absence is explained
except ModuleNotFoundError as error:
    raise ImportError('seic.fastapi needs fastapi or starlette: run pip install "seic[fastapi]"') from error

from seic._client import AsyncClient
from seic.fastapi.clients import Clients, client_named, clients_of, get_client, lifespan
from seic.fastapi.logins import Logins, User
from seic.fastapi.pockets import Pocket, SessionPocket
from seic.fastapi.problems import Problem, add_exception_handlers, problem_of
from seic.fastapi.readiness import readiness_route
from seic.fastapi.sessions import UserLogin

__all__ = [
    # Clients
    "lifespan",
    "SeicClient",
    "get_client",
    "client_named",
    "Clients",
    "clients_of",
    # People who log in
    "Logins",
    "UserLogin",
    "User",
    "Pocket",
    "SessionPocket",
    # Errors
    "add_exception_handlers",
    "Problem",
    "problem_of",
    # Readiness
    "readiness_route",
]

if TYPE_CHECKING:
    from fastapi import Depends

    #: The application's client, as a parameter of a handler or a dependency.
    SeicClient = Annotated[AsyncClient, Depends(get_client)]
else:
    try:
        from fastapi import Depends
    except ModuleNotFoundError:
        __all__.remove("SeicClient")  # noqa: PYI056  # a type checker sees the other branch

        def __getattr__(name: str) -> Any:
            if name == "SeicClient":
                raise ImportError('SeicClient needs fastapi: run pip install "seic[fastapi]"')
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    else:
        SeicClient = Annotated[AsyncClient, Depends(get_client)]

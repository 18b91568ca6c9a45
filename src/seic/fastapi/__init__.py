"""FastAPI and Starlette: clients, errors, readiness, logins, incoming tokens and settings.

Starlette alone is enough for all but `SeicClient`. `BearerTokens` and `Claims` need the extra `jose`, `SeicSettings`
needs the extra `settings`. Both extras are loaded on first use.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

try:
    import starlette as _starlette  # noqa: F401  # to name the command that installs it
except ModuleNotFoundError as _missing:
    raise ImportError('seic.fastapi needs fastapi or starlette: run pip install "seic[fastapi]"') from _missing

# The modules use the public face of `seic`. Of its inside they use background tasks and threads (`_portal`,
# `_concurrency`), the fan-out of events (`_listeners`), the identity that all users share (`_identity`), the transport
# of the key set (`_network`, `_tokens`), strict JSON and codes of errors (`_oauth`), and the types of options
# (`_options`).
from seic._public import publish as _publish
from seic.fastapi._app_state import Clients
from seic.fastapi._clients import client_named, clients_of, get_client, lifespan
from seic.fastapi._forwarded_certificate import (
    ClientCertHeader,
    EnvoyHeader,
    ForwardedCertificate,
    MalformedCertificate,
    NginxHeader,
)
from seic.fastapi._login_dependencies import User
from seic.fastapi._login_state import LoginStateStorage, SessionStateStorage
from seic.fastapi._logins import Logins
from seic.fastapi._problems import Problem, add_exception_handlers, problem_of
from seic.fastapi._readiness import readiness_route
from seic.fastapi._sessions import UserLogin

__all__ = [
    # Clients
    "lifespan",
    "SeicClient",
    "get_client",
    "client_named",
    "Clients",
    "clients_of",
    "SeicSettings",
    # Errors
    "add_exception_handlers",
    "Problem",
    "problem_of",
    # Readiness
    "readiness_route",
    # Login
    "Logins",
    "UserLogin",
    "User",
    "LoginStateStorage",
    "SessionStateStorage",
    # Incoming tokens
    "BearerTokens",
    "Claims",
    "ForwardedCertificate",
    "ClientCertHeader",
    "NginxHeader",
    "EnvoyHeader",
    "MalformedCertificate",
]

if TYPE_CHECKING:
    from seic.fastapi._bearer import BearerTokens, Claims
    from seic.fastapi._seic_client import SeicClient
    from seic.fastapi._seic_settings import SeicSettings
else:
    #: By name: the package it needs, the extra that installs that, the module that defines it.
    _LAZY = {
        "SeicClient": ("fastapi", "fastapi", "_seic_client"),
        "SeicSettings": ("pydantic_settings", "settings", "_seic_settings"),
        "BearerTokens": ("joserfc", "jose", "_bearer"),
        "Claims": ("joserfc", "jose", "_bearer"),
    }
    # `from seic.fastapi import *` takes what is installed.
    __all__ = [name for name in __all__ if name not in _LAZY or importlib.util.find_spec(_LAZY[name][0])]
    _publish(__name__, [name for name in __all__ if name not in _LAZY], globals())

    def __getattr__(name: str) -> Any:
        if name not in _LAZY:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        package, extra, module = _LAZY[name]
        if importlib.util.find_spec(package) is None:
            installed = package.replace("_", "-")
            raise ImportError(f'seic.fastapi.{name} needs {installed}: run pip install "seic[{extra}]"')
        value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
        globals()[name] = value
        _publish(__name__, [name], globals())
        return value

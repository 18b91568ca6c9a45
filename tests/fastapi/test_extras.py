"""Imports without the extras: messages name the command that installs them."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import pytest

import seic.fastapi
from tests._support.documents import ROOT


def run(script: str) -> str:
    """Run a script in a fresh Python and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("missing", "statement", "told"),
    [
        pytest.param(
            "starlette",
            "import seic.fastapi",
            'seic.fastapi needs fastapi or starlette: run pip install "seic[fastapi]"',
            id="no Starlette",
        ),
        pytest.param(
            "fastapi",
            "from seic.fastapi import SeicClient",
            'seic.fastapi.SeicClient needs fastapi: run pip install "seic[fastapi]"',
            id="Starlette alone",
        ),
        pytest.param(
            "fastapi",
            "from seic.fastapi import Logins; Logins.router.fget(object.__new__(Logins))",
            'Logins.router needs fastapi: run pip install "seic[fastapi]"; with Starlette, use Logins.routes',
            id="Starlette alone, router",
        ),
        pytest.param(
            "pydantic_settings",
            "from seic.fastapi import SeicSettings",
            'seic.fastapi.SeicSettings needs pydantic-settings: run pip install "seic[settings]"',
            id="no pydantic-settings",
        ),
        pytest.param(
            "joserfc",
            "from seic.fastapi import BearerTokens",
            'seic.fastapi.BearerTokens needs joserfc: run pip install "seic[jose]"',
            id="no joserfc",
        ),
    ],
)
def test_a_missing_extra_names_the_command(missing: str, statement: str, told: str) -> None:
    """The message names the command."""
    script = f"import sys; sys.modules['{missing}'] = None\ntry:\n {statement}\nexcept ImportError as e: print(e)"

    assert run(script) == told


def test_starlette_without_fastapi_has_all_but_the_alias() -> None:
    """Lifespan, error handlers, readiness, logins and incoming tokens need no FastAPI."""
    names = "lifespan, clients_of, add_exception_handlers, readiness_route, Logins, UserLogin"
    script = (
        "import sys; sys.modules['fastapi'] = None\n"
        f"from seic.fastapi import {names}\nfrom seic.fastapi import BearerTokens\nprint('there')"
    )

    assert run(script) == "there"


_WITHOUT_FASTAPI = """
import sys
sys.modules["fastapi"] = None
from cryptography.fernet import Fernet
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from seic.fastapi import Logins, add_exception_handlers, clients_of, lifespan, readiness_route
from seic.fastapi import BearerTokens
from tests._support.mocks import gateway_mock
from tests._support.platform_mock import CALLBACK, PlatformMock

gateway, platform = gateway_mock(), PlatformMock()
logins = Logins(platform.config(), callback_url=CALLBACK, key=Fernet.generate_key(), transport=platform)
bearer = BearerTokens(issuer="https://idp.example", audience="a", jwks_url="https://idp.example/jwks")

async def own(request):
    return JSONResponse((await clients_of(request)["default"].get("/v1/accounts")).status_code)

async def me(request):
    return JSONResponse((await (await logins.client(request)).get("/v1/me")).json()["email"])

async def mine(request):
    return JSONResponse((await bearer(request)).subject)

routes = [*logins.routes, readiness_route(), Route("/own", own), Route("/me", me), Route("/mine", mine)]
run = lifespan(gateway.config(), also=logins.lifespan, transport=gateway)
app = Starlette(routes=routes, lifespan=run)
add_exception_handlers(app)
page = {"Accept": "text/html"}
with TestClient(app, base_url="https://app.example", headers=page, follow_redirects=False) as browser:
    browser.get(platform.log_in(browser.get("/login").headers["Location"]))
    print(browser.get("/own").json(), browser.get("/me").json(), browser.get("/ready").status_code,
          browser.get("/mine").status_code, browser.post("/logout").status_code, browser.get("/me").status_code)
"""


def test_starlette_without_fastapi_works() -> None:
    """A request, a login, readiness, a bearer token and a logout in a process without FastAPI."""
    assert run(_WITHOUT_FASTAPI) == "200 ada@example.com 200 401 303 303"


@pytest.mark.parametrize(("missing", "aliased"), [("fastapi", "False"), ("nothing", "True")])
def test_import_star_works(missing: str, aliased: str) -> None:
    """With Starlette alone only the alias is missing."""
    script = (
        f"import sys; sys.modules['{missing}'] = None\n"
        "from seic.fastapi import *\nfrom seic.fastapi import __all__\nprint('SeicClient' in __all__)"
    )

    assert run(script) == aliased


def test_an_unknown_name_is_an_attribute_error() -> None:
    """`hasattr` works as for any module."""
    script = "import sys; sys.modules['fastapi'] = None\nimport seic.fastapi\nprint(hasattr(seic.fastapi, 'Nothing'))"

    assert run(script) == "False"


def test_the_core_imports_no_framework() -> None:
    """`import seic` loads no web framework."""
    script = "import sys, seic; print({'starlette', 'fastapi', 'pydantic'} & set(sys.modules))"

    assert run(script) == "set()"


def test_public_names_are_of_the_package() -> None:
    """Tracebacks, `help` and pickles show the name that users import."""
    assert {getattr(seic.fastapi, name).__module__ for name in seic.fastapi.__all__} == {"seic.fastapi"}


def test_all_modules_are_private() -> None:
    """Users import from `seic.fastapi` only."""
    modules = [module.name for module in pkgutil.iter_modules(seic.fastapi.__path__)]

    assert modules
    assert all(name.startswith("_") for name in modules)

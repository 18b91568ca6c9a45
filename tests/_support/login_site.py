"""An application with logins, and the cookies of its browsers."""

from __future__ import annotations

import http.cookies
from collections.abc import Iterable
from typing import Any

import httpx
from cryptography.fernet import Fernet
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware

import seic
from seic.fastapi import Logins, User, add_exception_handlers, lifespan
from tests._support.platform_mock import CALLBACK, PlatformMock

KEY = Fernet.generate_key()
PAGE = {"Accept": "text/html"}
SESSION = "__Host-seic-session"


class Site:
    """A process of an application with logins, and as many browsers as a test needs."""

    def __init__(self, platform: PlatformMock, **options: Any) -> None:
        self.platform = platform
        self.logins = Logins(
            platform.config(),
            **{
                "callback_url": CALLBACK,
                "key": KEY,
                "transport": platform,
                "clock": platform.clock.clock,
                **options,
            },
        )
        self.app = FastAPI(
            lifespan=lifespan(platform.config(), also=self.logins.lifespan, transport=platform),
            middleware=[Middleware(SessionMiddleware, secret_key="x", https_only=True)],
        )
        self.app.include_router(self.logins.router)
        add_exception_handlers(self.app)

        async def me(client: seic.AsyncClient = Depends(self.logins.client)) -> Any:  # noqa: B008
            return (await client.get("/v1/me")).json()["email"]

        async def who(user: User = Depends(self.logins.user)) -> Any:  # noqa: B008
            return {"id": user.id, "name": user.name}

        self.app.get("/me")(me)
        self.app.post("/me")(me)
        self.app.get("/who")(who)

    def browser(self) -> TestClient:
        """Return a browser with its own cookies that does not follow redirects."""
        browser = TestClient(self.app, base_url="https://app.example", headers=PAGE, follow_redirects=False)
        browser.portal = self._entered.portal
        return browser

    def __enter__(self) -> TestClient:
        self._entered = TestClient(self.app, base_url="https://app.example", headers=PAGE, follow_redirects=False)
        return self._entered.__enter__()

    def __exit__(self, *exc_info: object) -> None:
        self._entered.__exit__(*exc_info)

    def log_in(self, browser: TestClient, path: str = "/login", *, email: str = "ada@example.com") -> httpx.Response:
        """Log a user in, and return the response of the callback."""
        callback = self.platform.log_in(browser.get(path).headers["Location"], username=email)
        return browser.get(callback)  # type: ignore[return-value]  # the test client's own httpx


def login_cookie(names: Iterable[str], name: str = "seic") -> str:
    """Return the name of the cookie of the only login in progress."""
    (found,) = (each for each in names if each.startswith(f"__Host-{name}-login-"))
    return found


def plant(browser: TestClient, cookies: dict[str, str]) -> None:
    """Put cookies into a browser; they replace those of the same name."""
    for name, value in cookies.items():
        browser.cookies.set(name, value, domain="app.example")


def cookies_of(reply: Any) -> dict[str, http.cookies.Morsel[str]]:
    """Return the cookies that a response sets, with their attributes."""
    jar: dict[str, http.cookies.Morsel[str]] = {}
    for value in reply.headers.get_list("set-cookie"):
        jar.update(http.cookies.SimpleCookie(value))
    return jar

"""A service at SEI: calls with its own account over mutual TLS, people who log in at the platform, a readiness page.

    uvicorn app:app --workers 4 --uds /run/app.sock --timeout-graceful-shutdown 30

Settings: `SEIC_*` as everywhere; `APP_URL`, where people reach it; `APP_KEY`, what seals cookies and stored tokens;
`APP_TOKENS`, a folder that all workers see; `APP_LOG_LEVEL`.
"""

from __future__ import annotations

import logging
import os
from html import escape
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Response
from fastapi.responses import HTMLResponse

import seic
from seic.fastapi import Logins, SeicClient, User, UserLogin, add_exception_handlers, lifespan, readiness_route
from store import SealedFolder

logging.basicConfig(level=os.environ.get("APP_LOG_LEVEL", "INFO"))

# The service itself: its account at the gateway, and the certificate that moves it to the mutual-TLS host.
service = seic.Config.from_env()

# People: no certificate and no account of ours, but a login, and a token for each of them.
people = seic.Config.from_env(
    provider=seic.SEI_PLATFORM,
    grant=UserLogin(),
    certificate=None,
    store=SealedFolder(os.environ["APP_TOKENS"], key=os.environ["APP_KEY"]),
)
url = os.environ["APP_URL"]
logins = Logins(
    people,
    callback_url=f"{url}/login/callback",
    key=os.environ["APP_KEY"],
    secure=not url.startswith("http://localhost:"),  # plain http is for one's own machine alone
)

app = FastAPI(lifespan=lifespan(service, also=logins.lifespan))
app.include_router(logins.router)
app.routes.append(readiness_route("/ready"))
add_exception_handlers(app)


# What one person sees is kept by no cache, and is not there for whoever presses "back" after the logout.
PERSONAL = {"Cache-Control": "no-store"}


@app.get("/accounts")
async def accounts(client: SeicClient) -> Any:
    """Call the gateway as the service."""
    return (await client.get("/v1/investments/accounts")).json()


@app.get("/")
async def home(user: Annotated[User, Depends(logins.user)]) -> HTMLResponse:
    """Greet whoever is logged in; others are sent to log in."""
    return HTMLResponse(
        f"<!doctype html><title>Home</title><h1>Hello {escape(user.name or '')}</h1>"
        "<p><a href='/me'>What the platform knows</a></p>"
        "<form method='post' action='/logout'><button id='logout'>Log out</button></form>",
        headers=PERSONAL,
    )


@app.get("/me")
async def me(client: Annotated[seic.AsyncClient, Depends(logins.client)], response: Response) -> dict[str, str | None]:
    """Call the platform as whoever is logged in."""
    response.headers.update(PERSONAL)
    info = await client.token_info()
    return {"email": info.username, "status": info.status}

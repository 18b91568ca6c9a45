"""A service at SEI: requests with its own account over mutual TLS, user logins at the platform, a readiness page.

    uvicorn app:app --workers 4 --uds /run/app.sock --timeout-graceful-shutdown 30

Settings: `SEIC_*`; `APP_URL`, the public address; `APP_KEY`, a Fernet key that encrypts cookies and stored tokens;
`APP_TOKENS`, a folder that all worker processes share; `APP_LOG_LEVEL`.
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

logging.basicConfig(level=os.environ.get("APP_LOG_LEVEL", "INFO"))

# The service: its account at the gateway, and the certificate that selects the mutual-TLS host.
service = seic.Config.from_env()

# The users: a login and a token for each of them, without the service's certificate and account.
users = seic.Config.from_env(
    provider=seic.SEI_PLATFORM,
    grant=UserLogin(),
    certificate=None,
    store=seic.FileStore(os.environ["APP_TOKENS"], key=os.environ["APP_KEY"]),
)
url = os.environ["APP_URL"]
logins = Logins(
    users,
    callback_url=f"{url}/login/callback",
    key=os.environ["APP_KEY"],
    secure=not url.startswith("http://localhost:"),  # plain http is for the developer's machine only
)

app = FastAPI(lifespan=lifespan(service, also=logins.lifespan, retry=seic.Retry()))
app.include_router(logins.router)
app.routes.append(readiness_route("/ready"))
add_exception_handlers(app)


# Pages of a user are not cached, so the browser's back button does not show them after a logout.
PERSONAL = {"Cache-Control": "no-store"}


@app.get("/accounts")
async def accounts(client: SeicClient) -> Any:
    """Call the gateway as the service."""
    reply = await client.get("/v1/investments/accounts")
    seic.raise_for_status(reply)
    return reply.json()


@app.get("/")
async def home(user: Annotated[User, Depends(logins.user)]) -> HTMLResponse:
    """Greet the logged-in user; others are redirected to the login."""
    return HTMLResponse(
        f"<!doctype html><title>Home</title><h1>Hello {escape(user.name or '')}</h1>"
        "<p><a href='/me'>Your account</a></p>"
        "<form method='post' action='/logout'><button id='logout'>Log out</button></form>",
        headers=PERSONAL,
    )


@app.get("/me")
async def me(client: Annotated[seic.AsyncClient, Depends(logins.client)], response: Response) -> dict[str, str | None]:
    """Call the platform as the logged-in user."""
    response.headers.update(PERSONAL)
    info = await client.token_info()
    return {"email": info.username, "status": info.status}

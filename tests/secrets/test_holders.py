"""Values with secrets: their repr and pickle contain none."""

from __future__ import annotations

import copy
import pickle

import seic
from seic import MemoryStore
from seic._tokens.refresh_policy import CachedToken, RefreshPolicy
from tests._support.sandbox_client import ECHO_PATH
from tests._support.secret_runs import Run


async def _holders(run: Run) -> dict[str, object]:
    config = run.config(store=MemoryStore())
    client = seic.AsyncClient(config)
    token = await client.token()
    blocking = seic.Client(config)
    auth = seic.OAuth2Auth(config)
    reply = await client.get(ECHO_PATH)
    await client.aclose()
    blocking.close()
    request = auth._source.endpoint.build(auth._source.endpoint.grant)
    return {
        "config": config,
        "grant": config.grant,
        "certificate": config.certificate,
        "store": config.store,
        "token": token,
        "client": client,
        "blocking client": blocking,
        "auth": auth,
        "source": auth._source,
        "endpoint": auth._source.endpoint,
        "held": CachedToken(token, now=0, wall=0, policy=RefreshPolicy(), idle_lifetime=None),
        "transport": seic.AsyncTransport(config),
        "reply": reply,
        "the reply's request": reply.request,
        "the request's headers": reply.request.headers.raw,
        "a token request": request,
        "a token request's headers": request.headers.raw,
    }


async def test_what_holds_a_secret_does_not_show_it(run: Run) -> None:
    """Printing, formatting, copying and reports with local variables are safe."""
    for name, holder in (await _holders(run)).items():
        for text in (
            repr(holder),
            str(holder),
            f"{holder}",
            repr([holder]),
            repr({"x": holder}),
            repr(copy.copy(holder)),
        ):
            assert run.planted.find(text) == [], name


async def test_what_holds_a_secret_is_not_pickled_with_it(run: Run) -> None:
    """Pickling fails, or leaves the secret out, as for a cached response."""
    for name, holder in (await _holders(run)).items():
        if name == "a token request":
            continue  # it contains the form, and is used inside the endpoint only
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            left: str | bytes
            try:
                left = pickle.dumps(holder, protocol)
            except (TypeError, AttributeError, pickle.PicklingError) as refusal:
                left = str(refusal)
            assert run.planted.find(left) == [], name

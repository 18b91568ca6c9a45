"""A hostile provider echoes each secret in each field: no log, event, error or span contains it."""

from __future__ import annotations

import base64
import contextlib
import json
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

import seic
from tests._support.observatory import Observatory
from tests._support.planted import Planted, all_logs

SECRETS = {
    "client secret": "AppSecret-of-the-client",
    "password": "password-of-the-account",
    "Basic credentials": base64.b64encode(b"AppKey-1:AppSecret-of-the-client").decode(),
    "access token": "access-token-of-the-reply",
    "refresh token": "refresh-token-of-the-reply",
}
_HEADER = "requesttrackingid"

#: A string with all secrets, and only characters that an id can have.
ALL = ":".join(SECRETS.values())


class Hostile:
    """A provider that builds its responses from the requests."""

    def __init__(self) -> None:
        #: Members and headers of its token replies.
        self.members: dict[str, Any] = {}
        self.headers: dict[str, str] = {}
        #: Its response instead of a token, if set.
        self.error: Callable[[], httpx.Response] | None = None
        #: The response of the API.
        self.api: Callable[[], httpx.Response] = lambda: httpx.Response(200)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer a request."""
        if request.url.path != "/v2/oauthtoken":
            return self.api()
        if self.error is not None:
            return self.error()
        token = {
            "access_token": SECRETS["access token"],
            "refresh_token": SECRETS["refresh token"],
            "token_type": "BearerToken",
            "expires_in": "3599",
        }
        return httpx.Response(200, json={**token, **self.members}, headers=self.headers)

    async def meet(self, path: str = "/v1/accounts") -> list[str]:
        """Request a token and call the API; return the names of all secrets in the output."""
        planted = Planted()
        for name, secret in SECRETS.items():
            planted.add(name, secret)
        config = seic.Config(
            provider=seic.SEI_GATEWAY,
            client_id="AppKey-1",
            client_secret=SECRETS["client secret"],
            grant=seic.ClientCredentials(username="svc-user", password=SECRETS["password"]),
        )
        found: list[str] = []
        told: list[seic.events.Event] = []
        with observed() as seen, seic_logs() as logs:
            client = seic.AsyncClient(
                config, transport=httpx.MockTransport(self), on_event=told.append, retry=seic.Retry(attempts=2)
            )
            async with client:
                seen.instrument(client)
                with seen.tracer.start_as_current_span("app"):
                    for step in (client.token, lambda: client.get(path), client.token_info, client.revoke):
                        try:
                            result = await step()
                            if isinstance(result, httpx.Response):
                                seic.raise_for_status(result)
                        except seic.SeicError as error:
                            found += planted.find_in_error(error)
                            found += planted.find(pickle.dumps(error))
                        else:
                            found += planted.find(repr(result))
            texts = [*map(repr, told), *(span.to_json() for span in seen.spans)]
            texts += [repr(metric) for metric in seen.metrics]
        assert told
        assert logs
        texts += logs
        for text in texts:
            found += planted.find(text)
        return sorted(set(found))


@contextlib.contextmanager
def observed() -> Iterator[Observatory]:
    """Export to memory."""
    observatory = Observatory()
    yield observatory
    observatory.close()


@contextlib.contextmanager
def seic_logs() -> Iterator[list[str]]:
    """Collect seic's logs at DEBUG; httpx logs a server's reason phrase with its own logger."""
    with all_logs() as everything:
        texts: list[str] = []
        emit = everything.emit

        def filtered(record: Any) -> None:
            if record.name.startswith("seic"):
                emit(record)

        everything.emit = filtered  # type: ignore[method-assign]
        yield texts
        texts += everything.text


@pytest.mark.parametrize("said", [*SECRETS.values(), ALL, f"id {ALL}"], ids=[*SECRETS, "all", "words"])
async def test_a_tracking_id_that_echoes(said: str) -> None:
    """It looks like any other id, but contains a secret; the tokens of the reply are secrets too."""
    hostile = Hostile()
    hostile.headers = {_HEADER: said}

    assert await hostile.meet() == []


@pytest.mark.parametrize(
    "member", ["scope", "token_type", "issued_at", "expires_in", "error_description", "email", ALL]
)
async def test_a_token_reply_that_echoes(member: str) -> None:
    """Expect no secret from a shown member, a hidden one, and a name."""
    hostile = Hostile()
    hostile.members = {member: ALL}

    assert await hostile.meet() == []


_ERRORS: dict[str, Callable[[str], dict[str, Any]]] = {
    "code": lambda said: {"code": said, "message": "m", "trackingId": "t"},
    "message": lambda said: {"code": "c", "message": said, "trackingId": "t"},
    "trackingId": lambda said: {"code": "c", "message": "m", "trackingId": said},
    "errors": lambda said: {"code": "c", "message": "m", "errors": [{"field": said, "location": said, "reason": said}]},
    "error": lambda said: {"error": said},
    "error_description": lambda said: {"error": "e", "error_description": said},
    "platform's": lambda said: {"error": {"code": said, "message": said, "errorid": said, "subcode": said}},
    "revocation's": lambda said: {"ErrorCode": said, "Error": said, "Hint": said},
    "problem's": lambda said: {"type": said, "title": said, "detail": said, "status": 400},
    "beside a token": lambda said: {
        "error": said,
        "access_token": SECRETS["access token"],
        "refresh_token": SECRETS["refresh token"],
    },
}


@pytest.mark.parametrize("status", [200, 307, 400, 401, 503])
@pytest.mark.parametrize("field", [*_ERRORS, _HEADER, "WWW-Authenticate", "Location", "Retry-After", "no JSON"])
async def test_an_error_that_echoes(field: str, status: int) -> None:
    """In each field of each format, in the headers, and in a body of unknown format."""
    # An error contains no tokens of its own.
    sent = ":".join(secret for name, secret in SECRETS.items() if field == "beside a token" or "token" not in name)
    headers = {field: sent} if field in (_HEADER, "WWW-Authenticate", "Retry-After") else {}
    if field == "Location":
        headers = {field: f"https://{SECRETS['client secret']}.example/{sent}?x={sent}"}
    if field in _ERRORS:
        body = json.dumps(_ERRORS[field](sent))
    else:
        body = f"<html>{sent}</html>" if field == "no JSON" else json.dumps({"code": "c", "message": "m"})
    hostile = Hostile()
    hostile.error = lambda: httpx.Response(status, text=body, headers=headers)

    assert await hostile.meet() == []


@pytest.mark.parametrize("status", [200, 400, 401, 403, 503])
@pytest.mark.parametrize("field", [*_ERRORS, _HEADER, "WWW-Authenticate", "Retry-After", "no JSON"])
async def test_an_api_that_echoes(field: str, status: int) -> None:
    """The token of the request, in each field of the response, through a 401 retry and other retries."""
    said = SECRETS["access token"]
    hostile = Hostile()
    headers = {"Content-Type": "application/json", "Retry-After": "0"}
    if field in (_HEADER, "Retry-After"):
        headers[field] = said
    elif field == "WWW-Authenticate":
        headers[field] = f'Bearer error="{said}", error_description="{said}"'
    body = json.dumps(_ERRORS[field](said)) if field in _ERRORS else f"<html>{said}</html>"
    hostile.api = lambda: httpx.Response(status, text=body, headers=headers)

    assert await hostile.meet() == []


async def test_a_proof_that_is_echoed() -> None:
    """A DPoP proof is not a token, but valid for one more request within its lifetime."""
    proofs: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        proofs.append(request.headers["DPoP"])
        headers = {"x-request-id": proofs[-1][:120], "Content-Type": "application/json"}
        if request.url.path == "/token":
            token = {"access_token": "access-token-1", "token_type": "DPoP", "expires_in": 60}
            return httpx.Response(200, json=token, headers=headers)
        return httpx.Response(400, json={"code": proofs[-1], "message": "m"}, headers=headers)

    provider = seic.Provider(token_url="/token", tracking_header="x-request-id")
    config = seic.Config(
        provider=provider,
        hosts=seic.Hosts(api="https://idp.example"),
        client_id="c",
        client_secret="client-secret-1",
        grant=seic.ClientCredentials(),
        dpop=seic.DPoP(),
    )
    told: list[seic.events.Event] = []
    transport = httpx.MockTransport(answer)
    async with seic.AsyncClient(config, transport=transport, on_event=told.append) as client:
        reply = await client.get("/api")
        with pytest.raises(seic.ApiError) as caught:
            seic.raise_for_status(reply, provider=provider)

    shown = f"{caught.value} {vars(caught.value)} {told}"
    assert told
    assert not any(proof[:100] in shown for proof in proofs)

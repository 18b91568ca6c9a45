"""Client authentication with a secret, and without."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from seic import (
    ClientAuthentication,
    ClientIdOnly,
    ClientSecretBasic,
    ClientSecretPost,
    ConfigurationError,
    Provider,
    RequestContext,
    TokenRequestRefused,
)
from tests._support.token_calls import config_of, reply, request_token, token_request


def _context(client_id: str, client_secret: str | None, **changes: Any) -> RequestContext:
    provider = Provider(token_url="/t", **changes)
    return RequestContext(
        provider=provider, token_url="https://idp.example/token", client_id=client_id, client_secret=client_secret
    )


def _basic(method: ClientSecretBasic, client_id: str, client_secret: str) -> bytes:
    headers: dict[str, str] = {}
    form: dict[str, str] = {}
    method.apply(headers, form, _context(client_id, client_secret))
    assert form == {}
    scheme, _, credentials = headers["Authorization"].partition(" ")
    assert scheme == "Basic"
    return base64.b64decode(credentials, validate=True)


@pytest.mark.parametrize(
    ("client_id", "client_secret", "pair"),
    [
        pytest.param("key", "secret", b"key:secret", id="letters stay"),
        pytest.param("a-b._~", "1-2._~", b"a-b._~:1-2._~", id="unreserved stay"),
        pytest.param("a b", "c d", b"a%20b:c%20d", id="a space is %20, never +"),
        pytest.param("a:b", "c:d", b"a%3Ab:c%3Ad", id="a colon cannot be taken for the separator"),
        pytest.param("a+b", "c/d&e=f%", b"a%2Bb:c%2Fd%26e%3Df%25", id="reserved are escaped"),
        pytest.param("ü", "€", b"%C3%BC:%E2%82%AC", id="UTF-8 before escaping"),
    ],
)
def test_basic_form_encodes_first(client_id: str, client_secret: str, pair: bytes) -> None:
    """Expect id and secret to be form-encoded before Base64 (RFC 6749 §2.3.1)."""
    assert _basic(ClientSecretBasic(), client_id, client_secret) == pair


@pytest.mark.parametrize(
    ("client_secret", "pair"),
    [
        pytest.param("p/s+ t%", b"key:p/s+ t%", id="reserved"),
        pytest.param("a:b", b"key:a:b", id="a colon in the secret is unambiguous"),
        pytest.param("€", "key:€".encode(), id="UTF-8"),
    ],
)
def test_basic_raw_sends_the_pair_as_it_is(client_secret: str, pair: bytes) -> None:
    """Expect the raw mode to encode nothing before Base64 (RFC 7617)."""
    assert _basic(ClientSecretBasic(form_encoded=False), "key", client_secret) == pair


def test_basic_raw_refuses_a_colon_in_the_id() -> None:
    """Expect an id with a colon to be refused, because the secret would start there."""
    with pytest.raises(ConfigurationError, match="colon") as caught:
        _basic(ClientSecretBasic(form_encoded=False), "a:b", "secret")
    assert caught.value.field == "client_id"


def test_post_writes_the_form_only() -> None:
    """Expect client_secret_post to change the form only."""
    headers: dict[str, str] = {}
    form = {"grant_type": "client_credentials"}
    ClientSecretPost().apply(headers, form, _context("id", "s e"))
    assert headers == {}
    assert form == {"grant_type": "client_credentials", "client_id": "id", "client_secret": "s e"}


@pytest.mark.parametrize("method", [ClientSecretBasic(), ClientSecretBasic(form_encoded=False), ClientSecretPost()])
@pytest.mark.parametrize("missing", [None, ""])
def test_a_missing_secret_is_named(method: ClientAuthentication, missing: str | None) -> None:
    """Expect an error that names the missing setting."""
    with pytest.raises(ConfigurationError, match="client_secret") as caught:
        method.apply({}, {}, _context("id", missing))
    assert caught.value.field == "client_secret"


@pytest.mark.parametrize("method", [ClientSecretBasic(), ClientSecretBasic(form_encoded=False)])
def test_a_secret_that_is_no_text_is_not_repeated(method: ClientSecretBasic) -> None:
    """Expect half a surrogate pair to be refused without the secret anywhere in the error's chain."""
    secret = "hunter2\ud800"
    with pytest.raises(ConfigurationError) as caught:
        _basic(method, "id", secret)
    assert caught.value.field == "client_secret"
    assert "hunter2" not in str(caught.value)
    assert caught.value.__context__ is None


def test_the_default_is_basic_form_encoded() -> None:
    """Expect the method that every server supports if the provider names none."""
    request = token_request(config_of(Provider(token_url="/t"), client_id="a b", client_secret="c/d"))
    assert base64.b64decode(request.headers["Authorization"].removeprefix("Basic ")) == b"a%20b:c%2Fd"


@pytest.mark.parametrize("client_secret", [None, "s"])
def test_the_id_alone(client_secret: str | None) -> None:
    """Expect a public client to send its id and no secret."""
    headers: dict[str, str] = {}
    form: dict[str, str] = {}
    ClientIdOnly().apply(headers, form, _context("id", client_secret))
    assert (headers, form) == ({}, {"client_id": "id"})


@pytest.mark.parametrize(
    ("method", "client_id", "client_secret", "words"),
    [
        pytest.param(None, "id", "plain-1._~", None, id="both readings alike"),
        pytest.param(None, "id", "a/b", "client_secret went form-encoded", id="the secret differs"),
        pytest.param(None, "my id", "s", "client_id went form-encoded", id="the id differs"),
        pytest.param(None, "my id", "a/b", "client_id and client_secret went", id="both differ"),
        pytest.param(ClientSecretBasic(form_encoded=False), "id", "a/b", "client_secret went raw", id="raw"),
        pytest.param(ClientSecretPost(), "id", "a/b", None, id="no Basic"),
        pytest.param(ClientIdOnly(), "id", None, None, id="no secret"),
    ],
)
def test_the_hint_for_refused_credentials(
    method: ClientAuthentication | None, client_id: str, client_secret: str | None, words: str | None
) -> None:
    """Expect the other encoding of Basic to be named if it makes a difference, without the credentials."""
    provider = Provider(token_url="/t", client_authentication=method)
    with pytest.raises(TokenRequestRefused) as caught:
        request_token(config_of(provider, client_id=client_id, client_secret=client_secret), reply(status=401))
    if words is None:
        assert " went " not in str(caught.value)
    else:
        assert words in str(caught.value)
        assert "a/b" not in str(caught.value)
        assert f"form_encoded={method is not None}" in str(caught.value)

"""What all requests to a provider's own endpoints share."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from seic._errors import ConfigurationError
from seic._model.provider import Provider, RequestContext
from seic._oauth.client_auth import ClientSecretPost
from seic._oauth.form_request import build_form_request, dialect_headers, is_header_safe, url_beside


def _context(**provider: Any) -> RequestContext:
    return RequestContext(
        provider=Provider(token_url="/t", **provider),
        token_url="https://idp.example/token",
        client_id="id",
        client_secret="s",
    )


@pytest.mark.parametrize(
    ("text", "safe"),
    [("a", True), ("!~", True), ("", False), ("a b", False), ("a\n", False), ("\x7f", False), ("ä", False)],
    ids=repr,
)
def test_what_a_header_carries(text: str, safe: bool) -> None:
    """Expect visible ASCII and nothing else."""
    assert is_header_safe(text) is safe


@pytest.mark.parametrize(
    ("path_or_url", "url"),
    [
        pytest.param("/v2/info", "https://mtls.example:444/v2/info", id="path"),
        pytest.param("/v2/info?x=1", "https://mtls.example:444/v2/info?x=1", id="path with a query"),
        pytest.param("https://idp.example/info", "https://idp.example/info", id="URL"),
    ],
)
def test_endpoints_lie_beside_the_token_endpoint(path_or_url: str, url: str) -> None:
    """Expect a path on the same origin, without the token endpoint's own path and query."""
    assert url_beside("https://mtls.example:444/v2/token?tenant=1", path_or_url) == url


def test_headers_of_a_dialect() -> None:
    """Expect the client id in its header where the provider has one, and JSON asked for."""
    assert dialect_headers(_context()) == {"Accept": "application/json"}
    assert dialect_headers(_context(client_id_header="AppKey")) == {"Accept": "application/json", "AppKey": "id"}


def test_a_client_id_that_breaks_out_of_its_header_is_refused() -> None:
    """Expect the setting's name, for the provider that puts it in a header."""
    with pytest.raises(ConfigurationError) as caught:
        dialect_headers(attrs.evolve(_context(client_id_header="AppKey"), client_id="a\r\nb"))
    assert caught.value.field == "client_id"


def test_a_form_is_posted() -> None:
    """Expect a POST whose body is the form, in its order."""
    request = build_form_request(_context(), "https://idp.example/t", {"b": "1", "a": "2 3"})
    assert (request.method, request.content) == ("POST", b"b=1&a=2+3")


def test_a_field_with_several_values() -> None:
    """Expect it to stand in the form once for each, beside the client's proof, and to be checked as any."""
    context, url = _context(client_authentication=ClientSecretPost()), "https://idp.example/t"
    request = build_form_request(context, url, {"a": ("1", "2"), "b": "3"})
    assert request.content == b"a=1&a=2&b=3&client_id=id&client_secret=s"
    with pytest.raises(ConfigurationError, match="'a'"):
        build_form_request(context, url, {"a": ("1", "\ud800")})

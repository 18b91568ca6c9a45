"""Requests to a provider's endpoints: URL, headers, form and client authentication."""

from __future__ import annotations

import functools
import re

import httpx

from seic._errors import ConfigurationError
from seic._model.grant_parameters import Fields
from seic._model.hosts import Origin
from seic._model.provider import MAX_URL_LENGTH, RequestContext
from seic._oauth.client_auth import client_authentication_of
from seic._oauth.redact import is_text

# RFC 6750 §2.1 allows fewer; these cannot break out of a header.
_HEADER_SAFE = r"[\x21-\x7e]+"


def is_header_safe(text: str) -> bool:
    """Whether a string can be a header value: one or more characters of visible ASCII."""
    return re.fullmatch(_HEADER_SAFE, text) is not None


@functools.lru_cache(64)
def parse_url(text: str) -> httpx.URL:
    """Parse a URL; it cannot be changed, so requests and configurations share it.

    Raises:
        httpx.InvalidURL: It is not a URL.
    """
    return httpx.URL(text)


@functools.lru_cache(64)
def origin_of(field: str, url: str, *, allow_http: bool) -> Origin:
    """Return the origin of an absolute URL of a provider.

    Args:
        field: The name of the setting or member, for the error.
        url: The URL.
        allow_http: Whether `http://` is allowed for a loopback address.

    Raises:
        ConfigurationError: It is not an https URL, has a user name, is too long, or cannot be requested.
    """
    if len(url) > MAX_URL_LENGTH:
        raise ConfigurationError(f"{field}: must not be longer than {MAX_URL_LENGTH} characters", field=field)
    scheme, separator, rest = url.partition("://")
    try:
        # The host as it is sent: its decoded form may raise.
        host = httpx.URL(url).raw_host
    except (httpx.InvalidURL, UnicodeEncodeError):  # the latter of half of a surrogate pair
        host = b""
    if not separator or not host:
        raise ConfigurationError(f"{field}: must be an https URL", field=field)
    authority = rest.partition("/")[0].partition("?")[0].partition("#")[0]
    return Origin.parse(f"{scheme}://{authority}", field=field, allow_http_on_loopback=allow_http)


def url_beside(token_url: str, path_or_url: str) -> str:
    """Return the URL of another endpoint: a path is joined to the token endpoint's host, a URL is unchanged."""
    return str(httpx.URL(token_url).join(path_or_url))


def endpoint_url(context: RequestContext, setting: str, purpose: str) -> str:
    """Return the URL of one of the provider's endpoints, or of its mutual-TLS alias if there is a certificate.

    Args:
        context: The client and the circumstances.
        setting: The provider's attribute.
        purpose: The operation that needs it, for the error.

    Raises:
        ConfigurationError: The provider has no such endpoint, or has aliases for others and none for this one.
    """
    path_or_url = context.provider.require(setting, purpose)
    aliases = context.provider.mtls_endpoint_aliases
    if context.certificate is not None and aliases:
        name = setting.removesuffix("_url") + "_endpoint"
        if name in aliases:
            path_or_url = aliases[name]
        elif not path_or_url.startswith("/"):  # a path is joined to the token endpoint, which is an alias here
            # RFC 8705 §5 falls back to the usual endpoint. It is unknown whether that accepts the certificate.
            raise ConfigurationError(
                f"provider.mtls_endpoint_aliases: {name} is missing, and there is a client certificate; add it with "
                "attrs.evolve(provider, mtls_endpoint_aliases=...); it may be the usual endpoint",
                field="provider.mtls_endpoint_aliases",
            )
    return url_beside(context.token_url, path_or_url)


def build_form_request(context: RequestContext, url: str, form: Fields) -> httpx.Request:
    """Build a request that posts a form, with client authentication and the headers of the dialect.

    Args:
        context: The client and the circumstances.
        url: The whole URL.
        form: The fields; client authentication adds its own.

    Raises:
        ConfigurationError: A credential is missing or cannot be sent.
    """
    headers = dialect_headers(context)
    single = {name: value for name, value in form.items() if isinstance(value, str)}
    client_authentication_of(context.provider).apply(headers, single, context)
    form = {**form, **single}
    for name, value in form.items():
        if not "".join(value).isascii() and not is_text("".join(value)):
            raise ConfigurationError(
                f"the form's field {name!r} has a character that UTF-8 cannot encode",
                field=name if name in ("client_id", "client_secret") else "grant",
            )
    return httpx.Request("POST", parse_url(url), headers=headers, data=dict(form))


def dialect_headers(context: RequestContext) -> dict[str, str]:
    """Return the headers of every request to the provider's endpoints.

    Raises:
        ConfigurationError: The client id is sent in a header, and has characters that a header cannot have.
    """
    headers = {"Accept": "application/json"}
    if context.provider.client_id_header is not None:
        headers[context.provider.client_id_header] = _header_value(context.client_id)
    return headers


def _header_value(client_id: str) -> str:
    if not is_header_safe(client_id):
        raise ConfigurationError("client_id: must be visible ASCII, because it is sent in a header", field="client_id")
    return client_id

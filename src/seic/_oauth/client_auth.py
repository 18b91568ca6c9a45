"""How the client proves itself to the token endpoint (RFC 6749 §2.3): one small frozen class for each method.

A method writes into the headers and the form that it is handed; what is sent, and where, is decided elsewhere.
"""

from __future__ import annotations

import base64
from urllib.parse import quote

import attrs

from seic._errors import ConfigurationError
from seic._model.provider import ClientAuthentication, Provider, RequestContext
from seic._model.secrecy import SecretStr
from seic._oauth.redact import is_text


@attrs.frozen(kw_only=True)
class ClientSecretBasic:
    """`client_secret_basic`: id and secret in the Authorization header (RFC 6749 §2.3.1).

    Args:
        form_encoded: Whether id and secret are form-encoded before Base64, as the RFC demands; a space becomes `%20`,
            which every decoder takes, and not `+`, which some leave as it is. False is for gateways that read the
            pair as RFC 7617 has it, without decoding.
    """

    form_encoded: bool = True

    def apply(self, headers: dict[str, str], form: dict[str, str], context: RequestContext) -> None:
        """Set the Authorization header."""
        secret = _required(context.client_secret)
        if self.form_encoded:
            pair = f"{_form_encode(context.client_id, 'client_id')}:{_form_encode(secret, 'client_secret')}"
        elif ":" in context.client_id:
            raise ConfigurationError(
                "client_id: a colon cannot stand in a client id that is sent raw in Basic, for the secret would begin "
                "there (RFC 7617 §2); use ClientSecretBasic(form_encoded=True) if the provider decodes it",
                field="client_id",
            )
        else:
            pair = f"{context.client_id}:{secret}"
        encoded = base64.b64encode(_utf8(pair, "client_secret")).decode("ascii")
        headers["Authorization"] = SecretStr(f"Basic {encoded}")


@attrs.frozen
class ClientSecretPost:
    """`client_secret_post`: id and secret as fields of the form (RFC 6749 §2.3.1)."""

    def apply(self, headers: dict[str, str], form: dict[str, str], context: RequestContext) -> None:
        """Add `client_id` and `client_secret` to the form."""
        form["client_id"] = context.client_id
        form["client_secret"] = _required(context.client_secret)


@attrs.frozen
class ClientIdOnly:
    """`none`: the id alone, as a field of the form, for public clients (RFC 6749 §3.2.1); a secret is not sent."""

    def apply(self, headers: dict[str, str], form: dict[str, str], context: RequestContext) -> None:
        """Add `client_id` to the form."""
        form["client_id"] = context.client_id


@attrs.frozen
class TlsClientAuth:
    """`tls_client_auth`: the client's certificate is the proof, by its chain and subject (RFC 8705 §2.1).

    The form carries the id alone, and a secret that is there is not sent. Without a certificate there is no request.
    """

    def apply(self, headers: dict[str, str], form: dict[str, str], context: RequestContext) -> None:
        """Add `client_id` to the form."""
        if context.certificate is None:
            raise ConfigurationError(
                "certificate: the client's certificate is the proof that the provider takes (RFC 8705 §2); pass "
                "certificate=seic.ClientCertificate.load(...)",
                field="certificate",
            )
        form["client_id"] = context.client_id


@attrs.frozen
class SelfSignedTlsClientAuth(TlsClientAuth):
    """`self_signed_tls_client_auth`: as `tls_client_auth`, by a certificate that the provider knows (RFC 8705 §2.2)."""


#: What a provider uses that names no method of its own: the one that every server must support (RFC 6749 §2.3.1).
DEFAULT_CLIENT_AUTHENTICATION = ClientSecretBasic()


def client_authentication_of(provider: Provider) -> ClientAuthentication:
    """Return the provider's method, or the default."""
    return provider.client_authentication or DEFAULT_CLIENT_AUTHENTICATION


def hint_for_refusal(context: RequestContext) -> str | None:
    """Return what may be wrong with refused credentials: Basic in the other of its two readings.

    None where both readings are the same bytes, or the credentials do not travel in Basic.
    """
    method = client_authentication_of(context.provider)
    if not isinstance(method, ClientSecretBasic) or context.client_secret is None:
        return None
    named = [
        name
        for name, value in (("client_id", context.client_id), ("client_secret", context.client_secret))
        if quote(value, safe="", errors="replace") != value
    ]
    if not named:
        return None
    which = "form-encoded (RFC 6749 §2.3.1)" if method.form_encoded else "raw"
    return (
        f"{' and '.join(named)} went {which}, and the other way is not the same; if the provider reads Basic that way, "
        f"set provider.client_authentication to ClientSecretBasic(form_encoded={not method.form_encoded})"
    )


def _required(client_secret: str | None) -> str:
    if not client_secret:
        raise ConfigurationError(
            "client_secret: the provider takes the client's id and secret, and the secret is missing",
            field="client_secret",
        )
    return client_secret


def _form_encode(text: str, field: str) -> str:
    return quote(_utf8(text, field), safe="")


def _utf8(text: str, field: str) -> bytes:
    if not is_text(text):
        raise ConfigurationError(f"{field}: has a character that UTF-8 cannot carry", field=field)
    return text.encode()

"""Client authentication at the token endpoint (RFC 6749 §2.3): one small frozen class for each method.

A method adds the client's credentials to the headers and the form of a request; it sends nothing.
"""

from __future__ import annotations

import base64
from urllib.parse import quote

from seic._errors import ConfigurationError
from seic._model.provider import ClientAuthentication, Provider, RequestContext
from seic._model.secret import SecretStr
from seic._public import publish
from seic._values import frozen


@frozen(kw_only=True)
class ClientSecretBasic:
    """`client_secret_basic`: id and secret in the Authorization header (RFC 6749 §2.3.1).

    Args:
        form_encoded: Whether id and secret are form-encoded before Base64, as the RFC requires. A space becomes `%20`,
            which every decoder takes, and not `+`, which some do not decode. False is for gateways that do not decode
            the pair (RFC 7617).
    """

    form_encoded: bool = True

    def apply(self, headers: dict[str, str], form: dict[str, str], context: RequestContext) -> None:
        """Set the Authorization header."""
        secret = _required(context.client_secret)
        if self.form_encoded:
            pair = f"{_form_encode(context.client_id, 'client_id')}:{_form_encode(secret, 'client_secret')}"
        elif ":" in context.client_id:
            raise ConfigurationError(
                "client_id: must have no colon if it is sent raw in Basic, because the secret would start there (RFC "
                "7617 §2); use ClientSecretBasic(form_encoded=True) if the provider decodes it",
                field="client_id",
            )
        else:
            pair = f"{context.client_id}:{secret}"
        encoded = base64.b64encode(_utf8(pair, "client_secret")).decode("ascii")
        headers["Authorization"] = SecretStr(f"Basic {encoded}")


@frozen
class ClientSecretPost:
    """`client_secret_post`: id and secret as fields of the form (RFC 6749 §2.3.1)."""

    def apply(self, headers: dict[str, str], form: dict[str, str], context: RequestContext) -> None:
        """Add `client_id` and `client_secret` to the form."""
        form["client_id"] = context.client_id
        form["client_secret"] = _required(context.client_secret)


@frozen
class ClientIdOnly:
    """`none`: the id alone, as a field of the form, for public clients (RFC 6749 §3.2.1); no secret is sent."""

    def apply(self, headers: dict[str, str], form: dict[str, str], context: RequestContext) -> None:
        """Add `client_id` to the form."""
        form["client_id"] = context.client_id


@frozen
class TlsClientAuth:
    """`tls_client_auth`: the client's certificate authenticates it, by chain and subject (RFC 8705 §2.1).

    The form has the id alone; a secret is not sent. Without a certificate it raises.
    """

    def apply(self, headers: dict[str, str], form: dict[str, str], context: RequestContext) -> None:
        """Add `client_id` to the form."""
        if context.certificate is None:
            raise ConfigurationError(
                "certificate: is missing, and the provider authenticates the client by it (RFC 8705 §2); pass "
                "certificate=seic.ClientCertificate.load(...)",
                field="certificate",
            )
        form["client_id"] = context.client_id


@frozen
class SelfSignedTlsClientAuth(TlsClientAuth):
    """`self_signed_tls_client_auth`: like `tls_client_auth`, with a certificate that is registered (RFC 8705 §2.2)."""


#: The method of a provider that names none; every server must support it (RFC 6749 §2.3.1).
DEFAULT_CLIENT_AUTHENTICATION = ClientSecretBasic()


def client_authentication_of(provider: Provider) -> ClientAuthentication:
    """Return the provider's method, or the default."""
    return provider.client_authentication or DEFAULT_CLIENT_AUTHENTICATION


def is_users_own(method: ClientAuthentication | None) -> bool:
    """Whether a method is a class of the user's, whose code may block."""
    return method is not None and type(method).__module__.partition(".")[0] != "seic"


def hint_for_refusal(context: RequestContext) -> str | None:
    """Return a hint for refused credentials: the other encoding of Basic.

    None if both encodings are the same bytes, or the method is not Basic.
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
        f"{' and '.join(named)} went {which}; if the provider expects the other encoding of Basic, pass in code "
        f"provider=seic.Provider(client_authentication=seic.ClientSecretBasic(form_encoded={not method.form_encoded}))"
    )


def _required(client_secret: str | None) -> str:
    if not client_secret:
        raise ConfigurationError(
            "client_secret: is missing, and the provider authenticates the client by it", field="client_secret"
        )
    return client_secret


def _form_encode(text: str, field: str) -> str:
    return quote(_utf8(text, field), safe="")


def _utf8(text: str, field: str) -> bytes:
    # Raised outside the handler: a UnicodeEncodeError holds the string, which may be a secret.
    try:
        return text.encode()
    except UnicodeEncodeError:
        pass
    raise ConfigurationError(f"{field}: has a character that UTF-8 cannot encode", field=field)


publish(
    "seic",
    ["ClientIdOnly", "ClientSecretBasic", "ClientSecretPost", "SelfSignedTlsClientAuth", "TlsClientAuth"],
    globals(),
)

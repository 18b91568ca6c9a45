"""The confirmation of a token (`cnf`, RFC 7800): compare the bound certificate with the client's (RFC 8705 §3)."""

from __future__ import annotations

from collections.abc import Mapping

from seic._errors import InvalidTokenResponse
from seic._model.provider import KeyedCertificate, Provider


def check_confirmation(
    claims: Mapping[str, object] | None, *, provider: Provider, certificate: KeyedCertificate | None, host: str
) -> bool:
    """Compare a token's confirmation with the client's certificate.

    Args:
        claims: The claims of the token (`seic._oauth.jwt.claims_of`) or its introspection; None if neither is readable.
        provider: The dialect, which says whether the provider binds tokens.
        certificate: The client's certificate; None if it presents none.
        host: The host that the token came from, for messages.

    Returns:
        False if the provider binds tokens, the client has a certificate, and the token is not bound. A token that
        cannot be read counts as bound.

    Raises:
        InvalidTokenResponse: It is bound to another certificate, so that no API would accept it.
    """
    if claims is None:
        return True
    confirmation = claims.get("cnf")
    bound_to = confirmation.get("x5t#S256") if isinstance(confirmation, dict) else None
    if bound_to is None:
        return certificate is None or not provider.certificate_bound_tokens
    if certificate is None:
        raise InvalidTokenResponse(
            f"{host} answered with a token that is bound to a client certificate (RFC 8705 §3), and this client has "
            "none; pass certificate=seic.ClientCertificate.load(...)",
            problem="cnf",
        )
    if bound_to != certificate.x5t_s256:
        raise InvalidTokenResponse(
            f"{host} answered with a token that is bound to another certificate than the one that was presented "
            "(RFC 8705 §3); a proxy that ends TLS may have presented its own, or passed on another client's",
            problem="cnf",
        )
    return True

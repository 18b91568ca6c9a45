"""What a token is bound to (RFC 8705 §3, RFC 7800): read where it can be, and compared with what the client has."""

from __future__ import annotations

from collections.abc import Mapping

from seic._errors import InvalidTokenResponse
from seic._model.provider import KeyedCertificate, Provider
from seic._oauth.jwt import claims_of


def is_bound_as_it_should(
    claims: Mapping[str, object] | None, *, provider: Provider, certificate: KeyedCertificate | None, host: str
) -> bool:
    """Compare a token's confirmation with the client's certificate.

    Args:
        claims: What the token says, or what the provider says of it; None where neither can be read.
        provider: The dialect, which says whether it binds tokens.
        certificate: The client's certificate; None where it presents none.
        host: Where the token came from, for messages.

    Returns:
        False where the provider binds tokens, the client has a certificate, and the token is bound to none. What cannot
        be read counts as bound.

    Raises:
        InvalidTokenResponse: It is bound to another certificate, and no API would take it.
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


def is_token_bound_as_it_should(
    access_token: str, *, provider: Provider, certificate: KeyedCertificate | None, host: str
) -> bool:
    """Compare what an access token itself says with the client's certificate; see `is_bound_as_it_should`."""
    return is_bound_as_it_should(claims_of(access_token), provider=provider, certificate=certificate, host=host)

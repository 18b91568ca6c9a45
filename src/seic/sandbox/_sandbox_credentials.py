"""`SandboxCredentials`: the throw-away credentials of a sandbox."""

from __future__ import annotations

import datetime as dt

from seic.sandbox._certificates import CertificateAuthority, IssuedCertificate, KeyType
from seic.sandbox._dialects.platform_saml import IdentityProvider
from seic.sandbox._registration import Registration


class SandboxCredentials:
    """A base of `Sandbox`."""

    _registration: Registration
    _authority: CertificateAuthority
    _client_certificate: IssuedCertificate
    _issued: list[IssuedCertificate]
    _identity_provider: IdentityProvider

    @property
    def client_id(self) -> str:
        """The client id (AppKey)."""
        return self._registration.client_id

    @property
    def client_secret(self) -> str:
        """The client secret (AppSecret)."""
        return self._registration.client_secret

    @property
    def username(self) -> str:
        """The user name of the service account."""
        return self._registration.username

    @property
    def password(self) -> str:
        """The password of the service account; it needs form encoding."""
        return self._registration.password

    @property
    def email(self) -> str:
        """The name of the account on the platform."""
        return self._registration.email

    @property
    def session_token(self) -> str:
        """The token of the only session that the gateway knows, for its `sessionToken` grant."""
        return self._registration.session_token

    @property
    def authority(self) -> CertificateAuthority:
        """The temporary CA that issues every certificate of the sandbox."""
        return self._authority

    @property
    def ca_pem(self) -> bytes:
        """The CA certificate as PEM; a client must trust it."""
        return self._authority.cert_pem

    @property
    def client_certificate_pem(self) -> bytes:
        """The certificate of the service account as PEM."""
        return self._client_certificate.cert_pem

    @property
    def client_key_pem(self) -> bytes:
        """The private key of the service account's certificate as unencrypted PEM."""
        return self._client_certificate.key_pem

    def issue_certificate(
        self,
        common_name: str | None = None,
        *,
        key_type: KeyType = "ec",
        not_before: dt.datetime | None = None,
        not_after: dt.datetime | None = None,
    ) -> IssuedCertificate:
        """Issue another client certificate of the trusted CA.

        Args:
            common_name: The CN of the subject; by default the user name of the service account.
            key_type: `ec` is P-256, `rsa` has 2048 bits.
            not_before: The start of the validity; by default a day ago.
            not_after: The end of the validity; by default two years after the start.
        """
        issued = self._authority.issue(
            common_name or self.username, key_type=key_type, not_before=not_before, not_after=not_after
        )
        self._issued.append(issued)
        return issued

    def saml_assertion(self, email: str | None = None, *, lifetime: float = 300.0) -> bytes:
        """Return a SAML assertion, signed by the identity provider that the platform trusts.

        Args:
            email: The email address of the user; by default the account's.
            lifetime: Seconds until it expires, by the sandbox's clock.
        """
        return self._identity_provider.assertion(email or self.email, lifetime=lifetime)

    def saml_response(self, email: str | None = None, *, lifetime: float = 300.0) -> bytes:
        """Return a SAML response with such an assertion; the arguments are the same."""
        return self._identity_provider.response(email or self.email, lifetime=lifetime)

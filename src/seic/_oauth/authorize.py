"""A user's login: the authorization URL and the callback (RFC 6749 §4.1.1, §4.1.2), with PKCE (RFC 7636)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import uuid
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlsplit

import attrs
import httpx

from seic._errors import ConfigurationError, InvalidTokenResponse, TokenRequestRefused
from seic._model.hosts import Hosts
from seic._model.login_grants import AuthorizationCode
from seic._model.provider import Provider
from seic._model.secret import Unpicklable, hide, strip_frames
from seic._oauth.redact import sanitize
from seic._public import publish

#: The only method of a code challenge: `plain` would reveal the verifier in the login's URL (RFC 9700 §2.1.1).
CHALLENGE_METHOD = "S256"
_LONGEST_CODE = 100


@attrs.define(kw_only=True, eq=False)
class Login(Unpicklable):
    """One login in progress, for a program that both starts and finishes it; `finish` works once.

    In a web application the callback is another request: `seic.fastapi.Logins` keeps `state` and `code_verifier` in a
    cookie.

    Args:
        provider: The dialect.
        url: The URL to send the browser to.
        state: The state that the callback must return.
        redirect_uri: The redirect URI.
        code_verifier: The secret of the code challenge; None if the provider takes none.
        end_other_sessions: Whether the token request ends the user's other sessions, too.
    """

    provider: Provider = attrs.field(repr=False)
    url: str = attrs.field(repr=False)
    state: str = attrs.field(repr=hide)
    redirect_uri: str | None = None
    code_verifier: str | None = attrs.field(default=None, repr=hide)
    end_other_sessions: bool = False
    # The first `finish` pops it; `list.pop` is atomic among threads.
    _unused: list[str] = attrs.field(init=False, repr=False, factory=lambda: ["state"])

    @classmethod
    def begin(
        cls,
        *,
        provider: Provider,
        client_id: str,
        redirect_uri: str | None,
        environment: str = "production",
        hosts: Hosts | None = None,
        scope: str | None = None,
        end_other_sessions: bool = False,
    ) -> Login:
        """Start a login, with PKCE if the provider takes it.

        A browser has no client certificate: if `provider.authorize_url` is a path, it is on the API host.

        Args:
            provider: The dialect.
            client_id: The client's id.
            redirect_uri: The redirect URI; None if the provider knows it.
            environment: One of the provider's environments; unused if `hosts` is given.
            hosts: Hosts of your own instead of the environment's.
            scope: The scopes; None is the provider's default.
            end_other_sessions: End the user's other sessions, including any in which somebody is working.

        Raises:
            ConfigurationError: The provider has no login, does not support one of the parameters, or demands more than
                seic does (`Provider.login_demands`).
        """
        authorize_url = provider.require_login()
        if authorize_url.startswith("/"):
            origin = provider.hosts_of(environment, hosts).choose(
                certificate=False, environment=environment if hosts is None else None
            )
            authorize_url = f"{origin}{authorize_url}"
        # A UUID, as the SEI platform requires, with 122 random bits (RFC 6749 §10.12).
        state = str(uuid.uuid4())
        # 256 random bits in 43 characters (RFC 7636 §4.1).
        code_verifier = secrets.token_urlsafe(32) if provider.takes_pkce else None
        parameters = {"response_type": "code", "client_id": client_id, "state": state}
        if redirect_uri is not None:
            parameters[provider.redirect_field] = redirect_uri
        if scope is not None or provider.authorize_scope is not None:
            parameters["scope"] = scope or provider.authorize_scope or ""
        if code_verifier is not None:
            # The URL contains no secret: of the verifier only the challenge.
            parameters["code_challenge"] = _challenge_of(code_verifier)
            parameters["code_challenge_method"] = CHALLENGE_METHOD
        if end_other_sessions:
            parameters[provider.require("end_other_sessions_field", "ending other sessions")] = "true"
        try:
            url = str(httpx.URL(authorize_url).copy_merge_params(parameters))
        except httpx.InvalidURL:
            problem = "is not a valid URL, or it and the login's parameters are longer than 64 KiB"
            field = "provider.authorize_url"
            raise ConfigurationError(f"{field}: {problem}", field=field) from None
        return cls(
            provider=provider,
            url=url,
            state=state,
            redirect_uri=redirect_uri,
            code_verifier=code_verifier,
            end_other_sessions=end_other_sessions,
        )

    @strip_frames
    def finish(self, callback: str, *, subject: str | None = None) -> AuthorizationCode:
        """Return the grant that exchanges the login's code; use it at once, because the code is valid for seconds.

        Args:
            callback: The whole URL that the browser was sent to, or its query.
            subject: The user whose token it will be, to keep users apart in a store.

        Raises:
            InvalidTokenResponse: The callback belongs to another login or another provider, or is malformed; or this
                login was finished before.
            ConfigurationError: The provider promises to name its issuer, and `provider.issuer` is not set.
            TokenRequestRefused: The login failed; `code` says how (RFC 6749 §4.1.2.1).
        """
        try:
            self._unused.pop()
        except IndexError:
            used = True
        else:
            used = False
        if used:
            raise _invalid(
                self.provider, "state was used before: a login can be finished once; start a new login", "state"
            )
        code = _read_callback(callback, self.provider, self.state)
        user = {} if subject is None else {"subject": subject}
        return AuthorizationCode(
            code=code,
            redirect_uri=self.redirect_uri,
            code_verifier=self.code_verifier,
            end_other_sessions=self.end_other_sessions,
            **user,
        )


def _challenge_of(verifier: str) -> str:
    # RFC 7636 §4.2.
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode("ascii")).digest()).rstrip(b"=").decode("ascii")


def _read_callback(callback: str, provider: Provider, state: str) -> str:
    parameters = _parameters(callback)
    # First and in constant time: nothing else of a callback that is not ours matters.
    returned = parameters.get("state", "")
    if not state or not hmac.compare_digest(*(text.encode(errors="surrogatepass") for text in (state, returned))):
        raise _invalid(
            provider, "state does not match: it belongs to another login, or to an old one; start a new login", "state"
        )
    # A code of one provider must not be sent to another (RFC 9207).
    _check_issuer(parameters.get("iss"), provider)
    if parameters.get("error"):
        code = sanitize(parameters["error"], limit=_LONGEST_CODE)
        description = sanitize(parameters.get("error_description", "")) or None
        raise TokenRequestRefused(
            f"the login at {provider.name} failed: {code}" + (f": {description}" if description else ""),
            status=None,
            code=code,
            description=description,
        )
    if not parameters.get("code"):
        raise _invalid(provider, "code is missing: pass the whole URL that the browser was sent to", "code")
    return parameters["code"]


def _parameters(callback: str) -> Mapping[str, str]:
    """Read a callback's query; a parameter that is in it twice counts as empty (RFC 6749 §3.1)."""
    try:
        pairs = parse_qsl(urlsplit(callback).query or callback, keep_blank_values=True, max_num_fields=100)
    except ValueError:
        return {}
    names = [name for name, _ in pairs]
    return {name: value if names.count(name) == 1 else "" for name, value in pairs}


def _check_issuer(named: str | None, provider: Provider) -> None:
    if provider.issuer_in_callback:
        provider.require("issuer", "checking the issuer of a callback")
    if named is None and provider.issuer_in_callback:
        raise _invalid(provider, "iss is missing, which the provider promises to send (RFC 9207)", "iss")
    if named is not None and provider.issuer not in (None, named):
        raise _invalid(
            provider,
            "iss names another provider (RFC 9207), whose code must not be sent to this one; start a new login, and "
            "check provider.issuer",
            "iss",
        )


def _invalid(provider: Provider, problem: str, field: str) -> InvalidTokenResponse:
    return InvalidTokenResponse(
        f"the callback of the login at {provider.name} cannot be used: {problem}", problem=field
    )


publish("seic", ["Login"], globals())

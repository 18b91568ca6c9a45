"""A person's login: the URL that it begins with, and the address that it returns to (RFC 6749 §4.1.1, §4.1.2)."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl, urlsplit

import attrs
import httpx

from seic._errors import ConfigurationError, InvalidTokenResponse, TokenRequestRefused
from seic._model.grants import AuthorizationCode
from seic._model.hosts import Hosts
from seic._model.provider import Provider
from seic._model.secrecy import Unpicklable, hide, traceless
from seic._oauth.pkce import CHALLENGE_METHOD, challenge_of, is_same_state, new_state, new_verifier
from seic._oauth.redact import sanitize

_LONGEST_CODE = 100


def build_authorize_url(
    *,
    provider: Provider,
    authorize_url: str,
    client_id: str,
    redirect_uri: str | None,
    state: str,
    scope: str | None = None,
    code_verifier: str | None = None,
    end_other_sessions: bool = False,
) -> str:
    """Build the URL to send a person's browser to. It holds no secret: of the verifier only the challenge.

    Args:
        provider: The dialect.
        authorize_url: The whole URL of the login; a query of its own is kept.
        client_id: Who asks.
        redirect_uri: Where the login returns to; None where the provider knows it.
        state: What the login has to bring back; see `seic._oauth.pkce.new_state`.
        scope: What is asked for; None is the provider's own.
        code_verifier: The secret that the token call will show (RFC 7636); None for a login without it.
        end_other_sessions: Whether to end the person's other sessions, at the price of what is done in them.

    Raises:
        ConfigurationError: The provider does not take what is asked for.
    """
    parameters = {"response_type": "code", "client_id": client_id, "state": state}
    if redirect_uri is not None:
        parameters[provider.redirect_field] = redirect_uri
    if scope is not None or provider.authorize_scope is not None:
        parameters["scope"] = scope or provider.authorize_scope or ""
    if code_verifier is not None:
        if not provider.takes_pkce:
            raise ConfigurationError(
                f"code_verifier: {provider.name} is not known to take PKCE; leave it out, or set provider.takes_pkce",
                field="code_verifier",
            )
        parameters["code_challenge"] = challenge_of(code_verifier)
        parameters["code_challenge_method"] = CHALLENGE_METHOD
    if end_other_sessions:
        field = provider.require("end_other_sessions_field", "ending other sessions")
        parameters[field] = "true"
    return str(httpx.URL(authorize_url).copy_merge_params(parameters))


@traceless
def parse_callback(callback: str, *, provider: Provider, state: str) -> str:
    """Return the code that a login brought back.

    The state is compared first, in constant time: what else stands in a callback that is not ours does not matter. A
    state is good for one callback; who keeps it forgets it before calling this. Then the issuer, where the callback
    names one or the provider promised to: a code of another provider's must not be spent at this one (RFC 9207). An
    issuer is compared where `provider.issuer` is known.

    Args:
        callback: The whole URL that the browser was sent to, or its query.
        provider: The dialect, for messages.
        state: What the login was begun with.

    Raises:
        InvalidTokenResponse: The callback answers another login, comes from another provider, or is no answer at all.
        ConfigurationError: The provider promises to name its issuer, and nobody knows which that is.
        TokenRequestRefused: The login failed; `code` says how (RFC 6749 §4.1.2.1).
    """
    parameters = _parameters(callback)
    if not state or not is_same_state(state, parameters.get("state", "")):
        raise _invalid(
            provider, "state does not match: it answers another login, or one that is over; begin a new one", "state"
        )
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
        raise _invalid(provider, "code is missing: give the whole address that the browser was sent to", "code")
    return parameters["code"]


@attrs.define(kw_only=True, eq=False)
class Login(Unpicklable):
    """One login in progress, for a program that sees both its ends; `finish` works once.

    A web application whose two ends are two requests keeps `state` and `code_verifier` in the person's session instead,
    and calls `parse_callback`.

    Args:
        provider: The dialect.
        url: Where to send the browser.
        state: What the callback has to bring back.
        redirect_uri: Where the login returns to.
        code_verifier: The secret behind the code challenge; None where the provider takes none.
        end_other_sessions: Whether the token call ends the person's other sessions, too.
    """

    provider: Provider = attrs.field(repr=False)
    url: str = attrs.field(repr=False)
    state: str = attrs.field(repr=hide)
    redirect_uri: str | None = None
    code_verifier: str | None = attrs.field(default=None, repr=hide)
    end_other_sessions: bool = False
    # Popped by the first `finish`: taking from a list is one step, whatever threads there are.
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
        """Begin a login, with PKCE where the provider takes it.

        A person's browser has no client certificate, so it is sent to the API host where `provider.authorize_url` is a
        path.

        Args:
            provider: The dialect.
            client_id: Who asks.
            redirect_uri: Where the login returns to; None where the provider knows it.
            environment: One of the provider's environments. Unused where `hosts` is given.
            hosts: Hosts of your own in place of the environment's.
            scope: What is asked for; None is the provider's own.
            end_other_sessions: Whether to end the person's other sessions, at the price of what is done in them.

        Raises:
            ConfigurationError: The provider has no login, or does not take what is asked for.
        """
        authorize_url = provider.require("authorize_url", "a login")
        if authorize_url.startswith("/"):
            origin = provider.hosts_of(environment, hosts).choose(
                certificate=False, environment=environment if hosts is None else None
            )
            authorize_url = f"{origin}{authorize_url}"
        state = new_state()
        code_verifier = new_verifier() if provider.takes_pkce else None
        url = build_authorize_url(
            provider=provider,
            authorize_url=authorize_url,
            client_id=client_id,
            redirect_uri=redirect_uri,
            state=state,
            scope=scope,
            code_verifier=code_verifier,
            end_other_sessions=end_other_sessions,
        )
        return cls(
            provider=provider,
            url=url,
            state=state,
            redirect_uri=redirect_uri,
            code_verifier=code_verifier,
            end_other_sessions=end_other_sessions,
        )

    @traceless
    def finish(self, callback: str, *, subject: str | None = None) -> AuthorizationCode:
        """Return the grant that exchanges the login's code; do so at once, the code lives for seconds only.

        Args:
            callback: The whole URL that the browser was sent to, or its query.
            subject: Whose token it will be, to keep several people's apart in a store.

        Raises:
            InvalidTokenResponse: The callback answers another login, or this one was finished before.
            TokenRequestRefused: The login failed.
        """
        try:
            self._unused.pop()
        except IndexError:
            used = True
        else:
            used = False
        if used:
            raise _invalid(self.provider, "state was used before: a login is finished once; begin a new one", "state")
        code = parse_callback(callback, provider=self.provider, state=self.state)
        whose = {} if subject is None else {"subject": subject}
        return AuthorizationCode(
            code=code,
            redirect_uri=self.redirect_uri,
            code_verifier=self.code_verifier,
            end_other_sessions=self.end_other_sessions,
            **whose,
        )


def _parameters(callback: str) -> Mapping[str, str]:
    """Read a callback's query; a parameter that stands in it twice counts as empty (RFC 6749 §3.1)."""
    try:
        pairs = parse_qsl(urlsplit(callback).query or callback, keep_blank_values=True, max_num_fields=100)
    except ValueError:
        return {}
    names = [name for name, _ in pairs]
    return {name: value if names.count(name) == 1 else "" for name, value in pairs}


def _check_issuer(named: str | None, provider: Provider) -> None:
    if provider.issuer_in_callback:
        provider.require("issuer", "finding out who answered a login")
    if named is None and provider.issuer_in_callback:
        raise _invalid(provider, "iss is missing, which the provider promises to send (RFC 9207)", "iss")
    if named is not None and provider.issuer not in (None, named):
        raise _invalid(
            provider,
            "iss names another provider than the one that was asked (RFC 9207): its code must not be sent to this one; "
            "begin a new login, and check provider.issuer",
            "iss",
        )


def _invalid(provider: Provider, problem: str, field: str) -> InvalidTokenResponse:
    return InvalidTokenResponse(f"the callback of the login at {provider.name} is unusable: {problem}", problem=field)

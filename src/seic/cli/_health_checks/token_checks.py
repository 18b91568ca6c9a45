"""The checks that use the credentials: a token, its description by the provider, and one API call."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator

import httpx

from seic._api.response_errors import raise_for_status
from seic._client import Client
from seic._config import Config
from seic._errors import ApiError, ConfigurationError, SeicError
from seic._event_types import Event, TokenAcquired
from seic._model.token import Token
from seic._x509.reasons import CertificateWarning
from seic.cli._configuration import require_store
from seic.cli._exit_code import ExitCode
from seic.cli._health_checks.check_result import CheckResult, HealthState, Outcome, failure_of, split_remedy
from seic.cli._health_checks.settings_checks import certificate_problem

#: The checks of the way to the host.
_ROUTE = frozenset({"dns", "proxy", "tcp", "tls"})
_FIRST_ERROR, _UNAUTHORIZED, _NOT_FOUND = 400, 401, 404
#: The most bytes of an answer of the API that are read, apart from the last part.
_MAX_BODY = 65536


def check_calls(state: HealthState) -> Iterator[CheckResult]:
    """Check token, description and API call with one client, as a program would."""
    config = state.require_config()
    if state.placeholders or certificate_problem(state) is not None:
        wrong = ", ".join(sorted(state.placeholders)) or "the certificate"
        for name in ("token", "tokeninfo", "api"):
            yield CheckResult(name, Outcome.SKIPPED, f"{wrong}: missing or wrong")
        return
    broken = [one.name for one in state.results if one.name in _ROUTE and one.outcome == Outcome.FAILED]
    if broken and config.token_url.startswith(f"{config.base_url}/"):
        # The same failure again would only take time.
        for name in ("token", "tokeninfo", "api"):
            yield CheckResult(name, Outcome.SKIPPED, f"{broken[0]} failed for the same host")
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CertificateWarning)
        with Client(config, on_event=state.events.append, timeout=state.timeout) as client:
            yield _check_token(state, client)
            if not state.token:
                for name in ("tokeninfo", "api"):
                    yield CheckResult(name, Outcome.SKIPPED, "there is no token")
                return
            yield _check_token_info(config, client)
            yield _check_call(state, client)


def _check_token(state: HealthState, client: Client) -> CheckResult:
    try:
        if state.login:
            require_store(state.require_config(), "use")
        token = client.token()
    except SeicError as error:
        if getattr(error, "code", None) == "login_required":
            found = "nobody has logged in, or the login has ended; without it no token and no API call can be tried"
            return CheckResult("token", Outcome.FAILED, found, "run `seic login`", ExitCode.TOKEN)
        return failure_of("token", error)
    except httpx.HTTPError as error:
        return _unexpected("token", error)
    state.token = True
    state.secrets |= {secret for secret in (token.access_token, token.refresh_token) if secret}
    acquired = [event for event in state.events if isinstance(event, TokenAcquired)]
    source = f"in {acquired[-1].took * 1000:.0f} ms" if acquired else "from the store"
    return CheckResult("token", Outcome.OK, f"{_lifetime(token)}, {source}", details=_describe(token))


def _lifetime(token: Token) -> str:
    return "of unknown lifetime" if token.expires_at is None else f"valid until {token.expires_at:%H:%M:%S} UTC"


def _describe(token: Token) -> dict[str, str]:
    facts = {
        "type": token.token_type,
        "expires_in": None if token.expires_in is None else f"{token.expires_in:.0f} s",
        "scope": token.scope,
        "sha256": token.fingerprint,
        "tracking_id": token.tracking_id,
    }
    return {name: value for name, value in facts.items() if value}


def _check_token_info(config: Config, client: Client) -> CheckResult:
    try:
        info = client.token_info()
    except ConfigurationError:  # the provider, or its issuer's metadata, names no endpoint
        return CheckResult("tokeninfo", Outcome.SKIPPED, f"{config.provider.name} has no call that describes a token")
    except SeicError as error:
        return failure_of("tokeninfo", error)
    except httpx.HTTPError as error:
        return _unexpected("tokeninfo", error)
    facts = {
        field.name: str(value)
        for field in dataclasses.fields(info)
        if field.name != "extra" and (value := getattr(info, field.name)) not in (None, "")
    }
    if info.active:
        return CheckResult("tokeninfo", Outcome.OK, "the provider regards the token as active", details=facts)
    text, remedy = "the provider regards the token as not active", "run seic token --force"
    return CheckResult("tokeninfo", Outcome.FAILED, text, remedy, ExitCode.TOKEN, details=facts)


def _check_call(state: HealthState, client: Client) -> CheckResult:
    try:
        reply = _answer(client, state.path)
    except SeicError as error:
        return failure_of("api", error)
    except httpx.HTTPError as error:
        return _unexpected("api", error)
    answered = f"GET {state.path}: {reply.status_code}"
    tracking = client_tracking_id(client, reply)
    details = {"tracking_id": tracking} if tracking else {}
    if reply.status_code < _FIRST_ERROR:
        return CheckResult("api", Outcome.OK, answered, details=details)
    if reply.status_code == _NOT_FOUND and state.path == "/":
        text = f"{answered}; the host answers, and its API has no page there"
        return CheckResult("api", Outcome.OK, text, "name a path of your API with --path", details=details)
    try:
        raise_for_status(reply)
    except ApiError as error:
        found, remedy = split_remedy(str(error))
        remedy = remedy or _advice(reply.status_code)
        return CheckResult("api", Outcome.FAILED, f"{answered}: {found}", remedy, ExitCode.API, details=details)
    return CheckResult("api", Outcome.FAILED, answered, _advice(reply.status_code), ExitCode.API, details=details)


def _answer(client: Client, path: str) -> httpx.Response:
    """Return the answer to a GET with the beginning of its body, which is enough to explain an error."""
    with client.stream("GET", path) as reply:
        body = bytearray()
        for some in reply.iter_bytes():
            body += some
            if len(body) >= _MAX_BODY:
                break
    decoded = ("content-encoding", "content-length", "transfer-encoding")
    headers = [pair for pair in reply.headers.multi_items() if pair[0] not in decoded]
    return httpx.Response(reply.status_code, headers=headers, content=bytes(body), request=reply.request)


def _advice(status: int) -> str:
    if status == _UNAUTHORIZED:
        return "the API does not accept this token; check that token and API belong to the same environment"
    if status < 500:
        return "ask the API's operator whether this application may call this path"
    return "ask the API's operator, with the tracking id"


def client_tracking_id(client: Client, reply: httpx.Response) -> str | None:
    """Return the provider's id of an API call."""
    from seic._oauth.redact import credentials_of, find_tracking_id

    header = client._oauth.config.provider.tracking_header  # noqa: SLF001  # not for users
    return find_tracking_id(reply.headers, header, secrets=credentials_of(reply))


def _unexpected(name: str, error: Exception) -> CheckResult:
    found, remedy = split_remedy(str(error) or type(error).__name__)
    return CheckResult(name, Outcome.FAILED, found, remedy, ExitCode.NETWORK, getattr(error, "reason", None))


def events_as_facts(events: list[Event]) -> list[dict[str, str]]:
    """Return events for a report: they have no secret by their types."""
    return [
        {"event": event.name, **{field: _text(value) for field, value in _fields(event).items() if value is not None}}
        for event in events
    ]


def _text(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _fields(event: Event) -> dict[str, object]:
    return {field.name: getattr(event, field.name) for field in dataclasses.fields(event)}

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import attrs
import pytest

from seic import (
    AuthorizationCode,
    ClientCredentials,
    ConfigurationError,
    ExistingToken,
    Grant,
    Password,
    Provider,
    RefreshToken,
    Saml2Bearer,
    SamlBearer,
    SessionToken,
    TokenExchange,
)

SAML2_BEARER = "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"
_GATEWAY = Provider(token_url="/v2/oauthtoken", name="the gateway", username_field="username")
_PLATFORM = Provider(token_url="/v2/oauth/token", name="the platform", username_field="email")
_PLAIN = Provider(token_url="/oauth/v2/token", name="the plain one")


def test_the_grant_is_called_as_the_standard_calls_it() -> None:
    """RFC 6749 §4.4.2 names the grant type."""
    grant: Grant = ClientCredentials()

    assert grant.grant_type == "client_credentials"


@pytest.mark.parametrize(
    ("provider", "grant", "fields"),
    [
        (_GATEWAY, ClientCredentials(username="svc", password="pw"), {"username": "svc", "password": "pw"}),
        (_PLATFORM, ClientCredentials(username="svc@x", password="pw"), {"email": "svc@x", "password": "pw"}),
        (_PLAIN, ClientCredentials(), {}),
    ],
    ids=["username at the gateway", "email at the platform", "none at a plain provider"],
)
def test_the_provider_names_the_fields(provider: Provider, grant: ClientCredentials, fields: dict[str, str]) -> None:
    """The same grant passes each provider's check and becomes that provider's form."""
    grant.check(provider)

    assert grant.fields(provider) == fields


@pytest.mark.parametrize(
    ("grant", "field"),
    [
        (ClientCredentials(), "grant.username"),
        (ClientCredentials(password="pw"), "grant.username"),
        (ClientCredentials(username="", password="pw"), "grant.username"),
        (ClientCredentials(username="svc"), "grant.password"),
        (ClientCredentials(username="svc", password=""), "grant.password"),
    ],
    ids=["nothing", "no username", "empty username", "no password", "empty password"],
)
@pytest.mark.parametrize("provider", [_GATEWAY, _PLATFORM], ids=["gateway", "platform"])
def test_a_missing_half_of_the_service_account_is_named(
    provider: Provider, grant: ClientCredentials, field: str
) -> None:
    """If the form has a service account, a missing or empty half is an error with its name and the provider's."""
    with pytest.raises(ConfigurationError, match=provider.name) as caught:
        grant.check(provider)

    assert caught.value.field == field
    assert field in str(caught.value)
    assert "pw" not in str(caught.value).split()


@pytest.mark.parametrize(
    "grant",
    [
        ClientCredentials(username="svc", password="pw"),
        ClientCredentials(username="svc"),
        ClientCredentials(password="pw"),
        ClientCredentials(username="", password=""),
    ],
    ids=["both", "username", "password", "empty"],
)
def test_a_service_account_that_would_go_nowhere_is_refused(grant: ClientCredentials) -> None:
    """A plain provider has no form field for it: an error, instead of a password that is silently left out."""
    with pytest.raises(ConfigurationError, match=r"leave out grant\.username and grant\.password") as caught:
        grant.check(_PLAIN)

    assert caught.value.field == "grant.username"


@pytest.mark.parametrize(
    "grant",
    [ClientCredentials(), ClientCredentials(username="svc"), ClientCredentials(password="pw")],
    ids=["nothing", "username", "password"],
)
def test_half_an_account_never_reaches_the_form(grant: ClientCredentials) -> None:
    """Even without a check, the form has a complete service account or none."""
    assert grant.fields(_GATEWAY) == {}


def test_the_password_stays_out_of_the_repr() -> None:
    """A repr names the account and hides the password."""
    shown = repr(ClientCredentials(username="svc", password="hunter2"))

    assert "svc" in shown
    assert "hunter2" not in shown


def test_a_grant_cannot_change() -> None:
    """A grant is part of a token's key, so it is frozen."""
    grant = ClientCredentials(username="svc", password="pw")

    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        grant.username = "other"  # type: ignore[misc]


_OPEN = Provider(
    token_url="/t", name="the open one", session_token_field="session", end_other_sessions_field="endOtherSessions"
)
_SAML = (
    b'<a:Assertion xmlns:a="urn:oasis:names:tc:SAML:2.0:assertion">'
    b'<a:Conditions NotOnOrAfter="2030-01-01T00:00:00Z"/></a:Assertion>'
)

_EVERY_GRANT: list[Grant] = [
    ClientCredentials(),
    Password(username="u", password="hunter2"),
    RefreshToken(refresh_token="hunter2"),
    AuthorizationCode(code="hunter2", code_verifier="hunter2"),
    SessionToken(session_token="hunter2"),
    Saml2Bearer(saml_assertion=_SAML),
]


@pytest.mark.parametrize(
    ("grant", "grant_type", "fields"),
    [
        (Password(username="u", password="p"), "password", {"username": "u", "password": "p"}),
        (RefreshToken(refresh_token="r"), "refresh_token", {"refresh_token": "r"}),
        (AuthorizationCode(code="c"), "authorization_code", {"code": "c"}),
        (
            AuthorizationCode(code="c", redirect_uri="https://app/back", code_verifier="v"),
            "authorization_code",
            {"code": "c", "redirect_uri": "https://app/back", "code_verifier": "v"},
        ),
        (SessionToken(session_token="s"), "sessionToken", {"session": "s"}),
        (Saml2Bearer(saml_response=b"<a/>"), SAML2_BEARER, {"SAMLResponse": "PGEvPg=="}),
        (Saml2Bearer(saml_assertion=b"<a/>"), SAML2_BEARER, {"SAMLAssertion": "PGEvPg=="}),
    ],
    ids=["password", "refresh", "code", "code with all it is bound to", "session", "response", "assertion"],
)
def test_each_grant_becomes_its_form(grant: Grant, grant_type: str, fields: dict[str, str]) -> None:
    """Each grant passes the check of a provider that offers it, with the documented fields."""
    grant.check(_OPEN)

    assert grant.grant_type == grant_type
    assert grant.fields(_OPEN) == fields


@pytest.mark.parametrize(
    "kind",
    [
        ClientCredentials,
        lambda **asked: Password(username="u", password="p", **asked),
        lambda **asked: RefreshToken(refresh_token="r", **asked),
        lambda **asked: AuthorizationCode(code="c", **asked),
        lambda **asked: SessionToken(session_token="s", **asked),
        lambda **asked: Saml2Bearer(saml_response=b"<a/>", **asked),
    ],
    ids=["client credentials", "password", "refresh", "code", "session", "SAML"],
)
def test_each_grant_may_ask_for_more(kind: Any) -> None:
    """The form of any grant has scope, audience, resource and the end of other sessions if they are set."""
    asked = {"scope": "a b", "audience": "api", "resource": "https://api"}
    grant = kind(**asked, end_other_sessions=True)
    grant.check(_OPEN)

    assert dict(grant.fields(_OPEN).items() - kind().fields(_OPEN).items()) == {**asked, "endOtherSessions": "true"}


@pytest.mark.parametrize("grant", _EVERY_GRANT, ids=lambda grant: type(grant).__name__)
def test_a_grant_that_the_provider_does_not_offer_is_refused(grant: Grant) -> None:
    """The error names both the grant and what the provider offers instead."""
    provider = attrs.evolve(_OPEN, grants=frozenset({"a", "b"}))

    with pytest.raises(ConfigurationError, match="; it offers a, b") as caught:
        grant.check(provider)

    assert caught.value.field == "grant"
    grant.check(attrs.evolve(_OPEN, grants=frozenset({grant.grant_type})))


@pytest.mark.parametrize("grant", _EVERY_GRANT, ids=lambda grant: type(grant).__name__)
def test_other_sessions_end_only_where_the_provider_can(grant: Any) -> None:
    """A parameter without a form field is an error, not ignored."""
    with pytest.raises(ConfigurationError) as caught:
        attrs.evolve(grant, end_other_sessions=True).check(attrs.evolve(_OPEN, end_other_sessions_field=None))

    assert caught.value.field == "grant.end_other_sessions"


@pytest.mark.parametrize(
    ("grant", "field"),
    [
        (Password(username="", password="p"), "grant.username"),
        (Password(username="u", password=""), "grant.password"),
        (Password(username="u", password=None), "grant.password"),  # type: ignore[arg-type]
        (RefreshToken(refresh_token=""), "grant.refresh_token"),
        (AuthorizationCode(code=""), "grant.code"),
        (SessionToken(session_token=""), "grant.session_token"),
        (Saml2Bearer(), "grant.saml_response"),
        (Saml2Bearer(saml_response=b"<a/>", saml_assertion=b"<a/>"), "grant.saml_response"),
        (Saml2Bearer(saml_response=b"hunter2"), "grant.saml_response"),
        (Saml2Bearer(saml_assertion=b"hunter2"), "grant.saml_assertion"),
    ],
    ids=[
        "no username",
        "no password",
        "None for a password",
        "no refresh token",
        "no code",
        "no session",
        "no document",
        "two documents",
        "no response",
        "no assertion",
    ],
)
def test_what_a_grant_lacks_is_named(grant: Grant, field: str) -> None:
    """The check raises before anything is sent."""
    with pytest.raises(ConfigurationError) as caught:
        grant.check(_OPEN)

    assert caught.value.field == field
    assert field in str(caught.value)


def test_a_field_that_no_document_names_is_asked_for() -> None:
    """The field of the session token must be set."""
    grant = SessionToken(session_token="s")
    provider = attrs.evolve(_OPEN, session_token_field=None)

    for use in (grant.check, grant.fields):
        with pytest.raises(ConfigurationError, match=r"attrs\.evolve") as caught:
            use(provider)
        assert caught.value.field == "provider.session_token_field"


def test_a_verifier_needs_a_provider_that_takes_it() -> None:
    """A verifier does not protect if the provider ignores it."""
    grant = AuthorizationCode(code="c", code_verifier="v")
    grant.check(_OPEN)

    with pytest.raises(ConfigurationError) as caught:
        grant.check(attrs.evolve(_OPEN, takes_pkce=False))

    assert caught.value.field == "grant.code_verifier"


def test_the_token_call_repeats_the_redirect_where_the_provider_wants_it() -> None:
    """RFC 6749 §4.1.3 requires it; the platform's documents have no such field."""
    grant = AuthorizationCode(code="c", redirect_uri="https://app/back")

    assert grant.fields(attrs.evolve(_OPEN, redirect_on_token_call=False)) == {"code": "c"}
    assert grant.fields(attrs.evolve(_OPEN, redirect_field="redirect_url"))["redirect_url"] == "https://app/back"


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda ask: ClientCredentials(username="u", password=ask), "password"),
        (lambda ask: Password(username="u", password=ask), "password"),
        (lambda ask: RefreshToken(refresh_token=ask), "refresh_token"),
        (lambda ask: AuthorizationCode(code=ask), "code"),
        (lambda ask: SessionToken(session_token=ask), "session"),
    ],
    ids=["client credentials", "password", "refresh", "code", "session"],
)
def test_what_changes_is_asked_for_once_a_form(make: Any, field: str) -> None:
    """Check and repr do not call a callable; each form calls it."""
    asked = iter(["first", "second"])
    grant = make(lambda: next(asked))
    provider = attrs.evolve(_OPEN, username_field="username")
    grant.check(provider)
    repr(grant)

    assert [grant.fields(provider)[field] for _ in range(2)] == ["first", "second"]


@pytest.mark.parametrize("grant", _EVERY_GRANT, ids=lambda grant: type(grant).__name__)
def test_no_repr_contains_a_secret(grant: Grant) -> None:
    """Expect neither the secret nor the document."""
    assert "hunter2" not in repr(grant)
    assert "Assertion xmlns" not in repr(grant)


@pytest.mark.parametrize(
    ("grant", "repeatable"),
    [
        (ClientCredentials(), True),
        (Password(username="u", password="p"), True),
        (SessionToken(session_token="s"), True),
        (Saml2Bearer(saml_response=b"<a/>"), True),
        (RefreshToken(refresh_token="r"), False),
        (RefreshToken(refresh_token=lambda: "r"), True),
        (AuthorizationCode(code="c"), False),
        (AuthorizationCode(code=lambda: "c"), True),
    ],
    ids=["client credentials", "password", "session", "SAML", "refresh", "refresh callable", "code", "code callable"],
)
def test_what_works_once_says_so(grant: Grant, repeatable: bool) -> None:
    """A code and a refresh token work once; a callable supplies the next one."""
    assert grant.is_repeatable is repeatable


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (RefreshToken(refresh_token="a"), RefreshToken(refresh_token="b")),
        (AuthorizationCode(code="a"), AuthorizationCode(code="b")),
        (SessionToken(session_token="a"), SessionToken(session_token="b")),
        (Saml2Bearer(saml_response=b"<a/>"), Saml2Bearer(saml_response=b"<b/>")),
        (Saml2Bearer(saml_assertion="a.xml"), Saml2Bearer(saml_assertion="b.xml")),
    ],
    ids=["refresh", "code", "session", "document", "path"],
)
def test_two_people_are_told_apart(one: Any, other: Any) -> None:
    """Without a subject a digest identifies the user in the repr; a subject replaces it."""
    assert one.subject is not None
    assert one.subject != other.subject
    assert one.subject in repr(one)
    assert attrs.evolve(one, subject="me").subject == "me"


def test_only_a_document_at_hand_shows_its_end() -> None:
    """A file and a callable have no known expiry, and are not read for it."""
    assert Saml2Bearer(saml_assertion=_SAML).ends_at == dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
    assert Saml2Bearer(saml_assertion=b"<a/>").ends_at is None
    assert Saml2Bearer(saml_assertion=Path("no-such-file")).ends_at is None
    assert Password(username="u", password="p").ends_at is None


@pytest.mark.parametrize(
    ("grant", "field"),
    [
        (Password(username=lambda: "u", password="p"), "username"),  # type: ignore[arg-type]
        (Password(username="u", password=b"p"), "password"),  # type: ignore[arg-type]
        (RefreshToken(refresh_token=b"t"), "refresh_token"),  # type: ignore[arg-type]
        (RefreshToken(refresh_token="t", subject=7), "subject"),  # type: ignore[arg-type]
        (AuthorizationCode(code="c", redirect_uri=7), "redirect_uri"),  # type: ignore[arg-type]
        (AuthorizationCode(code="c", code_verifier=b"v"), "code_verifier"),  # type: ignore[arg-type]
        (Saml2Bearer(saml_response=7), "saml_response"),  # type: ignore[arg-type]
        (TokenExchange(subject_token="t", subject_token_type=7), "subject_token_type"),  # type: ignore[arg-type]
        (SamlBearer(assertion=7), "assertion"),  # type: ignore[arg-type]
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_is_of_another_type_is_named_and_never_quoted(grant: Grant, field: str) -> None:
    """The error names the field and the type of its value, before anything is sent."""
    with pytest.raises(ConfigurationError, match=rf"^grant\.{field}: must be .*, not (function|bytes|int)$") as caught:
        grant.check(Provider(token_url="/t"))

    assert caught.value.field == f"grant.{field}"


def test_a_token_in_hand_must_be_one() -> None:
    """The digest is not computed before the check."""
    with pytest.raises(ConfigurationError, match=r"^grant\.token: "):
        ExistingToken(token="t").check(Provider(token_url="/t"))  # type: ignore[arg-type]

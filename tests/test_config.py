from __future__ import annotations

import copy
import math
import os
import pickle
from pathlib import Path
from typing import Any

import attrs
import pytest

from seic._config import Config
from seic._errors import CertificateError, ConfigurationError
from seic._model.grants import ClientCredentials
from seic._model.hosts import Hosts
from seic._model.provider import Occasion, Provider
from seic._oauth.providers import OAUTH2, SEI_GATEWAY, SEI_PLATFORM
from seic._tls.reasons import CertificateWarning
from seic._tokens.store import MemoryStore
from tests._support.identities import authority, certificate, issued
from tests._support.pki import DAY, NOW, mint
from tests._support.reports import report

_SECRET = "app-Secret-5f1d"
_PASSWORD = "pass-Word-9c2e"
_GRANT = ClientCredentials(username="svc-user", password=_PASSWORD)
_CA_FILE = str(Path(__file__).parents[1] / "certs-sample" / "ca.pem")
_LOOPBACK = Hosts(api="http://127.0.0.1:8080", allow_http_on_loopback=True)


def make(**changes: Any) -> Config:
    """The settings of a gateway's application, with changes."""
    settings: dict[str, Any] = {
        "provider": SEI_GATEWAY,
        "client_id": "app-key",
        "client_secret": _SECRET,
        "grant": _GRANT,
    }
    return Config(**{**settings, **changes})


def refused(**changes: Any) -> ConfigurationError:
    """The error that the changes lead to; its text opens with the field that it names."""
    with pytest.raises(ConfigurationError) as caught:
        make(**changes)
    assert caught.value.field is not None
    assert str(caught.value).startswith(f"{caught.value.field}: ")
    return caught.value


class _Broken(str):
    __slots__ = ()

    def isprintable(self) -> bool:
        raise RuntimeError("broken")

    def __len__(self) -> int:
        return 1


# Which host


@pytest.mark.parametrize(
    ("changes", "base_url"),
    [
        ({}, "https://api.seic.com"),
        ({"environment": "test"}, "https://test.api.seic.com"),
        ({"certificate": True}, "https://mtls.api.seic.com"),
        ({"hosts": Hosts(api="a.example", mtls="m.example")}, "https://a.example"),
        ({"hosts": Hosts(api="a.example", mtls="m.example"), "certificate": True}, "https://m.example"),
        ({"hosts": Hosts(mtls="m.example:444"), "certificate": True}, "https://m.example:444"),
        ({"hosts": Hosts(api="a.example:443")}, "https://a.example"),
        ({"hosts": Hosts(api="[::1]:8443")}, "https://[::1]:8443"),
        ({"hosts": Hosts(mtls="m.example"), "certificate": True, "environment": "test"}, "https://m.example"),
        ({"hosts": _LOOPBACK}, "http://127.0.0.1:8080"),
    ],
    ids=[
        "production",
        "test",
        "production with a certificate",
        "own hosts",
        "own hosts with a certificate",
        "a port",
        "the default port",
        "ipv6",
        "own hosts for the test environment's missing one",
        "http on loopback with the switch",
    ],
)
def test_the_certificate_chooses_the_host(changes: dict[str, Any], base_url: str) -> None:
    """With a certificate calls go to the mutual-TLS host, without one to the API host; the token's way is the same."""
    config = make(**{**changes, **({"certificate": certificate()} if "certificate" in changes else {})})

    assert config.base_url == base_url
    assert config.token_url == f"{base_url}/v2/oauthtoken"


def test_a_certificate_in_the_test_environment_needs_hosts() -> None:
    """No document names a mutual-TLS host for tests: the error says so, and how to go on, in code and in variables."""
    error = refused(certificate=certificate(), environment="test")

    assert error.field == "hosts.mtls"
    for words in ("the test environment", "no documented mutual-TLS host", "hosts=seic.Hosts(", "certificate out"):
        assert words in str(error)


@pytest.mark.parametrize(
    ("hosts", "with_certificate", "field"),
    [(Hosts(api="a.example"), True, "hosts.mtls"), (Hosts(mtls="m.example"), False, "hosts.api")],
    ids=["a certificate and no mtls host", "no certificate and no api host"],
)
def test_no_host_stands_in_for_the_other(hosts: Hosts, with_certificate: bool, field: str) -> None:
    """What is missing is an error, whichever of the two it is; there is no fall-back between them."""
    error = refused(hosts=hosts, certificate=certificate() if with_certificate else None)

    assert error.field == field


def test_a_provider_without_hosts_asks_for_them() -> None:
    """The plain provider's host is the user's to name: the error says how, in code and in variables."""
    error = refused(provider=OAUTH2, grant=ClientCredentials())

    assert error.field == "hosts"
    assert "hosts=seic.Hosts(" in str(error)
    assert "SEIC_API_HOST" in str(error)


def test_an_unknown_environment_is_told_the_known_ones() -> None:
    """A slip in the environment's name does not fall back to production."""
    error = refused(environment="Production")

    assert error.field == "environment"
    assert "'production' or 'test'" in str(error)


@pytest.mark.parametrize(
    ("with_certificate", "field"), [(False, "hosts.api"), (True, "hosts.mtls")], ids=["api", "mtls"]
)
def test_a_host_that_cannot_be_called_is_refused_here(with_certificate: bool, field: str) -> None:
    """What reads as a name but can be no address does not wait for the first call to fail."""
    error = refused(
        hosts=Hosts(api="1.2.3.999", mtls="1.2.3.256"), certificate=certificate() if with_certificate else None
    )

    assert error.field == field


# The token's URL


@pytest.mark.parametrize(
    ("token_url", "hosts", "expected"),
    [
        ("/t", Hosts(api="a.example:8443"), "https://a.example:8443/t"),
        ("/t?tenant=1", Hosts(api="a.example"), "https://a.example/t?tenant=1"),
        ("https://idp.example/t", Hosts(api="a.example"), "https://idp.example/t"),
        ("https://idp.example:8443/t", Hosts(api="a.example"), "https://idp.example:8443/t"),
        ("http://localhost:1/t", _LOOPBACK, "http://localhost:1/t"),
    ],
    ids=["path", "query", "url", "url with a port", "http beside http"],
)
def test_the_token_url_is_below_the_host_or_a_whole_one(token_url: str, hosts: Hosts, expected: str) -> None:
    """A path goes to the chosen host and port; a whole URL is the provider's own."""
    config = make(provider=Provider(token_url=token_url), grant=ClientCredentials(), hosts=hosts)

    assert config.token_url == expected


@pytest.mark.parametrize(
    ("token_url", "hosts"),
    [
        ("http://localhost:1/t", Hosts(api="a.example")),
        ("http://localhost:1/t", Hosts(api="127.0.0.1")),
        ("https://idp.example/t#x", Hosts(api="a.example")),
        ("/t#x", Hosts(api="a.example")),
        ("/t\n", Hosts(api="a.example")),
        ("/t\x7f", Hosts(api="a.example")),
        ("https://1.2.3.999/t", Hosts(api="a.example")),
    ],
    ids=["http", "http beside https on loopback", "fragment", "fragment of a path", "line end", "DEL", "no address"],
)
def test_a_token_url_that_cannot_be_trusted_is_refused(token_url: str, hosts: Hosts) -> None:
    """The secrets go there, so it is held to what holds for hosts (RFC 6749 §3.2 on fragments)."""
    provider = Provider(token_url=token_url)

    assert refused(provider=provider, grant=ClientCredentials(), hosts=hosts).field == "provider.token_url"


# What a user may state


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"provider": "sei-gateway"}, "provider", "seic.SEI_GATEWAY"),
        ({"environment": ""}, "environment", "not empty"),
        ({"environment": None}, "environment", "not empty"),
        ({"hosts": "api.example.com"}, "hosts", "seic.Hosts("),
        ({"client_id": ""}, "client_id", "not empty"),
        ({"client_id": None}, "client_id", "not empty"),
        ({"client_id": 7}, "client_id", "a text"),
        ({"client_id": "key\n"}, "client_id", "line end"),
        ({"client_id": "key\r\nX: y"}, "client_id", "line end"),
        ({"client_id": "two words"}, "client_id", "visible ASCII"),
        ({"client_id": "schlüssel"}, "client_id", "visible ASCII"),
        ({"client_id": "a:b"}, "client_id", "colon"),
        ({"client_secret": None}, "client_secret", "missing"),
        ({"client_secret": ""}, "client_secret", "not empty"),
        ({"client_secret": b"bytes"}, "client_secret", "a text"),
        ({"client_secret": "secret\n"}, "client_secret", "line end"),
        ({"grant": None}, "grant", "seic.ClientCredentials(...)"),
        ({"grant": "client_credentials"}, "grant", "seic.ClientCredentials(...)"),
        ({"grant": ClientCredentials}, "grant", "the class ClientCredentials"),
        ({"grant": ClientCredentials()}, "grant.username", "service account"),
        ({"grant": ClientCredentials(username="svc")}, "grant.password", "service account"),
        ({"grant": ClientCredentials(username=5, password="x")}, "grant.username", "a text, not int"),  # type: ignore[arg-type]
        ({"grant": ClientCredentials(username="u", password=b"x")}, "grant.password", "not bytes"),  # type: ignore[arg-type]
        ({"grant": ClientCredentials(username="u", password="x", scope=["a"])}, "grant.scope", "not list"),  # type: ignore[arg-type]
        ({"certificate": "client.pem"}, "certificate", "seic.ClientCertificate.load(...)"),
        ({"certificate": Path("client.pem")}, "certificate", "seic.ClientCertificate.load(...)"),
        ({"ca": 7}, "ca", "a path or PEM"),
        ({"ca": True}, "ca", "a path or PEM"),
        ({"ca": ""}, "ca", "empty"),
        ({"ca": b""}, "ca", "empty"),
        ({"store": "redis://localhost"}, "store", "seic.MemoryStore()"),
        ({"store": MemoryStore}, "store", "the class MemoryStore"),
        ({"advisory_refresh": "300"}, "advisory_refresh", "number of seconds"),
        ({"advisory_refresh": "51%"}, "advisory_refresh", "up to 50%"),
        ({"advisory_refresh": -1}, "advisory_refresh", "0 or more"),
        ({"mandatory_refresh": True}, "mandatory_refresh", "number of seconds"),
        ({"mandatory_refresh": math.inf}, "mandatory_refresh", "0 or more"),
        ({"advisory_refresh": 59, "mandatory_refresh": 60}, "advisory_refresh", "mandatory_refresh"),
        ({"token_timeout": None}, "token_timeout", "number of seconds"),
        ({"token_timeout": "5"}, "token_timeout", "number of seconds"),
        ({"token_timeout": 0}, "token_timeout", "more than 0"),
        ({"token_timeout": math.inf}, "token_timeout", "endless"),
        ({"token_timeout": math.nan}, "token_timeout", "more than 0"),
    ],
    ids=lambda value: repr(value) if isinstance(value, dict) else "",
)
def test_what_cannot_work_is_refused_at_once(changes: dict[str, Any], field: str, words: str) -> None:
    """The error opens with the setting's name and says what it should be."""
    error = refused(**changes)

    assert error.field == field
    assert words in str(error)


@pytest.mark.parametrize(
    "changes",
    [
        {"client_secret": "%C3%A9:/+ é"},
        {"client_id": "a" * 200},
        {"grant": ClientCredentials(username="svc", password="pass\twörd\n")},
        {"ca": _CA_FILE},
        {"ca": Path(_CA_FILE)},
        {"ca": authority().cert_pem},
        {"ca": authority().cert_pem.decode()},
        {"store": MemoryStore()},
        {"advisory_refresh": 60, "mandatory_refresh": 60},
        {"advisory_refresh": 0, "mandatory_refresh": 0.0},
        {"token_timeout": 0.001},
        {"token_timeout": 3600},
        {"provider": SEI_PLATFORM, "client_id": "ä b:c"},
    ],
    ids=repr,
)
def test_what_can_work_is_taken_as_it_is(changes: dict[str, Any]) -> None:
    """The other side of each edge: nothing is trimmed, guessed or replaced."""
    config = make(**changes)

    for name, value in changes.items():
        assert getattr(config, name) == value


@pytest.mark.parametrize(
    ("ca", "reason"),
    [
        ("nope.pem", "not-found"),
        (b"-----BEGIN CERTIFICATE-----", "truncated"),
        (b"x", "unknown-format"),
        (issued().cert_pem, "not-a-ca"),
        (issued().key_pem, "no-certificate"),
    ],
    ids=["no file", "cut off", "nothing known", "no authority", "a key"],
)
def test_a_ca_that_cannot_work_is_refused_at_once(ca: Any, reason: str) -> None:
    """The error is that of a certificate, and names the setting."""
    with pytest.raises(CertificateError, match=r"^ca: ") as caught:
        make(ca=ca)

    assert (caught.value.field, caught.value.reason) == ("ca", reason)


def test_an_authority_that_has_ended_is_warned_of_at_once() -> None:
    """Beside one that is valid it is no error, and the warning points at the line that states it."""
    old = mint("Old Root", ca=True, number=73, not_before=NOW - 9 * DAY, not_after=NOW - DAY)
    with pytest.warns(CertificateWarning, match="ca: the authority CN=Old Root expired on") as warned:
        make(ca=mint("Root", ca=True, number=70).pem + old.pem)
    assert [one.filename for one in warned] == [__file__]


def test_the_systems_trust_is_not_read_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no setting of the user's: what is wrong with it is for whoever connects."""
    monkeypatch.setenv("SSL_CERT_FILE", "/nonexistent")

    assert make().ca is None


def test_a_client_without_a_secret_is_for_the_provider_to_take() -> None:
    """Whether the secret is needed is the client authentication's to say, not the configuration's."""

    class ById:
        def apply(
            self,
            headers: dict[str, str],
            form: dict[str, str],
            *,
            client_id: str,
            client_secret: str | None,
            occasion: Occasion,
        ) -> None:
            form["client_id"] = client_id

    provider = Provider(token_url="/t", client_authentication=ById())
    config = make(provider=provider, client_secret=None, grant=ClientCredentials(), hosts=Hosts(api="a.example"))

    assert config.client_secret is None


# A value that holds secrets


def test_a_configuration_is_a_value() -> None:
    """Two equal ones are one as a key, and none can change."""
    one, other = make(), make()

    assert one == other
    assert {one: 1}[other] == 1
    assert one != make(client_secret="another")
    assert attrs.evolve(one, environment="test").base_url == "https://test.api.seic.com"
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        one.client_id = "other"  # type: ignore[misc]


def test_a_repr_shows_what_is_public_only() -> None:
    """The secrets show as hidden, the PEM of a CA by its length; the rest is there for whoever looks for a mistake."""
    # Who takes a file for the CA's may take one that holds its key, too.
    pem = authority().cert_pem + issued().key_pem
    shown = [repr(make(ca=ca, certificate=certificate())) for ca in (pem, pem.decode(), _CA_FILE)]

    for text in shown:
        assert _SECRET not in text
        assert _PASSWORD not in text
        assert issued().key_pem.decode().splitlines()[1] not in text
        assert "client_secret=***" in text
        assert "client_id='app-key'" in text
    assert f"<{len(pem)} bytes>" in shown[0]
    assert "<PEM text>" in shown[1]
    assert f"ca={_CA_FILE!r}" in shown[2]


def test_no_pickle_takes_it_and_a_copy_is_itself() -> None:
    """A pickle ends where nobody looks after it; a copy would be a second place where the secrets lie."""
    config = make(certificate=certificate())

    with pytest.raises(TypeError, match=r"Config holds secrets"):
        pickle.dumps(config)
    assert copy.deepcopy(config) is config


@pytest.mark.parametrize(
    "changes",
    [
        {"environment": "nowhere"},
        {"client_id": "two words"},
        {"client_secret": f"{_SECRET}\n"},
        {"grant": ClientCredentials(password=_PASSWORD)},
        {"token_timeout": 0},
        {"certificate": "client.pem"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_an_error_takes_no_secret_along(changes: dict[str, Any]) -> None:
    """A report with the variables of every frame, causes and contexts included, shows none; nor does a pickle."""
    with pytest.raises(ConfigurationError) as caught:
        make(**changes)
    written, pickled = report(caught.value), pickle.dumps(caught.value)

    assert "in called" in written  # the frames that are the SDK's are there
    for secret in (_SECRET, _PASSWORD):
        assert secret not in written
        assert secret.encode() not in pickled


@pytest.mark.parametrize(
    "changes", [{"typo": 1}, {"client_id": _Broken()}], ids=["a keyword that there is not", "a value that fails"]
)
def test_no_other_error_takes_a_secret_along(changes: dict[str, Any]) -> None:
    """What is no ConfigurationError has the same secrets beside it."""
    with pytest.raises((TypeError, RuntimeError)) as caught:
        make(**changes)
    written = report(caught.value)

    assert "in called" in written
    for secret in (_SECRET, _PASSWORD):
        assert secret not in written


def test_a_half_made_one_can_be_shown() -> None:
    """A crash reporter that comes by one must not fail by it."""
    assert repr(Config.__new__(Config)) == "<Config, half made>"


# What a store keeps a token under


def test_a_store_key_tells_identities_apart() -> None:
    """Whatever a token is bound to is in the key; what it is not bound to is not."""
    config = make()
    key = config.store_key(None)

    assert len({
        key,
        config.store_key("a1"),
        make(client_id="other").store_key(None),
        make(environment="test").store_key(None),
        make(hosts=Hosts(api="api.seic.com:444")).store_key(None),
        make(grant=ClientCredentials(username="other", password=_PASSWORD)).store_key(None),
        make(provider=attrs.evolve(SEI_GATEWAY, token_url="/other")).store_key(None),
    }) == 7  # fmt: skip
    assert key == make(client_secret="renewed", ca=_CA_FILE, token_timeout=1).store_key(None)
    assert key == make(grant=ClientCredentials(username="svc-user", password="renewed")).store_key(None)


def test_the_process_environment_is_read_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """`from_env` without arguments reads this process's variables, and changes stand above them."""
    for name in tuple(os.environ):
        if name.startswith("SEIC_"):
            monkeypatch.delenv(name)
    for name, value in {"CLIENT_ID": "app-key", "CLIENT_SECRET": _SECRET, "USERNAME": "svc-user"}.items():
        monkeypatch.setenv(f"SEIC_{name}", value)
    monkeypatch.setenv("SEIC_PASSWORD", _PASSWORD)

    assert Config.from_env() == make()
    assert Config.from_env(environment="test") == make(environment="test")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        pytest.param({"hosts": Hosts(api="xn--0.example")}, "hosts.api", id="the API"),
        pytest.param(
            {"provider": Provider(token_url="https://xn--0.example/t")}, "provider.token_url", id="the tokens"
        ),
    ],
)
def test_a_host_that_is_no_name_in_any_language(changes: dict[str, Any], field: str) -> None:
    """It looks like an internationalised name and is none: the setting is named, by no error of another library."""
    settings: dict[str, Any] = {"provider": OAUTH2, "hosts": Hosts(api="api.example"), "client_id": "c"}
    with pytest.raises(ConfigurationError) as caught:
        Config(**{**settings, "client_secret": "s", "grant": ClientCredentials(), **changes})
    assert caught.value.field == field

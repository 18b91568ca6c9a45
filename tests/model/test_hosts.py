from __future__ import annotations

import pickle

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seic import ConfigurationError, Hosts, Origin
from tests._support.reports import report

_LABEL_63 = "a" * 63
_NAME_253 = ".".join([_LABEL_63, _LABEL_63, _LABEL_63, "a" * 61])


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("api.example.com", Origin("https", "api.example.com", 443)),
        ("https://api.example.com", Origin("https", "api.example.com", 443)),
        ("https://api.example.com/", Origin("https", "api.example.com", 443)),
        ("HTTPS://API.Example.COM", Origin("https", "api.example.com", 443)),
        ("api.example.com:444", Origin("https", "api.example.com", 444)),
        ("https://api.example.com:443", Origin("https", "api.example.com", 443)),
        ("api.example.com:1", Origin("https", "api.example.com", 1)),
        ("api.example.com:65535", Origin("https", "api.example.com", 65535)),
        ("localhost:8443", Origin("https", "localhost", 8443)),
        ("gateway", Origin("https", "gateway", 443)),
        ("my_host.internal", Origin("https", "my_host.internal", 443)),
        ("xn--mnchen-3ya.example", Origin("https", "xn--mnchen-3ya.example", 443)),
        ("192.0.2.7:444", Origin("https", "192.0.2.7", 444)),
        ("[2001:DB8::7]", Origin("https", "2001:db8::7", 443)),
        ("https://[2001:db8::7]:444", Origin("https", "2001:db8::7", 444)),
        pytest.param(f"{_LABEL_63}.example", Origin("https", f"{_LABEL_63}.example", 443), id="label of 63"),
        pytest.param(_NAME_253, Origin("https", _NAME_253, 443), id="name of 253"),
    ],
    ids=str,
)
def test_a_host_is_read_as_people_write_it(text: str, origin: Origin) -> None:
    """Scheme and port may be left out, and the case of letters does not matter."""
    assert Origin.parse(text, field="hosts.api") == origin


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("  ", id="blank"),
        pytest.param(None, id="none"),
        pytest.param(443, id="number"),
        pytest.param(b"api.example.com", id="bytes"),
        pytest.param("https://", id="scheme alone"),
        pytest.param(":443", id="port alone"),
        pytest.param("api.example.com/v1", id="path"),
        pytest.param("api.example.com//", id="two slashes"),
        pytest.param("api.example.com?x=1", id="query"),
        pytest.param("api.example.com#x", id="fragment"),
        pytest.param("https://https://api.example.com", id="scheme twice"),
        pytest.param("https:/api.example.com", id="one slash"),
        pytest.param("//api.example.com", id="no scheme but slashes"),
        pytest.param("ftp://api.example.com", id="ftp"),
        pytest.param("http://api.example.com", id="http"),
        pytest.param("http://127.0.0.1", id="http on loopback unasked"),
        pytest.param("api.example.com:0", id="port 0"),
        pytest.param("api.example.com:65536", id="port too large"),
        pytest.param("api.example.com:-1", id="port negative"),
        pytest.param("api.example.com:https", id="port a word"),
        pytest.param("api.example.com:４４３", id="port in other digits"),
        pytest.param("2001:db8::7", id="IPv6 without brackets"),
        pytest.param("api..example.com", id="empty label"),
        pytest.param("-api.example.com", id="label starts with a hyphen"),
        pytest.param("api-.example.com", id="label ends with a hyphen"),
        pytest.param(f"{_LABEL_63}a.example", id="label of 64"),
        pytest.param(f"{_NAME_253}a", id="name of 254"),
        pytest.param("münchen.example", id="not ASCII"),
        pytest.param("api.example.com\\evil.example", id="backslash"),
        pytest.param("api example.com", id="space within"),
        pytest.param(" api.example.com", id="space before"),
        pytest.param("*.example.com", id="wildcard"),
        pytest.param("api.example.com,mtls.example.com", id="two hosts"),
        pytest.param("api.example.com%2f", id="percent"),
    ],
)
def test_what_is_no_host_is_refused(text: object) -> None:
    """Each wrong form is a ConfigurationError that names the setting."""
    with pytest.raises(ConfigurationError) as caught:
        Origin.parse(text, field="hosts.mtls")  # type: ignore[arg-type]

    assert caught.value.field == "hosts.mtls"
    assert str(caught.value).startswith("hosts.mtls: ")


@pytest.mark.parametrize(
    "text",
    ["[2001:db8::7", "2001:db8::7]", "[api.example.com]", "api.ex℀mple.com", "https://user:hunter2@api.ex℀mple.com"],
    ids=["bracket open", "bracket closed", "name in brackets", "not NFKC", "credentials and not NFKC"],
)
def test_what_cannot_even_be_split_is_refused_alike(text: str) -> None:
    """Text that the standard library cannot parse is a ConfigurationError, too, and is not quoted."""
    with pytest.raises(ConfigurationError) as caught:
        Origin.parse(text, field="hosts.api")

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["user@api.example.com", "user:hunter2@api.example.com", "https://user:hunter2@api.example.com", "@h"]
)
def test_credentials_in_a_host_are_refused_and_not_repeated(text: str) -> None:
    """A password in a host is not printed in the error."""
    with pytest.raises(ConfigurationError, match="no user name or password") as caught:
        Origin.parse(text, field="hosts.api")

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["http://localhost:8080", "http://LOCALHOST", "http://127.0.0.1", "http://127.255.255.254:1", "http://[::1]:8080"],
)
def test_http_is_taken_on_loopback_where_asked_for(text: str) -> None:
    """Http on loopback is allowed if it is enabled."""
    origin = Origin.parse(text, field="hosts.api", allow_http_on_loopback=True)

    assert origin.scheme == "http"
    assert origin.is_loopback


def test_http_has_a_default_port_of_its_own() -> None:
    """The default port of http is 80."""
    assert Origin.parse("http://localhost", field="hosts.api", allow_http_on_loopback=True).port == 80


@pytest.mark.parametrize(
    "text",
    [
        "http://api.example.com",
        "http://10.0.0.1",
        "http://0.0.0.0",
        "http://126.255.255.255",
        "http://128.0.0.0",
        "http://[::2]",
        "http://localhost.example.com",
        "http://127.0.0.1.example.com",
        "http://127.0.0.1@evil.example",
    ],
)
def test_http_is_never_taken_elsewhere(text: str) -> None:
    """A host that only looks like loopback is refused."""
    with pytest.raises(ConfigurationError):
        Origin.parse(text, field="hosts.api", allow_http_on_loopback=True)


def test_a_missing_scheme_is_https_on_loopback_too() -> None:
    """Allowing http does not make it the default."""
    assert Origin.parse("127.0.0.1", field="hosts.api", allow_http_on_loopback=True).scheme == "https"


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("126.255.255.255", False),
        ("128.0.0.0", False),
        ("::2", False),
        ("0.0.0.0", False),  # noqa: S104  nothing listens here
        ("notlocalhost", False),
        ("api.example.com", False),
    ],
)
def test_loopback_is_this_machine_and_nothing_else(host: str, loopback: bool) -> None:
    """A loopback address or `localhost`, but no name that could resolve to another address."""
    assert Origin("https", host, 443).is_loopback is loopback


@pytest.mark.parametrize(
    ("origin", "text"),
    [
        (Origin("https", "api.example.com", 443), "https://api.example.com"),
        (Origin("https", "api.example.com", 444), "https://api.example.com:444"),
        (Origin("https", "api.example.com", 80), "https://api.example.com:80"),
        (Origin("https", "2001:db8::7", 443), "https://[2001:db8::7]"),
        (Origin("https", "2001:db8::7", 444), "https://[2001:db8::7]:444"),
        (Origin("http", "localhost", 80), "http://localhost"),
        (Origin("http", "localhost", 443), "http://localhost:443"),
    ],
    ids=str,
)
def test_an_origin_prints_as_a_url(origin: Origin, text: str) -> None:
    """Only the default port of the scheme is left out."""
    assert str(origin) == text


@given(
    host=st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?){0,3}", fullmatch=True)
    | st.ip_addresses(v=4).map(str)
    | st.ip_addresses(v=6).map(str),
    port=st.integers(1, 65535),
)
def test_what_is_printed_reads_back_the_same(host: str, port: int) -> None:
    """Parsing a printed origin returns the same origin."""
    origin = Origin("https", host, port)

    assert Origin.parse(str(origin), field="hosts.api") == origin


@given(text=st.text(alphabet=st.characters(exclude_characters="[]", max_codepoint=0x7F)))
def test_any_ascii_text_is_an_origin_or_a_configuration_error(text: str) -> None:
    """Any string is a ConfigurationError or an https origin with a host and a port."""
    try:
        origin = Origin.parse(text, field="hosts.api")
    except ConfigurationError:
        return
    assert origin.scheme == "https"
    assert origin.host
    assert 1 <= origin.port <= 65535


@pytest.mark.parametrize("field", ["api", "mtls"])
def test_a_malformed_host_is_named_by_its_side(field: str) -> None:
    """The error names the invalid one of two hosts."""
    texts = {"api": "a.example", "mtls": "m.example"} | {field: "x/y"}

    with pytest.raises(ConfigurationError) as caught:
        Hosts(texts["api"], texts["mtls"])

    assert caught.value.field == f"hosts.{field}"


@pytest.mark.parametrize(("certificate", "chosen"), [(False, "https://a.example"), (True, "https://m.example:444")])
def test_a_certificate_chooses_the_host(certificate: bool, chosen: str) -> None:
    """The mutual-TLS host is chosen with a certificate, the API host without one."""
    hosts = Hosts(api="a.example", mtls="m.example:444")

    assert str(hosts.choose(certificate=certificate)) == chosen
    assert str(hosts.choose(certificate=certificate, environment="production")) == chosen


@pytest.mark.parametrize(
    ("hosts", "certificate", "field"),
    [
        (Hosts(api="a.example"), True, "hosts.mtls"),
        (Hosts(mtls="m.example"), False, "hosts.api"),
        (Hosts(), True, "hosts.mtls"),
        (Hosts(), False, "hosts.api"),
    ],
    ids=["no mtls host", "no api host", "none, with certificate", "none, without certificate"],
)
@pytest.mark.parametrize(
    ("environment", "named"), [("test", "the test environment"), (None, "these hosts")], ids=["named", "not named"]
)
def test_there_is_no_falling_back_to_the_other_host(
    hosts: Hosts, certificate: bool, field: str, environment: str | None, named: str
) -> None:
    """A missing host is an error that says which one, where, and how to set it."""
    with pytest.raises(ConfigurationError) as caught:
        hosts.choose(certificate=certificate, environment=environment)

    assert caught.value.field == field
    assert named in str(caught.value)
    assert "hosts=seic.Hosts(" in str(caught.value)


def test_http_is_allowed_for_both_hosts_or_none() -> None:
    """The switch for tests on this machine covers both hosts, and is off by default."""
    hosts = Hosts("http://localhost:1", "http://localhost:2", allow_http_on_loopback=True)

    assert [str(hosts.api), str(hosts.mtls)] == ["http://localhost:1", "http://localhost:2"]
    with pytest.raises(ConfigurationError):
        Hosts("http://localhost:1")


def test_hosts_are_a_value() -> None:
    """Equal strings make equal hosts, which hash alike, can be pickled and are frozen."""
    hosts = Hosts("A.example", "https://m.example")

    assert hosts == Hosts("https://a.example:443", "m.example")
    assert hash(hosts) == hash(Hosts("a.example", "m.example"))
    assert pickle.loads(pickle.dumps(hosts)) == hosts  # noqa: S301  our own
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        hosts.api = None  # type: ignore[misc]


@pytest.mark.parametrize(
    "text",
    ["u:Passwd-1", "u:Passwd-1/2@x.com", "u:Passwd-1#2@x.com", "u:Passwd-1@x.com", "u:Pass wd-1", "u:Passwd-1:1"],
)
def test_what_may_be_a_password_is_not_quoted(text: str) -> None:
    """If a URL with a password is split in the wrong place, the password is in the host or the port."""
    with pytest.raises(ConfigurationError) as caught:
        Hosts(text)

    for word in ("Passwd", "wd-1"):
        assert word not in report(caught.value)


def test_hosts_that_lack_one_are_many_and_an_environment_is_one() -> None:
    """The message names the host's setting and the remedy."""
    with pytest.raises(ConfigurationError, match=r"these hosts have no documented .*set hosts=seic"):
        Hosts("a.example").choose(certificate=True)
    with pytest.raises(ConfigurationError, match=r"the test environment has no "):
        Hosts("a.example").choose(certificate=True, environment="test")
    with pytest.raises(ConfigurationError, match=r"these hosts have only a mutual-TLS host; "):
        Hosts(mtls="a.example").choose(certificate=False)

"""Errors of failed connections name the host, the problem and the remedy, for API calls and token requests."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

import seic
from seic._network.connect_errors import explain_connect_error
from tests._support.identities import certificate


@pytest.fixture
def closed_port() -> Iterator[int]:
    """Return a port of this machine on which nothing listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTPS_PROXY", "ALL_PROXY", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


def config(host: str, **changes: Any) -> seic.Config:
    """Return a configuration for that host."""
    return seic.Config(
        provider=seic.OAUTH2,
        hosts=seic.Hosts(mtls=host),
        client_id="client",
        client_secret="client-Secret-9",
        grant=seic.ClientCredentials(),
        certificate=certificate(),
        **changes,
    )


def token_call(stated: seic.Config) -> None:
    """Request a token."""

    async def call() -> None:
        async with seic.AsyncClient(stated) as client:
            await client.token()

    asyncio.run(call())


def blocking_token_call(stated: seic.Config) -> None:
    """Request a token with a blocking client."""
    with seic.Client(stated) as client:
        client.token()


def api_call(stated: seic.Config) -> None:
    """Call the API without a token."""

    async def call() -> None:
        async with httpx.AsyncClient(transport=seic.AsyncTransport(stated)) as client:
            await client.get(stated.base_url)

    asyncio.run(call())


def blocking_api_call(stated: seic.Config) -> None:
    """Call the API without a token, with a blocking client."""
    with httpx.Client(transport=seic.Transport(stated)) as client:
        client.get(stated.base_url)


CALLS: dict[Callable[[seic.Config], None], type[Exception]] = {
    token_call: seic.TokenEndpointUnavailable,
    blocking_token_call: seic.TokenEndpointUnavailable,
    api_call: httpx.ConnectError,
    blocking_api_call: httpx.ConnectError,
}


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("call", CALLS)
def test_a_refused_connection_names_host_and_remedy(
    call: Callable[[seic.Config], None], host: str, closed_port: int
) -> None:
    """The port is closed: the message names it and the checks to do, and the cause is kept."""
    with pytest.raises(CALLS[call]) as caught:
        call(config(f"{host}:{closed_port}"))
    said = str(caught.value)
    assert said.startswith(f"{host}:{closed_port}: could not be reached: the connection was refused: nothing listens")
    assert "check host and port" in said
    assert caught.value.__cause__ is not None
    assert "client-Secret-9" not in said


@pytest.mark.parametrize("call", CALLS)
def test_a_name_that_does_not_resolve_is_told(
    call: Callable[[seic.Config], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message contains the resolver's error, the host and the remedy."""

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(
        CALLS[call], match=r"mtls\.example: could not be reached: the host name does not resolve"
    ) as caught:
        call(config("mtls.example"))
    assert "(Name or service not known); check its spelling" in str(caught.value)


@pytest.mark.parametrize("call", CALLS)
def test_a_local_address_of_another_machine_is_told(call: Callable[[seic.Config], None], closed_port: int) -> None:
    """The error names the setting, since no server refused anything."""
    with pytest.raises(CALLS[call], match=r"local_address 192\.0\.2\.10 is not an address of this machine"):
        call(config(f"127.0.0.1:{closed_port}", local_address="192.0.2.10"))


@pytest.mark.parametrize(("host", "local_address"), [("[::1]", "127.0.0.1"), ("127.0.0.1", "::1")])
@pytest.mark.parametrize("call", CALLS)
def test_a_local_address_of_the_other_kind_is_told(
    call: Callable[[seic.Config], None], host: str, local_address: str, closed_port: int
) -> None:
    """IPv4 does not reach IPv6, nor the reverse; the error does not blame the host name."""
    with pytest.raises(CALLS[call], match=rf"local_address {local_address} and the host") as caught:
        call(config(f"{host}:{closed_port}", local_address=local_address))
    assert "resolve" not in str(caught.value)


def test_an_address_of_the_other_family_is_skipped_if_one_refuses() -> None:
    """A host with both families was reached by the usable one."""
    other = OSError("no matching local address with family=<AddressFamily.AF_INET6: 10> found")
    said = explain_connect_error(_behind(ExceptionGroup("several", [other, REFUSED])), REQUEST, "192.0.2.10")
    assert said is not None
    assert "the connection was refused" in said


def test_a_name_that_may_have_addresses_of_the_other_kind_only_is_told() -> None:
    """A resolver that is asked for one family reports the same error for both causes."""
    said = explain_connect_error(_behind(socket.gaierror(socket.EAI_NONAME, "not known")), REQUEST, "::1")
    assert said is not None
    assert "the host name does not resolve (not known), or not to the address family of local_address ::1;" in said


def _behind(cause: BaseException) -> httpx.ConnectError:
    error = httpx.ConnectError("All connection attempts failed")
    error.__cause__ = cause
    return error


REQUEST = httpx.Request("GET", "https://mtls.example", extensions={"timeout": {"connect": 5.0}})
REFUSED = ConnectionRefusedError(errno.ECONNREFUSED, "refused")
NO_ROUTE = OSError(errno.EHOSTUNREACH, "no route")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        pytest.param(httpx.ConnectTimeout("timed out"), "no answer within 5 s, to the connection", id="timeout"),
        pytest.param(_behind(OSError(errno.ENETUNREACH, "unreachable")), "no route to the host", id="network"),
        pytest.param(_behind(NO_ROUTE), "no route to the host", id="host"),
        pytest.param(_behind(ExceptionGroup("several", [NO_ROUTE, REFUSED])), "was refused", id="several-addresses"),
        pytest.param(_behind(OSError(errno.EADDRNOTAVAIL, "cannot assign")), None, id="no-local-address-set"),
        pytest.param(_behind(OSError(errno.EMFILE, "too many open files")), None, id="something-else"),
    ],
)
def test_what_the_system_says_finds_its_words(error: Exception, words: str | None) -> None:
    """Each kind of failure has its message; unknown ones keep the error's own."""
    said = explain_connect_error(error, REQUEST, None)
    assert (said is None) if words is None else (said is not None and words in said)


def test_causes_that_bite_their_tail_end() -> None:
    """A cycle is walked once."""
    error = _behind(cause := ValueError("x"))
    cause.__cause__ = error
    assert explain_connect_error(error, REQUEST, None) is None


def test_a_call_without_a_time_limit_is_told_without_a_number() -> None:
    """The timeout was the system's own."""
    said = explain_connect_error(httpx.ConnectTimeout(""), httpx.Request("GET", "https://mtls.example"), None)
    assert said is not None
    assert "no answer in time" in said

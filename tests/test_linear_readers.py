"""Every reader of foreign bytes takes linear time: eight times the input takes about eight times as long.

The work is the processor time of the process, the least of three runs. Quadratic time would be 64 times as long; the
limit is 24 times, or 40 ms where both are too short to compare.
"""

from __future__ import annotations

import base64
import contextlib
import gc
import json
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from starlette.datastructures import Headers

import seic
from seic.fastapi import ClientCertHeader, EnvoyHeader, MalformedCertificate, NginxHeader
from tests._support.pki import authority, mint

_FACTOR, _LIMIT, _SHORT = 8, 24, 0.040
_CLIENT, _OTHER = mint(issuer=authority()), mint("other", number=7)


def _cost(read: Callable[[int], object], size: int) -> float:
    def once() -> float:
        # The collector would go through the objects of all tests that ran before.
        gc.disable()
        try:
            start = time.process_time()
            with contextlib.suppress(seic.SeicError, httpx.HTTPError, MalformedCertificate):
                read(size)
            return time.process_time() - start
        finally:
            gc.enable()

    return min(once() for _ in range(3))


def _assert_linear(read: Callable[[int], object], size: int) -> None:
    ratio = 0.0
    # Another process may have the caches of one run.
    for _ in range(3):
        small, large = _cost(read, size), _cost(read, _FACTOR * size)
        if large < _SHORT or large < _LIMIT * small:
            return
        ratio = large / max(small, 1e-9)
    pytest.fail(f"{_FACTOR} times the input takes {ratio:.0f} times as long")


def _load(data: bytes) -> object:
    return seic.ClientCertificate.load(data, password="passphrase")


def _key(data: bytes) -> object:
    return seic.ClientCertificate.load(_CLIENT.pem, key=data, password="passphrase")


def _trust(data: bytes) -> object:
    return seic.create_ssl_context(ca=data)


def _config() -> seic.Config:
    return seic.Config(
        provider=seic.OAUTH2,
        hosts=seic.Hosts(api="api.example"),
        client_id="id",
        client_secret="client-Secret-5f1d",
        grant=seic.ClientCredentials(),
    )


def _token(status: int, body: bytes, **headers: str) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(status, content=body, headers=headers))
    with seic.Client(_config(), transport=transport) as client:
        client.token()


def _token_info(body: bytes) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        token = {"access_token": "token", "token_type": "Bearer", "expires_in": 600}
        is_token = request.url.path.endswith("token")
        return httpx.Response(200, json=token) if is_token else httpx.Response(200, content=body)

    config = _config()
    provider = seic.Provider(token_url="/token", introspection_url="/introspect")
    config = seic.Config(
        provider=provider,
        hosts=config.hosts,
        client_id="id",
        client_secret="client-Secret-5f1d",
        grant=seic.ClientCredentials(),
    )
    with seic.Client(config, transport=httpx.MockTransport(answer)) as client:
        client.token_info()


def _api(status: int, body: bytes = b"", **headers: str) -> None:
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("token"):
            return httpx.Response(200, json={"access_token": "token", "token_type": "Bearer", "expires_in": 600})
        return httpx.Response(status, content=body, headers=named)

    with seic.Client(_config(), transport=httpx.MockTransport(answer)) as client:
        seic.raise_for_status(client.get("/path"))


def _pages(body: bytes = b"[]", link: str = "") -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("token"):
            return httpx.Response(200, json={"access_token": "token", "token_type": "Bearer", "expires_in": 600})
        return httpx.Response(200, content=body, headers={"Link": link} if link else {})

    with seic.Client(_config(), transport=httpx.MockTransport(answer)) as client:
        list(client.pages("/path"))


def _metadata(**members: object) -> None:
    document = {"issuer": "https://idp.example", "token_endpoint": "https://idp.example/token", **members}
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json=document))
    seic.discover_sync("https://idp.example", transport=transport)


def _callback(url: str) -> None:
    login = seic.Login.begin(provider=seic.SEI_PLATFORM, client_id="id", redirect_uri="https://app.example/back")
    login.finish(url)


def _no_proxy(value: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
        patch.setenv("NO_PROXY", value)
        repr(_config().network)


def _json(**members: object) -> bytes:
    return json.dumps(members).encode()


_BEGIN, _END = b"-----BEGIN CERTIFICATE-----\n", b"-----END CERTIFICATE-----\n"

PEM: dict[str, tuple[int, Callable[[int], object]]] = {
    "BEGIN without END": (2000, lambda n: _load(_BEGIN * n)),
    "authorities: BEGIN without END": (2000, lambda n: _trust(_BEGIN * n)),
    "authorities: BEGIN, one END": (500, lambda n: _trust(_BEGIN * n + _END + authority().pem)),
    "authorities: empty blocks": (100, lambda n: _trust((_BEGIN + _END) * n + authority().pem)),
    "BEGIN of many labels": (2000, lambda n: _load(b"".join(b"-----BEGIN A%d-----\n" % i for i in range(n)))),
    "a long label": (20000, lambda n: _load(b"-----BEGIN " + b"A" * n)),
    "END without BEGIN": (2000, lambda n: _load(_BEGIN + _END * n)),
    "UTF-16": (2000, lambda n: _load(("-----BEGIN A" * n).encode("utf-16"))),
    "Base64 of BEGIN": (2000, lambda n: _load(base64.b64encode(_BEGIN * n))),
    "escaped line ends": (2000, lambda n: _load(_BEGIN + b"\\n\\r" * n + _END)),
    "one certificate often": (50, lambda n: _load(_CLIENT.pem * n + _CLIENT.key_pem)),
    "one key often": (50, lambda n: _key(_OTHER.key_pem * n)),
    "pairs": (20, lambda n: _load(_CLIENT.pair * n)),
    "authorities of one name": (50, lambda n: _load(authority().pem * n + _CLIENT.pair)),
    "DEK-Info": (
        20000,
        lambda n: _key(
            b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,%b\n\n!"
            b"\n-----END RSA PRIVATE KEY-----" % (b"ab" * n)
        ),
    ),
    "blanks before Proc-Type": (
        20000,
        lambda n: _key(b"-----BEGIN RSA PRIVATE KEY-----\n%bProc-Type: 4\n-----END RSA PRIVATE KEY-----" % (b" " * n)),
    ),
    "DER: nested": (20000, lambda n: _load(b"\x30\x80" * n)),
    "DER: many elements": (5000, lambda n: _load(b"\x30\x83" + (2 * n).to_bytes(3, "big") + b"\x05\x00" * n)),
    "DER: a PKCS#12 of many elements": (
        5000,
        lambda n: _load(b"\x30\x83" + (2 * n + 3).to_bytes(3, "big") + b"\x02\x01\x03" + b"\x30\x00" * n),
    ),
    "text that may be a path": (20000, lambda n: seic.ClientCertificate.load("aA1" * n + "!")),
}
REPLIES: dict[str, tuple[int, Callable[[int], object]]] = {
    "Link: brackets": (20_000, lambda size: _pages(link="<" * size)),
    "Link: links": (4_000, lambda size: _pages(link="<a>;" * size)),
    "Link: open quotes": (4_000, lambda size: _pages(link='<a>;x="\\' * size)),
    "Link: parameters": (8_000, lambda size: _pages(link="<a>" + ";x" * size)),
    "Link: spaces": (20_000, lambda size: _pages(link="<a>;x" + " " * size)),
    "pages: members": (
        2_000,
        lambda size: _pages(json.dumps({f"next{one}": {"a": "b"} for one in range(size)}).encode()),
    ),
    "pages: a long name": (20_000, lambda size: _pages(json.dumps({"next" * size: "b"}).encode())),
    "many members": (500, lambda n: _token(200, _json(**{f"m{i}": i for i in range(n)}))),
    "nested lists": (4000, lambda n: _token(200, b"[" * n)),
    "nested objects": (4000, lambda n: _token(200, b'{"a":' * n)),
    "properties twice": (500, lambda n: _token(200, b"{" + b'"a":[1],' * n + b'"a":[1]}')),
    "properties twice around a text": (
        50,
        lambda n: _token(200, b'{"x":1,"x":1,"n":' * n + b'"' + b"x" * n * 250 + b'"' + b"}" * n),
    ),
    "codes of errors": (4000, lambda n: _token(400, _json(error="invalid_Is_" * n, message="the token is " * n))),
    "Latin-1": (20000, lambda n: _token(400, b'{"message":"' + b"\xe9" * n + b'"}')),
    "UTF-16": (20000, lambda n: _token(400, ('{"message":"' + "x" * n + '"}').encode("utf-16"))),
    "a long number": (20000, lambda n: _token(200, b'{"expires_in":' + b"1" * n + b"}")),
    "a long exponent": (20000, lambda n: _token(200, b'{"expires_in":1e' + b"1" * n + b"}")),
    "a number as text": (20000, lambda n: _token(200, _json(access_token="t", token_type="b", expires_in="1" * n))),
    "scopes": (20000, lambda n: _token(200, _json(access_token="t", token_type="Bearer", scope="a " * n))),
    "a token of dots": (
        20000,
        lambda n: _token(200, _json(access_token="a." * n, token_type="Bearer", id_token="." * n)),
    ),
    "the secret repeated": (4000, lambda n: _token(400, _json(error="x", error_description="client-Secret-5f1d" * n))),
    "blanks": (40000, lambda n: _token(400, _json(error="x", error_description=" " * n))),
    "HTML": (8000, lambda n: _token(400, b"<html>" * n, content_type="text/html")),
    "angle brackets": (40000, lambda n: _token(400, b"<" * n, content_type="text/html")),
    "plain text": (40000, lambda n: _token(400, b"a \n" * n, content_type="text/plain")),
    "no UTF-8": (40000, lambda n: _token(200, b"\xff" * n)),
    "a location of dots": (4000, lambda n: _token(302, b"", location="https://a" + "." * n)),
    "introspection": (40000, lambda n: _token_info(b'{"active": true, "scope": "' + b"a " * n + b'"}')),
    "errors of the API": (1000, lambda n: _api(400, _json(errors=[{"message": "x"}] * n))),
    "an API's message": (4000, lambda n: _api(400, _json(message="x\u202e" * n))),
    "an API's page: titles": (1300, lambda n: _api(400, b"<title" * n)),
    "an API's page: tags": (4000, lambda n: _api(400, b"<b" * n)),
    "an API's page: entities": (2000, lambda n: _api(400, b"<&am" * n)),
    "an API's objects": (1000, lambda n: _api(400, _json(**{f"m{i}": {"n": {}} for i in range(n)}))),
    "an API's list": (1000, lambda n: _api(401, b"[" + b"{}," * n + b"{}]")),
    "challenge: quotes": (500, lambda n: _api(401, WWW_Authenticate="Bearer " + 'a="' * n)),
    "challenge: schemes": (500, lambda n: _api(401, WWW_Authenticate="a " * n)),
    "challenge: blanks": (1000, lambda n: _api(401, WWW_Authenticate="Bearer a" + " " * n)),
    "challenge: backslashes": (1000, lambda n: _api(401, WWW_Authenticate='Bearer a="' + "\\" * n)),
    "Retry-After": (1000, lambda n: _api(429, Retry_After="1" * n)),
    "metadata: lists": (1000, lambda n: _metadata(grant_types_supported=["x"] * n)),
    "metadata: a host of dots": (1000, lambda n: _metadata(token_endpoint=f"https://{'a.' * n}/")),
    "metadata: a host of digits": (1000, lambda n: _metadata(token_endpoint=f"https://{'1' * n}/")),
    "callback: parameters": (1000, lambda n: _callback("https://app.example/back?" + "a=b&" * n)),
    "callback: escapes": (4000, lambda n: _callback("https://app.example/back?code=" + "%41" * n)),
    "callback: slashes": (4000, lambda n: _callback("/" * n)),
    "NO_PROXY": (1000, lambda n: _no_proxy("a.example, " * n)),
    "NO_PROXY: dots": (4000, lambda n: _no_proxy("." * n)),
    "proxy header: PEM": (4000, lambda n: NginxHeader().thumbprint(Headers({"X-SSL-Client-Cert": "%0A" * n}))),
    "proxy header: quotes": (
        4000,
        lambda n: EnvoyHeader().thumbprint(Headers({"X-Forwarded-Client-Cert": 'By="' + '\\"' * n})),
    ),
    "proxy header: pairs": (1000, lambda n: EnvoyHeader().thumbprint(Headers({"X-Forwarded-Client-Cert": "a=b;" * n}))),
    "proxy header: Base64": (4000, lambda n: ClientCertHeader().thumbprint(Headers({"Client-Cert": ":" + "A" * n}))),
}


@pytest.mark.parametrize("row", PEM)
@pytest.mark.filterwarnings("ignore::seic.CertificateWarning")
def test_reading_certificates_is_linear(row: str) -> None:
    """PEM and DER, damaged or only large."""
    size, read = PEM[row]
    _assert_linear(read, size)


@pytest.mark.parametrize("row", REPLIES)
def test_reading_replies_and_headers_is_linear(row: str) -> None:
    """Bodies, headers, metadata, callbacks and proxies' headers."""
    size, read = REPLIES[row]
    _assert_linear(read, size)


@pytest.mark.parametrize("part", ["<a>", "<a b='c'/>", "&amp;", "<!--"])
def test_reading_a_saml_document_is_linear(part: str) -> None:
    """The document is the user's, but an identity provider wrote it."""

    def read(size: int) -> None:
        grant = seic.SamlBearer(assertion=f"<r>{part * size}")
        config = seic.Config(
            provider=seic.OAUTH2,
            hosts=seic.Hosts(api="api.example"),
            client_id="id",
            client_secret="secret",
            grant=grant,
        )
        with seic.Client(config, transport=httpx.MockTransport(lambda _: httpx.Response(400))) as client:
            client.token()

    _assert_linear(read, 2000)


@pytest.mark.parametrize("part", ["a.", "[a]\n", "a = 1\n", "[", '"', "'''"])
def test_reading_profiles_is_linear(part: str, tmp_path: Path) -> None:
    """Python's parser needs quadratic time for a key of many parts, so such a file is refused before."""

    def read(size: int) -> None:
        path = tmp_path / "config.toml"
        path.write_text(part * size)
        seic.Config.from_file(path)

    _assert_linear(read, 2000)

"""Thumbprints of client certificates in headers of proxies."""

from __future__ import annotations

import base64
import hashlib
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from starlette.datastructures import Headers

from seic.fastapi import (
    ClientCertHeader,
    EnvoyHeader,
    ForwardedCertificate,
    MalformedCertificate,
    NginxHeader,
)
from seic.sandbox import CertificateAuthority

_ISSUED = CertificateAuthority().issue("svc-user")
DER = _ISSUED.certificate.public_bytes(Encoding.DER)
PEM = quote(_ISSUED.cert_pem.decode(), safe="")
HEX = hashlib.sha256(DER).hexdigest()
THUMBPRINT = base64.urlsafe_b64encode(hashlib.sha256(DER).digest()).rstrip(b"=").decode()
FIELD = f":{base64.b64encode(DER).decode()}:"


def headers(name: str, *values: str) -> Headers:
    """Return headers with one line for each value."""
    return Headers(raw=[(name.lower().encode(), value.encode("latin-1")) for value in values])


@pytest.mark.parametrize(
    ("reader", "name", "value"),
    [
        pytest.param(ClientCertHeader(), "Client-Cert", FIELD, id="RFC 9440"),
        pytest.param(ClientCertHeader(), "Client-Cert", f" {FIELD} ", id="RFC 9440, spaces around"),
        pytest.param(NginxHeader(), "X-SSL-Client-Cert", PEM, id="nginx"),
        pytest.param(NginxHeader("X-Cert"), "X-Cert", PEM, id="nginx, another name"),
        pytest.param(EnvoyHeader(), "X-Forwarded-Client-Cert", f"Hash={HEX}", id="Envoy, hash"),
        pytest.param(EnvoyHeader(), "X-Forwarded-Client-Cert", f"Hash={HEX.upper()}", id="Envoy, hash in capitals"),
        pytest.param(EnvoyHeader(), "X-Forwarded-Client-Cert", f'Cert="{PEM}"', id="Envoy, certificate"),
        pytest.param(
            EnvoyHeader(),
            "X-Forwarded-Client-Cert",
            f'By=spiffe://a/b;Hash={HEX};Subject="CN=x,O=\\"y;z\\"";URI=;DNS=a',
            id="Envoy, everything",
        ),
        pytest.param(
            EnvoyHeader(),
            "X-Forwarded-Client-Cert",
            f"Hash={HEX};URI=spiffe://a/b;URI=spiffe://a/c;DNS=a;DNS=b",
            id="Envoy, several names",
        ),
    ],
)
def test_each_proxy_gives_the_same_thumbprint(reader: ForwardedCertificate, name: str, value: str) -> None:
    """The same certificate has the same `x5t#S256`."""
    assert reader.thumbprint(headers(name, value)) == THUMBPRINT


@pytest.mark.parametrize(
    ("reader", "name", "values"),
    [
        pytest.param(ClientCertHeader(), "Client-Cert", [], id="RFC 9440, absent"),
        pytest.param(NginxHeader(), "X-SSL-Client-Cert", [], id="nginx, absent"),
        pytest.param(NginxHeader(), "X-SSL-Client-Cert", [""], id="nginx, empty: no certificate was presented"),
        pytest.param(EnvoyHeader(), "X-Forwarded-Client-Cert", [], id="Envoy, absent"),
        pytest.param(EnvoyHeader(), "X-Forwarded-Client-Cert", [""], id="Envoy, empty"),
        pytest.param(ClientCertHeader(), "X-SSL-Client-Cert", [PEM], id="another header"),
    ],
)
def test_no_certificate_is_none(reader: ForwardedCertificate, name: str, values: list[str]) -> None:
    """It is not an error."""
    assert reader.thumbprint(headers(name, *values)) is None


@pytest.mark.parametrize(
    ("reader", "name", "values"),
    [
        pytest.param(ClientCertHeader(), "Client-Cert", [FIELD, FIELD], id="RFC 9440, twice"),
        pytest.param(ClientCertHeader(), "Client-Cert", [f"{FIELD}, {FIELD}"], id="RFC 9440, a list"),
        pytest.param(ClientCertHeader(), "Client-Cert", [FIELD.strip(":")], id="RFC 9440, without colons"),
        pytest.param(ClientCertHeader(), "Client-Cert", ["::"], id="RFC 9440, empty bytes"),
        pytest.param(ClientCertHeader(), "Client-Cert", [":A:"], id="RFC 9440, not Base64"),
        pytest.param(ClientCertHeader(), "Client-Cert", [""], id="RFC 9440, empty"),
        pytest.param(NginxHeader(), "X-SSL-Client-Cert", [PEM, PEM], id="nginx, twice"),
        pytest.param(NginxHeader(), "X-SSL-Client-Cert", ["", PEM], id="nginx, an empty one and another"),
        pytest.param(NginxHeader(), "X-SSL-Client-Cert", [PEM + PEM], id="nginx, two certificates"),
        pytest.param(NginxHeader(), "X-SSL-Client-Cert", [FIELD], id="nginx, RFC 9440 form"),
        pytest.param(
            NginxHeader(),
            "X-SSL-Client-Cert",
            [quote("-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----")],
            id="nginx, not Base64",
        ),
        pytest.param(EnvoyHeader(), "X-Forwarded-Client-Cert", [f"Hash={HEX},Hash={HEX}"], id="Envoy, two hops"),
        pytest.param(EnvoyHeader(), "X-Forwarded-Client-Cert", [f"Hash={HEX};Hash={HEX}"], id="Envoy, two hashes"),
        pytest.param(
            EnvoyHeader(), "X-Forwarded-Client-Cert", [f'Cert="{PEM}";cert="{PEM}"'], id="Envoy, two certificates"
        ),
        pytest.param(
            EnvoyHeader(), "X-Forwarded-Client-Cert", [f'Hash={HEX};Chain="a";Chain="b"'], id="Envoy, two chains"
        ),
        pytest.param(EnvoyHeader(), "X-Forwarded-Client-Cert", [f"Hash={HEX}", f"Hash={HEX}"], id="Envoy, twice"),
        pytest.param(EnvoyHeader(), "X-Forwarded-Client-Cert", ["Hash=abc"], id="Envoy, short hash"),
        pytest.param(EnvoyHeader(), "X-Forwarded-Client-Cert", ['Subject="CN=x"'], id="Envoy, no hash"),
        pytest.param(EnvoyHeader(), "X-Forwarded-Client-Cert", [f'By="a;Hash={HEX}'], id="Envoy, open quote"),
        pytest.param(EnvoyHeader(), "X-Forwarded-Client-Cert", ["gibberish"], id="Envoy, malformed"),
    ],
)
def test_a_malformed_or_repeated_header_is_an_error(reader: ForwardedCertificate, name: str, values: list[str]) -> None:
    """If it were ignored, clients could choose the certificate."""
    with pytest.raises(MalformedCertificate):
        reader.thumbprint(headers(name, *values))


def test_a_quoted_value_cannot_inject_a_hash() -> None:
    """The subject of a certificate is chosen by the client."""
    value = f'Subject="CN=x;Hash={"0" * 64}";Hash={HEX}'

    assert EnvoyHeader().thumbprint(headers("X-Forwarded-Client-Cert", value)) == THUMBPRINT

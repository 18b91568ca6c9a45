from __future__ import annotations

import base64
import datetime as dt
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seic import SEI_PLATFORM, ConfigurationError, Saml2Bearer, SamlDocument

MAX_DOCUMENT_BYTES = 1024 * 1024

_NAMESPACES = 'xmlns:p="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:a="urn:oasis:names:tc:SAML:2.0:assertion"'


def _assertion(conditions: str = "", confirmation: str = "") -> bytes:
    return (
        f"<p:Response {_NAMESPACES}><a:Assertion><a:Subject><a:SubjectConfirmation>"
        f"<a:SubjectConfirmationData {confirmation}/></a:SubjectConfirmation></a:Subject>"
        f"<a:Conditions {conditions}/></a:Assertion></p:Response>"
    ).encode()


XML = _assertion('NotOnOrAfter="2030-01-01T00:05:00Z"', 'NotOnOrAfter="2030-01-01T00:01:00Z"')
BASE64 = base64.b64encode(XML)


def _ends(source: SamlDocument) -> dt.datetime | None:
    return Saml2Bearer(saml_response=source, subject="me").ends_at


def _encode(source: SamlDocument) -> str:
    encoded = Saml2Bearer(saml_response=source, subject="me").fields(SEI_PLATFORM)["SAMLResponse"]
    assert isinstance(encoded, str)
    return encoded


@pytest.mark.parametrize(
    "source",
    [
        XML,
        b"\n " + XML + b"\n",
        BASE64,
        base64.encodebytes(XML),
        XML.decode(),
        BASE64.decode(),
        lambda: XML,
        BASE64.decode,
    ],
    ids=["XML", "space around", "Base64", "lines", "text", "Base64 text", "callable", "callable of text"],
)
def test_a_document_becomes_base64_of_its_xml(source: SamlDocument) -> None:
    """Each form of the same document sends the same bytes; only an inline one has a known expiry."""
    assert _encode(source) == BASE64.decode()
    assert _ends(source) == (None if callable(source) else dt.datetime(2030, 1, 1, 0, 1, tzinfo=dt.UTC))


def test_a_file_is_read_each_time(tmp_path: Path) -> None:
    """A path, as a string or not, reads the file's current content."""
    path = tmp_path / "response.xml"
    for content in (XML, b"<other/>"):
        path.write_bytes(content)
        assert _encode(path) == _encode(str(path)) == base64.b64encode(content).decode()
        assert _ends(path) is _ends(str(path)) is None


@pytest.mark.parametrize("mark", ["utf-8-sig", "utf-16"])
def test_encodings_of_xml_pass(mark: str) -> None:
    """A byte order mark names the encoding of XML, and the bytes are signed: they are not changed."""
    document = XML.decode().encode(mark)

    assert _encode(document) == base64.b64encode(document).decode()


@pytest.mark.parametrize(
    "source",
    [
        b"",
        b"hunter2 not a document",
        b"!!!!",
        base64.b64encode(b"hunter2 not XML"),
        base64.b64encode(zlib.compress(XML)),
        BASE64[:-3],
        base64.urlsafe_b64encode(b"<\xff\xff>" * 9),
        lambda: b"hunter2",
    ],
    ids=[
        "empty",
        "words",
        "signs",
        "Base64 of words",
        "compressed",
        "cut off",
        "the alphabet of URLs",
        "from a callable",
    ],
)
def test_what_is_no_document_is_refused_unquoted(source: SamlDocument) -> None:
    """The error names the setting and the expected format, without the damaged credential."""
    with pytest.raises(ConfigurationError, match="signed XML, or Base64 of it") as caught:
        _encode(source)

    assert caught.value.field == "grant.saml_response"
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "source", ["no-such-file.xml", "nul\0byte", "half\ud800pair", BASE64.decode()[:-3] + "!"], ids=ascii
)
def test_a_path_that_leads_nowhere_is_refused_unquoted(source: str) -> None:
    """A damaged document in a string is read as a path, so the message does not repeat the path."""
    with pytest.raises(ConfigurationError, match="or a readable file") as caught:
        _encode(source)

    assert source not in str(caught.value)


def test_a_folder_is_no_document(tmp_path: Path) -> None:
    """The message has the operating system's reason."""
    with pytest.raises(ConfigurationError, match="directory"):
        _encode(tmp_path)


@pytest.mark.parametrize("answer", [None, 7, {}], ids=repr)
def test_a_callable_must_return_a_document(answer: object) -> None:
    """The error names the type of the result."""
    with pytest.raises(ConfigurationError, match=type(answer).__name__):
        _encode(lambda: answer)  # type: ignore[arg-type,return-value]


def test_a_callable_that_fails_is_the_cause() -> None:
    """The exception of the user's code is the cause."""

    def login() -> bytes:
        raise TimeoutError("nobody came")

    with pytest.raises(ConfigurationError, match="raised TimeoutError") as caught:
        _encode(login)

    assert isinstance(caught.value.__cause__, TimeoutError)


@pytest.mark.parametrize("over", [0, 1])
def test_a_document_has_a_limit(over: int, tmp_path: Path) -> None:
    """The limit is accepted and one byte more is not, from memory and from a file."""
    document = b"<a>" + b"x" * (MAX_DOCUMENT_BYTES - 7 + over) + b"</a>"
    path = tmp_path / "long.xml"
    path.write_bytes(document)
    for source in (document, path):
        if over:
            with pytest.raises(ConfigurationError, match=r"l(ong|arg)er than"):
                _encode(source)
        else:
            assert _encode(source)


@pytest.mark.parametrize(
    ("document", "ends"),
    [
        (_assertion(), None),
        (_assertion('NotOnOrAfter="2030-01-01T00:05:00Z"'), (2030, 1, 1, 0, 5)),
        (_assertion(confirmation='NotOnOrAfter="2030-01-01T00:05:00"'), (2030, 1, 1, 0, 5)),
        (_assertion('NotOnOrAfter="2030-01-01T02:05:00+02:00"'), (2030, 1, 1, 0, 5)),
        (_assertion('NotOnOrAfter="2030-01-01T00:05:00.250Z"'), (2030, 1, 1, 0, 5, 0, 250_000)),
        (_assertion('NotOnOrAfter="soon"'), None),
        (_assertion('NotOnOrAfter="0001-01-01T00:00:00+12:00"'), None),
        (_assertion('NotBefore="2030-01-01T00:05:00Z"'), None),
        (b'<Conditions NotOnOrAfter="2030-01-01T00:05:00Z"/>', None),
        (XML[:-5], None),
        (b"<a><b></a>", None),
        (b'<?xml version="1.0" encoding="no-such"?><a/>', None),
        (b'<?xml version="1.0" encoding="euc-jp"?><a/>', None),
    ],
    ids=[
        "none named",
        "conditions",
        "confirmation, no zone",
        "another zone",
        "fractions",
        "no time",
        "before all time",
        "a beginning",
        "another namespace",
        "cut off",
        "no XML",
        "unknown encoding",
        "encoding beyond the parser",
    ],
)
def test_the_end_is_read_where_it_can_be(document: bytes, ends: tuple[int, ...] | None) -> None:
    """The earliest expiry of an assertion, in UTC; None if none can be read."""
    assert _ends(document) == (None if ends is None else dt.datetime(*ends, tzinfo=dt.UTC))  # type: ignore[misc,arg-type]


def test_entities_end_the_reading() -> None:
    """A document type can declare entity bombs and foreign files: nothing after it is parsed."""
    levels = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 30))
    bomb = f'<!DOCTYPE a [<!ENTITY e0 "ha">{levels}<!ENTITY f SYSTEM "file:///etc/passwd">]><a>&e29;&f;</a>'

    assert _ends(bomb.encode()) is None
    assert _ends(b"<!DOCTYPE a>" + XML) is None


@given(st.binary() | st.binary().map(lambda content: b"<" + content) | st.binary().map(lambda c: XML[: len(c) * 9] + c))
def test_any_bytes_are_a_document_or_an_error(content: bytes) -> None:
    """Damaged bytes raise a ConfigurationError and nothing else."""
    try:
        encoded = _encode(content)
    except ConfigurationError:
        return
    assert base64.b64decode(encoded)
    _ends(content)

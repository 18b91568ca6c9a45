"""Strict parsing of JSON."""

from __future__ import annotations

import contextlib
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seic._oauth.json_body import MAX_DEPTH, MAX_REPLY_BYTES, JsonBodyError, read_document


def _nested(levels: int) -> bytes:
    return b'{"a":' + b"[" * levels + b"]" * levels + b"}"


def _sized(size: int) -> bytes:
    return b'{"a":"' + b"x" * (size - 8) + b'"}'


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param(b"", "empty", id="empty"),
        pytest.param(b" \r\n\t", "empty", id="blank"),
        pytest.param(b"\xef\xbb\xbf", "empty", id="a mark alone"),
        pytest.param('{"a": 1}'.encode("utf-16"), "byte order mark", id="UTF-16 with a mark"),
        pytest.param('{"a": 1}'.encode("utf-16-le"), "not JSON", id="UTF-16 without a mark"),
        pytest.param(b'{"a": "\xff"}', "not UTF-8", id="bad UTF-8"),
        pytest.param(b'{"a": "\xed\xa0\x80"}', "not UTF-8", id="a surrogate in UTF-8"),
        pytest.param(b"<!DOCTYPE html><html></html>", "HTML", id="HTML"),
        pytest.param(b'\n <?xml version="1.0"?>', "HTML or XML", id="XML"),
        pytest.param(b'{"a": "b', "truncated", id="cut off"),
        pytest.param(b'{"a": 1} {"b": 2}', "not JSON", id="two documents"),
        pytest.param(b"access_token=abc&expires_in=1", "not JSON", id="a form"),
        pytest.param(b"[]", "not an object", id="a list"),
        pytest.param(b"null", "not an object", id="null"),
        pytest.param(b'"{}"', "not an object", id="a string"),
        pytest.param(b'{"a": 1, "a": 2}', "twice", id="a property twice"),
        pytest.param(b'{"a": 1, "a": true}', "twice", id="a property twice, equal for Python only"),
        pytest.param(b'{"a": [1], "a": [true]}', "twice", id="the same in a list"),
        pytest.param(b'{"b": {"a": 1, "\\u0061": 2}}', "twice", id="a property twice, within and escaped"),
        pytest.param(b'{"some": NaN}', "some is not a finite number", id="NaN"),
        pytest.param(b'{"some": -Infinity}', "some is not a finite number", id="infinity"),
        pytest.param(b'{"p w": NaN}', "a property is not a finite number", id="an odd name is not quoted"),
        pytest.param(b'{"some": "\\ud800"}', "some has half of a surrogate pair", id="surrogate in a value"),
        pytest.param(b'{"\\udfff": 1}', "a property has half of a surrogate pair", id="surrogate in a name"),
        pytest.param(b'{"some": [{"\\udfff": 1}]}', "some has half of", id="surrogate in a name within"),
        pytest.param(_nested(MAX_DEPTH), "nested deeper", id="too deep by one"),
        pytest.param(_nested(100_000), "nested deeper", id="too deep for the stack"),
        pytest.param(b'{"a":' * 50_000, "nested deeper", id="too deep and cut off"),
        pytest.param(_sized(MAX_REPLY_BYTES + 1), "longer than", id="too long by one"),
    ],
)
def test_a_defect_is_named(body: bytes, words: str) -> None:
    """Expect a separate message for each defect."""
    with pytest.raises(JsonBodyError, match=words):
        read_document(body)


@pytest.mark.parametrize(
    ("body", "document"),
    [
        pytest.param(b"{}", {}, id="empty object"),
        pytest.param(b"\xef\xbb\xbf{}", {}, id="a byte order mark (RFC 8259 §8.1)"),
        pytest.param(b' {"a": [1, 2.5, "x", null, true]}\n', {"a": [1, 2.5, "x", None, True]}, id="every kind"),
        pytest.param(b'{"a": "\\ud83d\\ude00"}', {"a": "\U0001f600"}, id="a whole surrogate pair"),
        pytest.param('{"ü": "€"}'.encode(), {"ü": "€"}, id="other scripts"),
        pytest.param(b'{"a": [1, {"b": "x"}], "a": [1, {"b": "x"}]}', {"a": [1, {"b": "x"}]}, id="equal values"),
        pytest.param(b'{"a": 1}\0\0\n\0', {"a": 1}, id="NULs at the end"),
        pytest.param(b'{"a": ' + b"9" * 300 + b"}", {"a": int("9" * 300)}, id="a long number is exact"),
        pytest.param(
            b'[{"a": 1}, {"a": 2}]'.replace(b"[", b'{"l": [').replace(b"]", b"]}"),
            {"l": [{"a": 1}, {"a": 2}]},
            id="one name in two objects",
        ),
    ],
)
def test_a_sound_document_is_read(body: bytes, document: dict[str, object]) -> None:
    """Expect an object in UTF-8 to be read as it is."""
    assert read_document(body) == document


@pytest.mark.parametrize("value", [b"NaN", b"[-Infinity]", b'"\\ud800"', b'{"\\udfff": 1}'])
def test_a_defect_of_a_property_that_does_not_matter(value: bytes) -> None:
    """Expect the property to be left out, and others to be read; one that matters is an error."""
    body = b'{"a": 1, "b": ' + value + b"}"
    assert read_document(body, members={"a"}) == {"a": 1}
    with pytest.raises(JsonBodyError, match="b "):
        read_document(body, members={"b"})


def test_the_limits_are_inclusive() -> None:
    """Expect documents at the limits of depth and size to be accepted."""
    read_document(_nested(MAX_DEPTH - 1))
    assert len(_sized(MAX_REPLY_BYTES)) == MAX_REPLY_BYTES
    read_document(_sized(MAX_REPLY_BYTES))


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"access_token": "hunter2", oops', id="not JSON"),
        pytest.param(b'{"access_token": "hunter2", "\xff"}', id="not UTF-8"),
        pytest.param(b'{"access_token": "hunter2", "a": ' + b"[" * 100_000, id="too deep"),
    ],
)
def test_a_defect_does_not_hold_the_document(body: bytes) -> None:
    """Expect no trace of the body in the error or its chain: it may have held a token."""
    with pytest.raises(JsonBodyError) as caught:
        read_document(body)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@given(st.binary())
def test_any_bytes_are_a_document_or_a_defect(body: bytes) -> None:
    """Expect no other exception for any bytes."""
    with contextlib.suppress(JsonBodyError):
        assert isinstance(read_document(body), dict)


@pytest.mark.parametrize(
    ("number", "read"),
    [
        pytest.param(b"1e308", 1e308, id="within floats"),
        pytest.param(b"1e400", sys.float_info.max, id="beyond floats"),
        pytest.param(b"-1e400", -sys.float_info.max, id="below floats"),
        pytest.param(b"9" * 400, 10**400 - 1, id="as many digits as are read exactly"),
        pytest.param(b"9" * 401, sys.float_info.max, id="more digits"),
        pytest.param(b"-" + b"9" * 10_000, -sys.float_info.max, id="many more digits"),
    ],
)
def test_a_number_that_nothing_holds_is_the_nearest_that_something_does(number: bytes, read: float) -> None:
    """Expect every number of JSON to be finite, so that it can be serialized again."""
    assert read_document(b'{"some": [' + number + b"]}") == {"some": [read]}

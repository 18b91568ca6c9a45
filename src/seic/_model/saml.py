"""SAML documents for a form: read them from a string, a file or a callable, and encode them as Base64.

A file is read and a callable is called for each request, because the next login has another document.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import datetime as dt
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from seic._errors import ConfigurationError
from seic._files import read_regular_file

#: The document itself, the path of a file that holds it, or a callable that returns it.
SamlDocument: TypeAlias = bytes | str | os.PathLike[str] | Callable[[], bytes | str]

#: The maximum size of a document, in bytes; signed responses have tens of KiB.
MAX_DOCUMENT_BYTES = 1024 * 1024

_ASSERTION = "urn:oasis:names:tc:SAML:2.0:assertion"
# The two elements in which an assertion has its expiry (SAML core §2.5.1, §2.4.1.2).
_ENDING = frozenset({f"{_ASSERTION} Conditions", f"{_ASSERTION} SubjectConfirmationData"})
_XML_STARTS = (b"<", b"\xef\xbb\xbf<", b"\xff\xfe<\x00", b"\xfe\xff\x00<")


def encode_document(source: SamlDocument, *, field: str) -> str:
    """Return a document as the Base64 text of a form.

    Args:
        source: XML, or Base64 of XML with or without line breaks. A string that is neither is a path.
        field: The setting's name, for the error.

    Raises:
        ConfigurationError: There is no such document. The message quotes none of it: it is a credential.
    """
    return base64.b64encode(_decode(_content(source, field), field)).decode("ascii")


def require_document(source: object, *, field: str) -> None:
    """Raise ConfigurationError if a source is not of a type that can be a document."""
    if not callable(source) and not isinstance(source, bytes | str | os.PathLike):
        raise ConfigurationError(
            f"{field}: must be a SAML document, a path or a callable that returns one, not {type(source).__name__}",
            field=field,
        )


def is_inline(source: object) -> bool:
    """Whether a source is the document itself, and so the same each time."""
    return isinstance(source, bytes) or (isinstance(source, str) and _is_document(source.encode(errors="replace")))


def document_ends_at(source: SamlDocument, *, field: str) -> dt.datetime | None:
    """Return the expiry of a document: the earliest `NotOnOrAfter`, in UTC.

    None if it has none, is encrypted, or cannot be parsed: the provider validates it. A document type, and with it
    every entity, stops the parser at once.

    Raises:
        ConfigurationError: As `encode_document`.
    """
    ends: list[dt.datetime] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        if name in _ENDING and "NotOnOrAfter" in attributes:
            with contextlib.suppress(ValueError, OverflowError):
                ends.append(_instant(attributes["NotOnOrAfter"]))

    document = _decode(_content(source, field), field)
    from xml.parsers import expat

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler = start
    parser.StartDoctypeDeclHandler = _refuse
    try:
        parser.Parse(document, True)  # noqa: FBT003  # expat takes it by position only
    except (expat.ExpatError, ValueError, LookupError):
        # ValueError and LookupError: encodings that Python cannot pass to the parser.
        return None
    return min(ends, default=None)


def _refuse(*_: object) -> None:
    raise ValueError("the document declares a type")


def _instant(text: str) -> dt.datetime:
    moment = dt.datetime.fromisoformat(text.strip())
    # Times are in UTC, with or without saying so (SAML core §1.3.3).
    return moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment.astimezone(dt.UTC)


def _content(source: SamlDocument, field: str) -> bytes:
    if callable(source):
        try:
            value: object = source()
        except Exception as error:
            raise ConfigurationError(f"{field}: its callable raised {type(error).__name__}", field=field) from error
        if not isinstance(value, (bytes, str)):
            raise ConfigurationError(
                f"{field}: its callable must be a plain function that returns bytes, not {type(value).__name__}",
                field=field,
            )
        return value if isinstance(value, bytes) else value.encode(errors="replace")
    if isinstance(source, bytes):
        return source
    if isinstance(source, str) and is_inline(source):
        return source.encode(errors="replace")
    problem = "not a path"
    with contextlib.suppress(ValueError):
        try:
            return read_regular_file(Path(source), MAX_DOCUMENT_BYTES)
        except OSError as error:
            problem = error.strerror or type(error).__name__
    # Without the path: it may be a damaged document that was passed as a string.
    raise ConfigurationError(f"{field}: must be a SAML document or a readable file: {problem}", field=field)


def _decode(content: bytes, field: str) -> bytes:
    if len(content) > MAX_DOCUMENT_BYTES:
        raise ConfigurationError(f"{field}: must not be longer than {MAX_DOCUMENT_BYTES} bytes", field=field)
    document = _xml(content)
    if document is None:
        raise ConfigurationError(
            f"{field}: must be signed XML, or Base64 of it (not compressed as in the redirect binding)",
            field=field,
        )
    return document


def _is_document(content: bytes) -> bool:
    return _xml(content) is not None


def _xml(content: bytes) -> bytes | None:
    document = content.strip()
    if not document.startswith(_XML_STARTS):
        try:
            document = base64.b64decode(b"".join(document.split()), validate=True).strip()
        except binascii.Error:
            return None
    return document if document.startswith(_XML_STARTS) else None

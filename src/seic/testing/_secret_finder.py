"""`assert_no_secrets`: a search for secrets, plain or encoded, in output, logs and errors."""

from __future__ import annotations

import base64
import contextlib
import json
import pickle
import traceback
import urllib.parse
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

#: A shorter secret could be found by chance.
SHORTEST_SECRET = 8


class SecretFinder:
    """Finds secrets in texts."""

    def __init__(self) -> None:
        self._needles: dict[str, str] = {}

    def add(self, name: str, secret: str) -> str:
        """Search for a secret in each form in which it could be shown; return it.

        Raises:
            ValueError: It has fewer than eight characters, and could be found by chance.
        """
        if len(secret) < SHORTEST_SECRET:
            raise ValueError(
                f"{name}: must have {SHORTEST_SECRET} characters or more, else it could be found by chance"
            )
        for form, text in _forms(secret):
            self._needles.setdefault(text, f"{name} ({form})")
        return secret

    def add_text(self, name: str, text: str) -> None:
        """Search for a text as it is."""
        self._needles[text] = name

    def find(self, text: str | bytes) -> list[str]:
        """Return the names of the secrets that a text contains."""
        haystack = text if isinstance(text, str) else text.decode("latin-1")
        return sorted({name for needle, name in self._needles.items() if needle in haystack})


def assert_no_secrets(*outputs: object, secrets: Iterable[str]) -> None:
    """Check that outputs contain no secret, plain or encoded: as JSON, in a URL or form, Base64, hexadecimal, escaped.

        assert_no_secrets(caplog, capsys, caught.value, secrets=seic_mock.secrets)

    Args:
        outputs: pytest's `caplog` (messages, all attributes and errors of the records), `capsys` or `capfd` (what was
            written since they were last read), an exception (message, traceback and pickle), a `Path` (the content of
            the file), texts, bytes, or any other object (`repr` and pickle).
        secrets: The secrets, of eight characters or more; `seic_mock.secrets` has those of a test.

    Raises:
        AssertionError: A secret was found; the message says which, in what form, and in which output, without it.
        ValueError: There are no secrets, or one is too short.
    """
    finder = SecretFinder()
    named = {secret: f"secret {number}" for number, secret in enumerate(dict.fromkeys(secrets), 1)}
    if not named:
        raise ValueError("secrets: must not be empty, else nothing can be found")
    for secret, name in named.items():
        finder.add(name, secret)
    found = [
        f"{place}: {name}" for output in outputs for place, text in _texts(output) for name in sorted(finder.find(text))
    ]
    if found:
        raise AssertionError("secrets were found:\n" + "\n".join(dict.fromkeys(found)))


def _texts(output: object) -> Iterator[tuple[str, str | bytes]]:
    if isinstance(output, pytest.LogCaptureFixture):
        for when in ("setup", "call", "teardown"):
            for record in output.get_records(when):
                yield f"log of {record.name}", f"{record.getMessage()} {vars(record)!r}"
                if record.exc_info is not None and record.exc_info[1] is not None:
                    yield from _texts(record.exc_info[1])
    elif isinstance(output, pytest.CaptureFixture):
        captured = output.readouterr()
        yield "stdout", captured.out
        yield "stderr", captured.err
    elif isinstance(output, Path):
        yield str(output), output.read_bytes()
    elif isinstance(output, str | bytes):
        yield "text", output
    else:
        name = type(output).__name__
        yield f"repr of {name}", repr(output)
        yield f"str of {name}", str(output)
        if isinstance(output, BaseException):
            yield f"attributes of {name}", repr(vars(output))
            yield f"traceback of {name}", "".join(traceback.format_exception(output))
        # An object that cannot be pickled leaks nothing this way.
        with contextlib.suppress(TypeError, AttributeError, pickle.PicklingError):
            yield f"pickle of {name}", pickle.dumps(output)


def _forms(secret: str) -> Iterator[tuple[str, str]]:
    raw = secret.encode()
    yield "as it is", secret
    yield "as Python shows it", repr(secret)[1:-1]
    yield "as bytes", repr(raw)[2:-1]
    yield "backslashes", secret.encode("unicode_escape").decode()
    yield "JSON", json.dumps(secret)[1:-1]
    yield "url", urllib.parse.quote(secret, safe="")
    yield "url path", urllib.parse.quote(secret)
    yield "form", urllib.parse.quote_plus(secret)
    yield "hex", raw.hex()
    yield "utf-8 read as latin-1", raw.decode("latin-1")
    for before in range(3):
        # The preceding bytes shift it in Base64; the edges depend on neighbouring bytes and are left out.
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield "Base64", encode(b"\0" * before + raw).decode()[4 if before else 0 : -4]

from __future__ import annotations

import copy
import inspect
import pickle
import re
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from seic import (
    ApiError,
    CertificateError,
    ConfigurationError,
    FieldError,
    HostNotAllowed,
    InvalidTokenResponse,
    SeicError,
    TokenEndpointUnavailable,
    TokenError,
    TokenRequestRefused,
    _errors,
)

_FULL = {
    "configuration": ConfigurationError("m", field="hosts.mtls"),
    "certificate": CertificateError("m", path="client.pem", reason="expired"),
    "host": HostNotAllowed("m", host="evil.example"),
    "token": TokenError("m", tracking_id="t-1"),
    "unavailable": TokenEndpointUnavailable(
        "m", retry_after=1.5, status=503, reason="server-expired", tracking_id="t-1"
    ),
    "refused": TokenRequestRefused(
        "m", status=400, code="invalid_grant", description="no such user", transient=True, tracking_id="t-1"
    ),
    "invalid": InvalidTokenResponse("m", problem="access_token is missing", tracking_id="t-1"),
    "api": ApiError(
        "m",
        status=404,
        code="not.found",
        tracking_id="t-1",
        transient=False,
        retry_after=2.0,
        errors=[FieldError("id", "path", "unknown")],
    ),
}
_BARE = {
    "configuration": ConfigurationError("m"),
    "certificate": CertificateError("m"),
    "host": HostNotAllowed("m", host="evil.example"),
    "token": TokenError("m"),
    "unavailable": TokenEndpointUnavailable("m"),
    "refused": TokenRequestRefused("m", status=400),
    "invalid": InvalidTokenResponse("m", problem="no object"),
    "api": ApiError("m", status=500),
}
_ALL = {**{f"{name}, all said": e for name, e in _FULL.items()}, **{f"{name}, bare": e for name, e in _BARE.items()}}

each_error = pytest.mark.parametrize("error", _ALL.values(), ids=_ALL.keys())


def _attributes(error: SeicError) -> dict[str, object]:
    return {name: value for name, value in vars(error).items() if name != "__notes__"}


def _classes() -> list[type[SeicError]]:
    found = [kind for _, kind in inspect.getmembers(_errors, inspect.isclass)]
    return [kind for kind in found if issubclass(kind, SeicError)]


def test_the_tree_is_the_one_that_the_docstring_draws() -> None:
    """The docstring shows each class below its parent, and no other."""
    drawn: dict[str, str | None] = {}
    path: list[str] = []
    for line in (_errors.__doc__ or "").splitlines():
        if match := re.match(r"    ((?:[│ ] {3})*)(?:[├└]── )?([A-Z]\w+) {2,}", line):
            depth = 0 if match[2] == "SeicError" else len(match[1]) // 4 + 1
            path[depth:] = [match[2]]
            drawn[match[2]] = path[depth - 1] if depth else None

    built = {kind.__name__: kind.__base__.__name__ if kind is not SeicError else None for kind in _classes()}  # type: ignore[union-attr]
    assert drawn == built


@pytest.mark.parametrize("kind", _classes(), ids=lambda kind: kind.__name__)
def test_each_class_says_what_it_means(kind: type[SeicError]) -> None:
    """Each class has its own docstring."""
    assert kind.__doc__
    assert kind.__doc__ not in {base.__doc__ for base in kind.__mro__[1:]}


@each_error
def test_the_message_is_all_that_an_error_prints(error: SeicError) -> None:
    """`str` returns the message only; attributes are for programs."""
    assert str(error) == error.message == "m"
    assert error.args == ("m",)


@each_error
def test_attributes_are_strings_and_numbers(error: SeicError) -> None:
    """An error contains no path object, client or response."""
    for name, value in _attributes(error).items():
        allowed = (str, int, float, type(None))
        if name == "errors":
            assert isinstance(value, tuple)
            assert all(isinstance(entry, FieldError) for entry in value)
        else:
            assert isinstance(value, allowed), name


@pytest.mark.parametrize(
    "doubled",
    [lambda e: pickle.loads(pickle.dumps(e)), copy.copy, copy.deepcopy, SeicError.fresh],  # noqa: S301  our own
    ids=["pickle", "copy", "deepcopy", "fresh"],
)
@each_error
def test_a_double_says_the_same(error: SeicError, doubled: Callable[[SeicError], SeicError]) -> None:
    """A copy or pickle has the same class, message and attributes, although constructors take keywords only."""
    twin = doubled(error)

    assert twin is not error
    assert type(twin) is type(error)
    assert twin.args == error.args
    assert str(twin) == str(error)
    assert vars(twin) == vars(error)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_pickle_protocol_serves(protocol: int) -> None:
    """A process pool or a queue can use any protocol."""
    error = _FULL["refused"]

    assert vars(pickle.loads(pickle.dumps(error, protocol))) == vars(error)  # noqa: S301  our own


def test_a_fresh_error_has_no_traceback_and_keeps_its_cause() -> None:
    """Each waiter's error starts its own traceback and has the common cause."""
    cause = ConnectionError("refused")
    try:
        raise TokenEndpointUnavailable("m") from cause
    except TokenEndpointUnavailable as raised:
        error = raised

    twin = error.fresh()

    assert error.__traceback__ is not None
    assert twin.__traceback__ is None
    assert twin.__cause__ is cause
    assert twin.__suppress_context__
    assert "ConnectionError: refused" in "".join(traceback.format_exception(twin))


def test_a_fresh_error_stays_silent_about_a_hidden_context() -> None:
    """A context suppressed by `from None` stays suppressed in the copy, since it may contain a secret."""
    try:
        try:
            raise ValueError("secret")
        except ValueError:
            raise TokenError("m") from None
    except TokenError as raised:
        error = raised

    twin = error.fresh()

    assert twin.__suppress_context__
    assert "secret" not in "".join(traceback.format_exception(twin))


def test_a_fresh_error_keeps_its_notes() -> None:
    """Each waiter's error has the notes of the original."""
    error = TokenError("m")
    error.add_note("after three attempts")

    assert error.fresh().__notes__ == ["after three attempts"]


def test_a_note_on_one_is_not_a_note_on_all() -> None:
    """A note that one waiter adds is not on the others' errors."""
    error = TokenError("m")
    error.add_note("after three attempts")
    twin = error.fresh()

    twin.add_note("while listing accounts")

    assert error.__notes__ == ["after three attempts"]


def test_a_fresh_error_can_be_changed_alone() -> None:
    """An attribute set on one copy does not change the other."""
    error = TokenEndpointUnavailable("m", retry_after=1.0)
    twin = error.fresh()

    twin.retry_after = 9.0

    assert error.retry_after == 1.0


@pytest.mark.parametrize(
    ("path", "kept"),
    [(Path("/etc/seic/client.pem"), "/etc/seic/client.pem"), ("SEIC_CERTIFICATE", "SEIC_CERTIFICATE"), (None, None)],
    ids=["path", "text", "none"],
)
def test_a_certificate_error_keeps_a_path_as_text(path: str | Path | None, kept: str | None) -> None:
    """A path is kept as a string, and a missing one as None, not as 'None'."""
    assert CertificateError("m", path=path).path == kept


def test_api_errors_are_kept_as_a_tuple() -> None:
    """The caller's list can change later, but not the error's entries."""
    entries = [FieldError("id", "path", "unknown")]
    error = ApiError("m", status=400, errors=entries)

    entries.clear()

    assert error.errors == (FieldError("id", "path", "unknown"),)


@pytest.mark.parametrize("transient", [True, False, None], ids=["yes", "no", "not said"])
def test_an_api_error_tells_no_from_not_said(transient: bool | None) -> None:
    """`transient` has three values, and each is kept."""
    assert ApiError("m", status=503, transient=transient).transient is transient

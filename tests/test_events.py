from __future__ import annotations

import copy
import dataclasses
import datetime as dt
import inspect
import logging
import pickle
import subprocess
import sys
import typing

import pytest

from seic import _event_types, events

_KINDS = [kind for _, kind in inspect.getmembers(_event_types, inspect.isclass) if issubclass(kind, events.Event)]
# Types whose values cannot hold a token, a credential or a request.
_HARMLESS = {str, int, float, bool, dt.datetime, type(None)}

each_kind = pytest.mark.parametrize("kind", _KINDS, ids=lambda kind: kind.__name__)


@each_kind
def test_an_event_has_fields_of_harmless_types_only(kind: type[events.Event]) -> None:
    """No field has a type that could contain a secret."""
    for name, hint in typing.get_type_hints(kind).items():
        if typing.get_origin(hint) is typing.ClassVar:
            continue
        assert set(typing.get_args(hint) or (hint,)) <= _HARMLESS, name


@each_kind
def test_an_event_has_no_field_named_after_a_secret(kind: type[events.Event]) -> None:
    """A string could still be a secret, so no field has such a name."""
    suspicious = ("access_token", "authorization", "body", "header", "key", "passphrase", "password", "secret", "url")
    for field in dataclasses.fields(kind):
        assert not any(word in field.name for word in suspicious), field.name


@each_kind
def test_an_event_is_named_and_graded_for_a_log(kind: type[events.Event]) -> None:
    """Each class has a name in plain words, a logging level, and a sentence that explains it."""
    assert kind.name == kind.name.lower().strip() != ""
    assert logging.getLevelName(kind.level) in {"DEBUG", "INFO", "WARNING", "ERROR"}
    assert kind.__doc__


def test_no_two_events_share_a_name() -> None:
    """Otherwise a count by name would mix two events."""
    names = [kind.name for kind in _KINDS]

    assert len(set(names)) == len(names)


def test_an_event_is_a_value() -> None:
    """Events compare by content, and listeners cannot change them."""
    event = events.TokenEndpointRecovered(host="api.example.com", failures=3)

    assert event == events.TokenEndpointRecovered(host="api.example.com", failures=3)
    assert event != events.TokenEndpointRecovered(host="api.example.com", failures=4)
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.failures = 4  # type: ignore[misc]


def emitted(
    event: events.Event, caplog: pytest.LogCaptureFixture, level: int = logging.DEBUG
) -> list[logging.LogRecord]:
    """Log the event and return the output."""
    with caplog.at_level(level, logger="seic"):
        _event_types.log_event(event)
    return caplog.records


def test_an_event_is_one_line_with_its_tracking_id(caplog: pytest.LogCaptureFixture) -> None:
    """The name comes first, then each field as name=value, with seconds to the millisecond."""
    event = events.TokenAcquired(host="api.example.com", expires_in=3599.0, took=0.05149, tracking_id="abc-1")
    (record,) = emitted(event, caplog)

    assert record.name == "seic"
    assert record.levelno == logging.INFO
    assert record.getMessage() == (
        "token acquired: host=api.example.com expires_in=3599.000 took=0.051 ahead=False tracking_id=abc-1"
    )


def test_a_time_is_written_as_iso_8601(caplog: pytest.LogCaptureFixture) -> None:
    """Programs read logs too."""
    event = events.CertificateExpiring(
        path="client.pem",
        subject="CN=svc-user",
        not_after=dt.datetime(2027, 1, 31, 12, tzinfo=dt.UTC),
        days_left=9.5,
    )
    (record,) = emitted(event, caplog)

    assert "not_after=2027-01-31T12:00:00+00:00 days_left=9.500" in record.getMessage()


@pytest.mark.parametrize(
    ("text", "written"),
    [
        pytest.param("invalid_client", "invalid_client", id="plain"),
        pytest.param("two words", "'two words'", id="space"),
        pytest.param("", "''", id="empty"),
        pytest.param("x\nERROR:root:forged", r"'x\nERROR:root:forged'", id="line end"),
        pytest.param("x\x1b[2J", r"'x\x1b[2J'", id="terminal escape"),
        pytest.param("x\u2028y", r"'x\u2028y'", id="line separator"),
    ],
)
def test_what_a_server_wrote_cannot_forge_a_log_entry(
    text: str, written: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Text that would break the line, or its parsing, is quoted."""
    event = events.TokenRefused(host="api.example.com", status=401, code=text, tracking_id="abc-1")
    (record,) = emitted(event, caplog)

    assert record.getMessage() == f"token refused: host=api.example.com status=401 code={written} tracking_id=abc-1"


@pytest.mark.parametrize(
    ("level", "lines"),
    [pytest.param(logging.INFO, 1, id="at its level"), pytest.param(logging.WARNING, 0, id="above")],
)
def test_a_logger_above_the_level_writes_nothing(level: int, lines: int, caplog: pytest.LogCaptureFixture) -> None:
    """The application's logging configuration decides."""
    event = events.TokenEndpointRecovered(host="api.example.com", failures=3)

    assert len(emitted(event, caplog, level)) == lines


@pytest.mark.parametrize(
    ("level", "printed"), [("debug", ""), ("info", ""), ("warning", "x\n"), ("error", "x\n")], ids=lambda value: value
)
@pytest.mark.parametrize("logger", ["seic", "seic.api", "seic.fastapi"])
def test_without_logging_set_up_warnings_and_errors_are_printed(logger: str, level: str, printed: str) -> None:
    """Python prints them to stderr as a last resort, so a refused secret is seen under a server with its own log."""
    script = f"import logging, seic; logging.getLogger({logger!r}).{level}('x')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert (done.stdout, done.stderr) == ("", printed)


def test_a_record_has_the_fields_of_the_event(caplog: pytest.LogCaptureFixture) -> None:
    """Structured logs need no parsing."""
    event = events.TokenRefused(host="api.example.com", status=401, code="two words", tracking_id="abc-1")
    (record,) = emitted(event, caplog)

    extra = vars(record)
    assert (extra["event"], extra["host"], extra["status"], extra["code"], extra["tracking_id"]) == (
        "token refused",
        "api.example.com",
        401,
        "two words",
        "abc-1",
    )


def test_a_time_in_a_record_is_written_as_iso_8601(caplog: pytest.LogCaptureFixture) -> None:
    """`json.dumps` takes every field."""
    event = events.CertificateExpiring(
        path="client.pem", subject="CN=x", not_after=dt.datetime(2027, 1, 31, 12, tzinfo=dt.UTC), days_left=9.5
    )
    (record,) = emitted(event, caplog)

    assert vars(record)["not_after"] == "2027-01-31T12:00:00+00:00"
    assert vars(record)["days_left"] == 9.5


@each_kind
def test_no_field_hides_an_attribute_of_log_records(kind: type[events.Event]) -> None:
    """`logging` refuses such names."""
    reserved = {*vars(logging.makeLogRecord({})), "message", "asctime", "event"}

    assert not reserved & {field.name for field in dataclasses.fields(kind)}


def test_every_event_has_its_public_name() -> None:
    """Listeners can import each class."""
    assert {kind.__name__ for kind in _KINDS} == set(events.__all__) - {"Listener"}
    assert all(getattr(events, kind.__name__) is kind for kind in _KINDS)


def test_an_event_is_pickled_copied_and_replaced_as_a_dataclass_is() -> None:
    """Its methods are shared by all events, and do what generated ones would."""
    event = events.TokenEndpointRecovered(host="api.example.com", failures=3)

    assert pickle.loads(pickle.dumps(event)) == copy.deepcopy(event) == event  # noqa: S301  it was pickled here
    assert dataclasses.replace(event, failures=4).failures == 4
    assert dataclasses.asdict(event) == {"host": "api.example.com", "failures": 3, "tracking_id": None}
    assert repr(event) == "TokenEndpointRecovered(host='api.example.com', failures=3, tracking_id=None)"
    assert hash(event) == hash(copy.copy(event))
    assert not hasattr(event, "__dict__")


def test_the_constructor_of_an_event_refuses_other_arguments() -> None:
    """A missing argument and an unknown one are named, and `help` shows the signature."""
    with pytest.raises(TypeError, match="StoreRecovered: the argument 'operation' is missing"):
        events.StoreRecovered()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="StoreRecovered: unexpected argument 'host'"):
        events.StoreRecovered(operation="save", host="h")  # type: ignore[call-arg]
    signature = "(*, host: str, failures: int, tracking_id: str | None = None)"
    assert str(inspect.signature(events.TokenEndpointRecovered)) == signature

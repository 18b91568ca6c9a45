from __future__ import annotations

import datetime as dt
import inspect
import logging
import typing

import attrs
import pytest

from seic import _events
from seic._events import Event

_KINDS = [
    kind
    for _, kind in inspect.getmembers(_events, inspect.isclass)
    if issubclass(kind, Event) and kind.__module__ == _events.__name__
]
# Types whose values cannot hold a token, a credential or a request.
_HARMLESS = {str, int, float, bool, dt.datetime, type(None)}

each_kind = pytest.mark.parametrize("kind", _KINDS, ids=lambda kind: kind.__name__)


@each_kind
def test_an_event_has_fields_of_harmless_types_only(kind: type[Event]) -> None:
    """No field is of a type that could carry a secret along."""
    for name, hint in typing.get_type_hints(kind).items():
        if typing.get_origin(hint) is typing.ClassVar:
            continue
        assert set(typing.get_args(hint) or (hint,)) <= _HARMLESS, name


@each_kind
def test_an_event_has_no_field_named_after_a_secret(kind: type[Event]) -> None:
    """A string could still be a secret, so no field is called like one."""
    suspicious = ("access_token", "authorization", "body", "header", "key", "passphrase", "password", "secret", "url")
    for field in attrs.fields(kind):
        assert not any(word in field.name for word in suspicious), field.name


@each_kind
def test_an_event_is_named_and_graded_for_a_log(kind: type[Event]) -> None:
    """Each kind has a name in plain words, a level that logging knows, and a sentence that explains it."""
    assert kind.name == kind.name.lower().strip() != ""
    assert logging.getLevelName(kind.level) in {"INFO", "WARNING", "ERROR"}
    assert kind.__doc__


def test_no_two_events_share_a_name() -> None:
    """Who counts events by name counts one kind."""
    names = [kind.name for kind in _KINDS]

    assert len(set(names)) == len(names)


def test_an_event_is_a_value() -> None:
    """Events compare by content and cannot be changed on their way through several listeners."""
    event = _events.TokenEndpointBack(host="api.example.com", failures=3)

    assert event == _events.TokenEndpointBack(host="api.example.com", failures=3)
    assert event != _events.TokenEndpointBack(host="api.example.com", failures=4)
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        event.failures = 4  # type: ignore[misc]

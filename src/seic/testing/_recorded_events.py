"""`Events`: a listener that keeps the events."""

from __future__ import annotations

from typing import TypeVar

from seic._event_types import Event

_E = TypeVar("_E", bound=Event)


class Events(list[Event]):
    """The events in their order; as a listener, it takes the next one."""

    def __call__(self, event: Event) -> None:
        """Append an event."""
        self.append(event)

    def of(self, *kinds: type[_E]) -> list[_E]:
        """Return the events of these kinds."""
        return [event for event in self if isinstance(event, kinds)]

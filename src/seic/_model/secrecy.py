"""What keeps a value that holds secrets out of places where it would be written down."""

from __future__ import annotations

from typing import Any, NoReturn, Self

#: What stands in a repr where a secret would.
HIDDEN = "***"


def hide(value: object) -> str:
    """Return what a repr shows in place of a secret: that there is one, or that there is none.

    Made for `attrs.field(repr=hide)`.
    """
    return "None" if value is None else HIDDEN


class Secretive:
    """A base for immutable values that hold secrets: they refuse to be pickled, and a copy is the value itself.

    A pickle ends in queues, caches and crash reports, where nobody looks after it.
    """

    __slots__ = ()

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        kind = type(self).__name__
        raise TypeError(
            f"{kind} holds secrets and cannot be pickled; build it again in the other process, "
            "for example with seic.Config.from_env()"
        )

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

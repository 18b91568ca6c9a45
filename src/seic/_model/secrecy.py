"""What keeps a value that holds secrets out of places where it would be written down."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable
from typing import Any, NoReturn, ParamSpec, Self, TypeVar

from seic._errors import SeicError

_P = ParamSpec("_P")
_T = TypeVar("_T")
_C = TypeVar("_C", bound=type)

#: What stands in a repr where a secret would.
HIDDEN = "***"


def hide(value: object) -> str:
    """Return what a repr shows in place of a secret: that there is one, or that there is none.

    Made for `attrs.field(repr=hide)`.
    """
    return "None" if value is None else HIDDEN


class SecretStr(str):
    """A text that travels in a header; it and its encoded form show and pickle as hidden.

    Requests hold their headers for as long as anybody holds a response or an error, and HTTP libraries keep them in
    the variables of their frames.
    """

    __slots__ = ()

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """Return the bytes, which are as shy."""
        return _SecretBytes(super().encode(encoding, errors))

    def __repr__(self) -> str:
        return repr(HIDDEN)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return str, (HIDDEN,)


class _SecretBytes(bytes):
    __slots__ = ()

    def __repr__(self) -> str:
        return repr(HIDDEN.encode())

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return bytes, (HIDDEN.encode(),)


def traceless(call: Callable[_P, _T]) -> Callable[_P, _T]:
    """Let the errors of a callable begin at its caller, without the frames below and what they came from.

    Those frames hold secrets in their variables, and crash reporters write down the variables of every frame: those of
    an error's context too, which `from None` keeps and only hides. An error that is not seic's own, most likely a
    mistake in the code, has a note of the place where it arose.
    """

    @functools.wraps(call)
    def called(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return call(*args, **kwargs)
        except Exception as error:  # noqa: BLE001  it is raised again
            if not isinstance(error, SeicError):
                error.add_note(_place(error))
            failure = error.with_traceback(None)
        # This frame stays in the traceback.
        del args, kwargs
        failure.__context__ = None
        cause = failure.__cause__
        while cause is not None:
            cause.__traceback__ = cause.__context__ = None
            cause = cause.__cause__
        raise failure

    return called


def tracelessly_made(kind: _C) -> _C:
    """Make a class of attrs whose constructor is traceless, and whose half-made instances can be shown."""
    kind.__init__ = traceless(kind.__init__)  # type: ignore[misc]
    show: Callable[[object], str] = vars(kind)["__repr__"]

    def __repr__(self: object) -> str:  # noqa: N807  it becomes the class's
        try:
            return show(self)
        except AttributeError:
            # A check failed, and something shows what the check was given.
            return f"<{kind.__name__}, half made>"

    kind.__repr__ = __repr__  # type: ignore[assignment]
    return kind


def _place(error: Exception) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"raised by {last.name} ({last.filename}:{last.lineno})"


class Unpicklable:
    """A base for immutable values that hold secrets: they refuse to be pickled, and a copy is the value itself.

    A pickle ends in queues, caches and crash reports, where nobody looks after it. Who asks for the fields has them:
    `attrs.asdict`, `attrs.astuple` and `vars` show secrets as they are, so what they return must not be logged.
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

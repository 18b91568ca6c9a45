"""Secrets that a user sets, and the means that keep secrets out of reprs, pickles and tracebacks."""

from __future__ import annotations

import functools
import hashlib
import traceback
from collections.abc import Callable
from types import FunctionType
from typing import Any, NoReturn, ParamSpec, Self, TypeAlias, TypeVar

from seic._errors import ConfigurationError, SeicError

_P = ParamSpec("_P")
_T = TypeVar("_T")
_C = TypeVar("_C", bound=type)

#: A string, or a plain function that returns one. The function is called once for each renewal, in whichever thread
#: renews the token: it should be quick, and it must not be a coroutine function.
Secret: TypeAlias = str | Callable[[], str]

#: The replacement of a secret in a repr.
HIDDEN = "***"


def hide(value: object) -> str:
    """Return the text that a repr shows in place of a secret; for `attrs.field(repr=hide)`."""
    return "None" if value is None else HIDDEN


class SecretStr(str):
    """A string for a header; its repr and its pickle are masked, and so are those of its encoded and decoded forms.

    A request keeps its headers while a response or an error refers to it, and HTTP libraries keep them in the variables
    of their frames.
    """

    __slots__ = ()

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """Return the encoded bytes; their repr is masked too."""
        encoded = _SecretBytes(super().encode(encoding, errors))
        encoded.text = self if self.isascii() else None
        return encoded

    def __repr__(self) -> str:
        return repr(HIDDEN)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return str, (HIDDEN,)


#: The encodings that httpx tries for headers. ASCII characters are the same in all of them.
_HEADER_ENCODINGS = frozenset({"ascii", "utf-8", "iso-8859-1"})


class _SecretBytes(bytes):
    #: The string, if it is ASCII: httpx decodes the headers of each request again, and a new string takes longer.
    text: SecretStr | None

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Return the string; its repr is masked too."""
        if self.text is not None and encoding in _HEADER_ENCODINGS:
            return self.text
        return SecretStr(super().decode(encoding, errors))

    def __repr__(self) -> str:
        return repr(HIDDEN.encode())

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return bytes, (HIDDEN.encode(),)


def strip_frames(call: Callable[_P, _T]) -> Callable[_P, _T]:
    """Cut the tracebacks of a callable's errors: they start at its caller, without inner frames and contexts.

    Those frames hold secrets in their variables, and crash reporters record the variables of every frame, those of an
    error's context included, which `from None` only hides. An error that is not seic's own, most likely a mistake in
    the code, gets a note of the place where it was raised.
    """

    @functools.wraps(call)
    def called(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return call(*args, **kwargs)
        except Exception as error:  # noqa: BLE001  # it is raised again
            if not isinstance(error, SeicError):
                error.add_note(_place(error))
            failure = error.with_traceback(None)
        # This frame remains in the traceback.
        del args, kwargs
        failure.__context__ = None
        cause = failure.__cause__
        while cause is not None:
            cause.__traceback__ = cause.__context__ = None
            cause = cause.__cause__
        raise failure

    return called


def strip_frames_on_init(kind: _C) -> _C:
    """Apply `strip_frames` to the constructor of an attrs class; its repr then works on half-initialised instances."""
    kind.__init__ = strip_frames(kind.__init__)  # type: ignore[misc]
    show: Callable[[object], str] = vars(kind)["__repr__"]

    def __repr__(self: object) -> str:  # noqa: N807  it becomes the class's
        try:
            return show(self)
        except AttributeError:
            # A validator failed, and something shows the instance that it was given.
            return f"<{kind.__name__}, half initialised>"

    kind.__repr__ = __repr__  # type: ignore[assignment]
    return kind


def _place(error: Exception) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"raised by {last.name} ({last.filename}:{last.lineno})"


class Unpicklable:
    """Base of immutable values that hold secrets: pickling raises, and a copy is the value itself.

    Pickles end up in queues, caches and crash reports. `attrs.asdict`, `attrs.astuple` and `vars` return the secrets
    unmasked: do not log their results.
    """

    __slots__ = ()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        # To explain `assert a == b`, pytest prints every attribute, hidden ones too, of objects whose `__eq__` is that
        # of attrs. It recognizes that by the file name of its code.
        equals = vars(cls).get("__eq__")
        if isinstance(equals, FunctionType):
            equals.__code__ = equals.__code__.replace(co_filename=__file__)

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


def is_set(secret: object) -> bool:
    """Whether there is a secret: a non-empty string, or a callable."""
    return callable(secret) or (isinstance(secret, str) and secret != "")


def reveal(secret: Secret, *, field: str) -> str:
    """Return a secret as a string; a callable is called.

    Args:
        secret: The string or the callable.
        field: The setting's name, for the error.

    Raises:
        ConfigurationError: The callable raised, which is then the cause, or did not return a non-empty string.
    """
    if isinstance(secret, str):
        return secret
    try:
        value: object = secret()
    except ConfigurationError:
        raise
    except Exception as error:
        raise ConfigurationError(f"{field}: its callable raised {type(error).__name__}", field=field) from error
    if not isinstance(value, str) or not value:
        actual = "an empty string" if value == "" else type(value).__name__
        raise ConfigurationError(
            f"{field}: its callable must be a plain function that returns a string, not {actual}", field=field
        )
    return value


def digest(secret: object) -> str | None:
    """Return a digest that tells one secret from another without revealing it; None for a callable.

    Only for secrets that a machine generated: the digest of a password could be found by guessing.
    """
    content = secret.encode(errors="surrogatepass") if isinstance(secret, str) else secret
    return hashlib.sha256(content).hexdigest()[:16] if isinstance(content, bytes) else None

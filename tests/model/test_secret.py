from __future__ import annotations

import copy
import pickle
import traceback
from types import ModuleType

import attrs
import httpx
import httpx2
import pytest

from seic import ConfigurationError, TokenEndpointUnavailable
from seic._model.secret import HIDDEN, SecretStr, Unpicklable, digest, hide, is_set, reveal, strip_frames
from tests._support.reports import report


@attrs.frozen(kw_only=True)
class _Vault(Unpicklable):
    owner: str
    secret: str | None = attrs.field(default=None, repr=hide)


@pytest.mark.parametrize(
    ("value", "shown"),
    [("hunter2", HIDDEN), (b"hunter2", HIDDEN), ("", HIDDEN), (0, HIDDEN), (None, "None")],
    ids=["text", "bytes", "empty", "zero", "none"],
)
def test_a_repr_shows_that_there_is_a_secret_and_no_more(value: object, shown: str) -> None:
    """Any value but None is hidden, its length and emptiness included."""
    assert hide(value) == shown


def test_a_value_shows_what_is_public() -> None:
    """The repr of a value shows public fields and hides secrets."""
    assert repr(_Vault(owner="svc-user", secret="hunter2")) == "_Vault(owner='svc-user', secret=***)"
    assert repr(_Vault(owner="svc-user")) == "_Vault(owner='svc-user', secret=None)"


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_no_pickle_takes_a_secret(protocol: int) -> None:
    """Each protocol raises an error that names the class and the alternative, not the secret."""
    vault = _Vault(owner="svc-user", secret="hunter2")

    with pytest.raises(TypeError, match=r"_Vault holds secrets .*from_env\(\)") as caught:
        pickle.dumps(vault, protocol)

    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_a_secret_inside_another_value_is_refused_too() -> None:
    """A container cannot be pickled either."""
    with pytest.raises(TypeError, match="_Vault holds secrets"):
        pickle.dumps({"vaults": [_Vault(owner="svc-user", secret="hunter2")]})


@pytest.mark.parametrize("double", [copy.copy, copy.deepcopy], ids=["copy", "deepcopy"])
def test_a_copy_is_the_value_itself(double: object) -> None:
    """The value is immutable, so a copy is the value itself."""
    vault = _Vault(owner="svc-user", secret="hunter2")

    assert callable(double)
    assert double(vault) is vault
    assert double([vault])[0] is vault


@strip_frames
def _open(secret: str, *, wrong: Exception | None = None) -> str:
    """Return the secret, or raise an error about it."""
    try:
        int("no number")
    except ValueError:
        if wrong is not None:
            raise wrong from OSError("the cause")
    return secret


def test_a_decorated_callable_is_still_itself() -> None:
    """The decorated function returns the same, with its own name and docstring."""
    assert _open("hunter2") == "hunter2"
    assert (_open.__name__, _open.__doc__) == ("_open", "Return the secret, or raise an error about it.")


def test_a_typed_error_leaves_the_frames_below_behind() -> None:
    """No frame and no context with the secret is kept; the cause is kept, with its message only."""
    wrong = TokenEndpointUnavailable("out of order", retry_after=3)
    with pytest.raises(TokenEndpointUnavailable) as caught:
        _open("hunter2", wrong=wrong)

    assert caught.value is wrong
    assert [entry.name for entry in caught.traceback] == [
        "test_a_typed_error_leaves_the_frames_below_behind",
        "called",
    ]
    assert "hunter2" not in repr(caught.traceback[1].frame.f_locals)
    assert caught.value.__context__ is None
    assert repr(caught.value.__cause__) == "OSError('the cause')"
    assert caught.value.__cause__ is not None
    assert caught.value.__cause__.__traceback__ is None


def test_a_typed_error_is_handled_within_another() -> None:
    """The exception that the caller handles remains the context, as with any error."""
    outer = KeyError("outer")
    try:
        raise outer
    except KeyError:
        with pytest.raises(ConfigurationError) as caught:
            _open("hunter2", wrong=ConfigurationError("wrong"))

    assert caught.value.__cause__ is not None
    assert caught.value.__context__ is outer


def test_another_error_leaves_them_behind_too_and_tells_where_it_arose() -> None:
    """A mistake such as a wrong keyword is raised with the same secrets in its frames; a note has the place."""
    with pytest.raises(ZeroDivisionError) as caught:
        _open("hunter2", wrong=ZeroDivisionError())

    assert [entry.name for entry in caught.traceback][1:] == ["called"]
    assert "hunter2" not in report(caught.value)
    assert [note.split(":")[0] for note in caught.value.__notes__] == [f"raised by _open ({__file__}"]


def test_a_call_that_does_not_fit_is_told_without_its_arguments() -> None:
    """The arguments are in no frame of the traceback, that of the wrapper included."""
    with pytest.raises(TypeError, match="unexpected keyword argument 'typo'") as caught:
        _open("hunter2", typo=1)  # type: ignore[call-arg]

    assert "hunter2" not in report(caught.value)


def test_the_causes_of_a_cause_keep_no_frames_either() -> None:
    """Each exception of the chain has only its message."""

    def fail(secret: str) -> None:
        try:
            raise KeyError("first")
        except KeyError as error:
            raise OSError("second") from error

    @strip_frames
    def call(secret: str) -> None:
        try:
            fail(secret)
        except OSError as error:
            raise ConfigurationError("third") from error

    with pytest.raises(ConfigurationError) as caught:
        call("hunter2")

    assert caught.value.__cause__ is not None
    assert repr(caught.value.__cause__.__cause__) == "KeyError('first')"
    assert caught.value.__cause__.__cause__ is not None
    assert caught.value.__cause__.__cause__.__traceback__ is None


def test_a_header_shows_as_hidden_and_travels_as_it_is() -> None:
    """The string and its bytes are masked in reprs and pickles; the value itself is sent."""
    header = SecretStr("Bearer hunter2")
    raw = header.encode("ascii")

    assert header == "Bearer hunter2"
    assert raw == b"Bearer hunter2"
    assert b"%s\r\n" % raw == b"Bearer hunter2\r\n"
    for value in (header, raw, [("Authorization", header)], {"headers": [(b"Authorization", raw)]}):
        assert "hunter2" not in repr(value)
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            assert b"hunter2" not in pickle.dumps(value, protocol)
    assert pickle.loads(pickle.dumps(raw)) == HIDDEN.encode()  # noqa: S301  # written one line above


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
def test_a_request_keeps_its_header_to_itself(library: ModuleType) -> None:
    """The header is masked in the repr and the pickle of a request, and readable by name."""
    request = library.Request("GET", "https://api.example/", headers={"AppKey": "k", "Authorization": SecretStr("x y")})
    set_later = library.Request("GET", "https://api.example/")
    set_later.headers["Authorization"] = SecretStr("x y")
    copied = library.Headers(set_later.headers)

    assert request.headers["authorization"] == copied["authorization"] == "x y"
    for headers in (request.headers, set_later.headers, copied):
        assert "x y" not in repr(headers.raw)
    assert b"x y" not in pickle.dumps(request) + pickle.dumps(library.Response(200, request=set_later))


@pytest.mark.parametrize(
    ("secret", "expected"),
    [("s", True), (lambda: "s", True), ("", False), (None, False), (7, False), (b"s", False)],
    ids=["text", "callable", "empty", "none", "number", "bytes"],
)
def test_a_secret_is_a_text_or_a_callable(secret: object, expected: bool) -> None:
    """A callable counts as set and is not called."""
    assert is_set(secret) is expected


def test_a_callable_is_asked_each_time() -> None:
    """A callable is called for each token."""
    answers = iter(["first", "second"])

    assert [reveal(lambda: next(answers), field="f") for _ in range(2)] == ["first", "second"]
    assert reveal("text", field="f") == "text"


@pytest.mark.parametrize(
    ("answer", "named"),
    [(None, "NoneType"), (b"s", "bytes"), ("", "an empty string"), (7, "int")],
    ids=["none", "bytes", "empty", "number"],
)
def test_a_callable_that_returns_no_text_is_named(answer: object, named: str) -> None:
    """The error names the setting and the type of the result, not the result."""
    with pytest.raises(ConfigurationError, match=f"grant.password.*{named}") as caught:
        reveal(lambda: answer, field="grant.password")  # type: ignore[arg-type,return-value]

    assert caught.value.field == "grant.password"


def test_a_callable_that_fails_is_the_cause() -> None:
    """The exception of the user's code is the cause of an error that names the setting."""

    def vault() -> str:
        raise OSError("the vault is sealed")

    with pytest.raises(ConfigurationError, match="raised OSError") as caught:
        reveal(vault, field="grant.password")

    assert isinstance(caught.value.__cause__, OSError)
    assert "sealed" not in str(caught.value)


def test_a_digest_tells_secrets_apart_and_nothing_else() -> None:
    """Equal secrets have equal digests; a callable has none; any string has one."""
    assert digest("a") == digest(b"a") != digest("b")
    assert digest(lambda: "a") is None
    assert digest(None) is None
    assert len(digest("\ud800") or "") == 16


@pytest.mark.parametrize("encoding", ["ascii", "utf-8", "iso-8859-1", "utf-16", "cp037"])
@pytest.mark.parametrize("text", ["Bearer abc", "Bearer ä"])
def test_the_bytes_of_a_secret_decode_as_other_bytes_do(text: str, encoding: str) -> None:
    """In each encoding, with a masked repr; or they raise the same error."""
    encoded = SecretStr(text).encode()

    try:
        expected = text.encode().decode(encoding)
    except UnicodeDecodeError:
        with pytest.raises(UnicodeDecodeError):
            encoded.decode(encoding)
        return
    assert encoded.decode(encoding) == expected
    assert HIDDEN in repr(encoded.decode(encoding)) + repr(vars(encoded))

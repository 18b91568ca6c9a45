from __future__ import annotations

import pytest

from seic._errors import ConfigurationError
from seic._model.secrecy import digest, is_set, reveal


@pytest.mark.parametrize(
    ("secret", "stated"),
    [("s", True), (lambda: "s", True), ("", False), (None, False), (7, False), (b"s", False)],
    ids=["text", "callable", "empty", "none", "number", "bytes"],
)
def test_a_secret_is_a_text_or_a_callable(secret: object, stated: bool) -> None:
    """A callable counts as stated without being asked."""
    assert is_set(secret) is stated


def test_a_callable_is_asked_each_time() -> None:
    """What changes is had anew for each token."""
    answers = iter(["first", "second"])

    assert [reveal(lambda: next(answers), field="f") for _ in range(2)] == ["first", "second"]
    assert reveal("text", field="f") == "text"


@pytest.mark.parametrize(
    ("answer", "named"),
    [(None, "NoneType"), (b"s", "bytes"), ("", "an empty string"), (7, "int")],
    ids=["none", "bytes", "empty", "number"],
)
def test_a_callable_that_returns_no_text_is_named(answer: object, named: str) -> None:
    """The error names the setting and the kind of the answer, and nothing of it."""
    with pytest.raises(ConfigurationError, match=f"grant.password.*{named}") as caught:
        reveal(lambda: answer, field="grant.password")  # type: ignore[arg-type,return-value]

    assert caught.value.field == "grant.password"


def test_a_callable_that_fails_is_the_cause() -> None:
    """What the user's own code raised stays with the error, which names the setting."""

    def vault() -> str:
        raise OSError("the vault is sealed")

    with pytest.raises(ConfigurationError, match="raised OSError") as caught:
        reveal(vault, field="grant.password")

    assert isinstance(caught.value.__cause__, OSError)
    assert "sealed" not in str(caught.value)


def test_a_digest_tells_secrets_apart_and_nothing_else() -> None:
    """Equal secrets have equal digests; a callable has none; no text is too odd."""
    assert digest("a") == digest(b"a") != digest("b")
    assert digest(lambda: "a") is None
    assert digest(None) is None
    assert len(digest("\ud800") or "") == 16

"""Values compare, hash and print as attrs' own classes do, although their methods are shared."""

from __future__ import annotations

import copy
import pickle

import attrs
import pytest

import seic


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (seic.Origin.parse("https://a.example", field="f"), seic.Origin.parse("https://b.example", field="f")),
        (seic.FieldError(field="a"), seic.FieldError(field="b")),
        (seic.ClientCredentials(username="u", password="p"), seic.ClientCredentials(username="u", password="q")),
        (seic.Hosts(api="https://a.example"), seic.Hosts(api="https://b.example")),
        (seic.Retry(attempts=3), seic.Retry(attempts=4)),
    ],
)
def test_values_are_equal_if_all_fields_are(one: object, other: object) -> None:
    """Equal values have one hash; a value of another class is never equal."""
    twin = copy.copy(one)
    assert one == twin
    assert hash(one) == hash(twin)
    assert one != other
    assert one != "text"
    assert len({one, twin, other}) == 2


def test_the_repr_names_each_field_and_hides_secrets() -> None:
    """As attrs prints it, with the functions of fields that mask a secret."""
    assert repr(seic.FieldError(field="a", reason="r")) == "FieldError(field='a', location='', reason='r')"
    shown = repr(seic.ClientCredentials(username="u", password="secret-1"))
    assert shown.startswith("ClientCredentials(scope=None, ")
    assert shown.endswith("username='u', password=***)")
    assert "secret-1" not in shown


def test_a_value_cannot_be_changed_and_can_be_evolved_and_pickled() -> None:
    """These methods are attrs' own."""
    value = seic.FieldError(field="a")
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        value.field = "b"  # type: ignore[misc]
    assert attrs.evolve(value, field="b") == seic.FieldError(field="b")
    assert pickle.loads(pickle.dumps(value)) == value  # noqa: S301  it was pickled here


def test_a_class_with_its_own_methods_keeps_them() -> None:
    """The repr of a certificate's files does not show a passphrase."""
    assert "secret-1" not in repr(seic.PrivateKeyJwt(key="secret-1"))
    assert {seic.TlsClientAuth(), seic.TlsClientAuth()} == {seic.TlsClientAuth()}

"""The names that `seic` and `seic.events` export: module, version, pickling and annotations."""

from __future__ import annotations

import pickle
import tomllib
import typing
from pathlib import Path
from types import FunctionType, ModuleType

import pytest

import seic
from seic import events, sandbox

_EXPORTED = [
    pytest.param(module, name, id=f"{module.__name__}.{name}")
    for module in (seic, events)
    for name in module.__all__
    if isinstance(getattr(module, name), type | FunctionType)
]
each_exported = pytest.mark.parametrize(("module", "name"), _EXPORTED)


@each_exported
def test_a_public_name_shows_the_module_that_users_import(module: ModuleType, name: str) -> None:
    """Tracebacks and `repr` say `seic.Token`; the private module is not part of the interface."""
    assert getattr(module, name).__module__ == module.__name__


@each_exported
def test_a_public_name_is_pickled_by_its_public_name(module: ModuleType, name: str) -> None:
    """A class or function travels to a worker process by the name that later releases keep."""
    exported = getattr(module, name)
    pickled = pickle.dumps(exported, protocol=4)
    assert pickle.loads(pickled) is exported  # noqa: S301  it was pickled above
    assert b"._" not in pickled


@each_exported
def test_the_annotations_of_a_public_name_can_be_resolved(module: ModuleType, name: str) -> None:
    """Frameworks call `typing.get_type_hints`, which looks names up in `__module__`."""
    exported = getattr(module, name)
    if hints := typing.get_type_hints(exported):
        assert all(not isinstance(hint, str | typing.ForwardRef) for hint in hints.values())


@each_exported
def test_the_annotations_of_public_methods_can_be_resolved(module: ModuleType, name: str) -> None:
    """Frameworks that inject dependencies ask for those of the constructor."""
    for method in vars(getattr(module, name)).values():
        if isinstance(method, FunctionType):
            typing.get_type_hints(method)


@pytest.mark.parametrize("module", [seic, events, sandbox])
def test_no_other_function_or_class_is_visible(module: ModuleType) -> None:
    """An editor completes what is supported, and nothing else."""
    visible = {name for name, value in vars(module).items() if isinstance(value, type | FunctionType)}
    assert {name for name in visible if not name.startswith("_")} <= set(module.__all__)


def test_the_version_is_that_of_the_package() -> None:
    """`seic.__version__` is a constant, so that importing seic reads no metadata."""
    project = tomllib.loads(Path(__file__).parents[1].joinpath("pyproject.toml").read_text(encoding="utf-8"))
    assert seic.__version__ == project["project"]["version"]

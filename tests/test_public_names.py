"""The names that `seic` and `seic.events` export: module, version, pickling and annotations."""

from __future__ import annotations

import ast
import pickle
import subprocess
import sys
import tomllib
import typing
from pathlib import Path
from types import FunctionType, ModuleType

import pytest

import seic
import seic.fastapi
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


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, id=f"{module.__name__}.{name}")
        for module in (seic, events, seic.fastapi, sandbox)
        for name in module.__all__
        if isinstance(kind := getattr(module, name), type)
    ],
)
def test_the_annotations_of_public_methods_can_be_resolved(kind: type) -> None:
    """Frameworks that inject dependencies ask for those of the constructor, other tools for those of all members."""
    for name, member in vars(kind).items():
        if isinstance(member, property):
            member = member.fget  # noqa: PLW2901
        elif isinstance(member, classmethod | staticmethod):
            member = member.__func__  # noqa: PLW2901
        if isinstance(member, FunctionType) and (not name.startswith("_") or name in ("__init__", "__call__")):
            typing.get_type_hints(member)


@pytest.mark.parametrize("module", [seic, events, sandbox])
def test_no_other_function_or_class_is_visible(module: ModuleType) -> None:
    """An editor completes what is supported, and nothing else."""
    visible = {name for name, value in vars(module).items() if isinstance(value, type | FunctionType)}
    assert {name for name in visible if not name.startswith("_")} <= set(module.__all__)


def test_the_version_is_that_of_the_package() -> None:
    """`seic.__version__` is a constant, so that importing seic reads no metadata."""
    project = tomllib.loads(Path(__file__).parents[1].joinpath("pyproject.toml").read_text(encoding="utf-8"))
    assert seic.__version__ == project["project"]["version"]


def test_each_name_is_imported_from_the_module_that_type_checkers_read() -> None:
    """The names of `seic` are listed twice: for type checkers, and for the import at the first use."""
    tree = ast.parse(Path(seic.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    checked = {alias.name: node.module for node in imports for alias in node.names}
    assert checked.pop("events") == "seic"
    assert checked == seic._MODULES
    assert {*checked, "events"} == set(seic.__all__)


def test_an_unknown_name_is_an_error() -> None:
    """Its message is Python's own."""
    with pytest.raises(AttributeError, match=r"^module 'seic' has no attribute 'AsynClient'$"):
        _ = seic.AsynClient  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "program",
    [
        "assert set(seic.__all__) <= set(dir(seic))",
        "from seic import *; assert {*seic.__all__} <= {*globals()}, 'missing'; assert AsyncClient is seic.AsyncClient",
        "help('seic')",
        "import doctest; assert doctest.testmod(seic).failed == 0",
        "import pickle; assert pickle.loads(b'cseic\\nOrigin\\n.').__module__ == 'seic'",
        "import inspect; assert {*seic.__all__} <= {name for name, _ in inspect.getmembers(seic)}",
        "import copy; assert copy.copy(seic.HostNotAllowed('x', host='h')).host == 'h'",
        "from seic import events; assert events is seic.events and events.Event.__module__ == 'seic.events'",
        "from seic._errors import SeicError; assert SeicError.__module__ == 'seic' and SeicError is seic.SeicError",
    ],
)
def test_names_that_are_imported_late_are_found(program: str) -> None:
    """A new process, in which no other test has used a name before."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"import seic\n{program}"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_completion_offers_the_public_names() -> None:
    """In Python's shell, before any was used; editors read the imports for type checkers."""
    program = "import rlcompleter, seic; print(rlcompleter.Completer({'seic': seic}).attr_matches('seic.Async'))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "seic.AsyncClient" in done.stdout
    assert "seic.AsyncTransport" in done.stdout

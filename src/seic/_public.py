"""One function that makes public names look public: `seic.Token`, not `seic._model.token.Token`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import FunctionType
from typing import ForwardRef


def publish(module: str, names: Iterable[str], namespace: Mapping[str, object]) -> None:
    """Set `__module__` of the classes and functions that a module exports.

    Tracebacks, `repr` and `help` then show the name that a user imports, and pickles survive a move of the private
    module. A name that another public module has already published keeps that module.

    Args:
        module: The public module.
        names: Its `__all__`.
        namespace: Its `globals()`.
    """
    for name in names:
        exported = namespace[name]
        if not isinstance(exported, type | FunctionType) or "._" not in exported.__module__:
            continue
        if isinstance(exported, type):
            _keep_annotations_resolvable(exported)
        exported.__module__ = module


def _keep_annotations_resolvable(kind: type) -> None:
    # typing.get_type_hints looks a class's names up in the module that `__module__` names.
    annotations = vars(kind).get("__annotations__", {})
    for name, annotation in annotations.items():
        if isinstance(annotation, str):
            annotations[name] = ForwardRef(annotation, is_argument=False, is_class=True, module=kind.__module__)

"""Faults by name, for the command line and the control's HTTP API: those of responses, and changes of state."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, cast

from seic.sandbox._certificates import IssuedCertificate
from seic.sandbox._sandbox import Sandbox
from seic.sandbox._server.fault import FAULT_NAMES, FaultName, FaultTarget


def _skew_clock(sandbox: Sandbox, values: Mapping[str, str]) -> None:
    sandbox.clock_skew = _number("seconds", values.get("seconds", "0"))


def _refuse(sandbox: Sandbox, values: Mapping[str, str]) -> None:
    found = _certificates(sandbox, values)
    sandbox.refuse_certificate(found[0] if found else None)


def _accept(sandbox: Sandbox, values: Mapping[str, str]) -> None:
    sandbox.accept_certificates(*_certificates(sandbox, values))


def _certificates(sandbox: Sandbox, values: Mapping[str, str]) -> list[IssuedCertificate]:
    thumbprint = values.get("thumbprint")
    found = [each for each in sandbox.issued_certificates if each.thumbprint == thumbprint]
    if thumbprint is not None and not found:
        raise ValueError("thumbprint: the sandbox has not issued such a certificate")
    return found


#: Changes of state, which are over at once or hold until they are undone.
ACTIONS: Mapping[str, Callable[[Sandbox, Mapping[str, str]], object]] = {
    "revoke-all": lambda sandbox, _: sandbox.revoke_all(),
    "expire-now": lambda sandbox, _: sandbox.expire_all(),
    "idle-out": lambda sandbox, _: sandbox.idle_out_all(),
    "clock-skew": _skew_clock,
    "refuse-certificate": _refuse,
    "accept-certificates": _accept,
    "clear": lambda sandbox, values: clear(sandbox, values.get("target")),
}
_FIELDS = {"fault", "target", "times", "seconds", "thumbprint"}


def apply_fault(sandbox: Sandbox, values: Mapping[str, str]) -> None:
    """Inject a fault, or carry out a change.

    Args:
        sandbox: The sandbox.
        values: `fault`, and what it needs of `target`, `times` (a number or `always`), `seconds` and `thumbprint`.

    Raises:
        ValueError: A value is missing, unknown or out of range; the message names its field.
    """
    if unknown := values.keys() - _FIELDS:
        raise ValueError(f"{min(unknown)}: unknown; the fields are {', '.join(sorted(_FIELDS))}")
    name = values.get("fault", "")
    if name in ACTIONS:
        ACTIONS[name](sandbox, values)
        return
    if name not in FAULT_NAMES:
        raise ValueError(f"fault: must be one of {', '.join((*FAULT_NAMES, *ACTIONS))}")
    times = values.get("times", "1")
    sandbox.inject(
        cast("FaultName", name),
        target=cast("FaultTarget", values.get("target", "token")),
        times=None if times == "always" else _count(times),
        seconds=None if "seconds" not in values else _number("seconds", values["seconds"]),
    )


def clear(sandbox: Sandbox, target: str | None, fault: str | None = None) -> None:
    """End all faults, those of state included; with a target or a name, only those faults.

    Raises:
        ValueError: The target or the name is unknown.
    """
    if fault is not None and fault not in FAULT_NAMES:
        raise ValueError(f"fault: must be one of {', '.join(FAULT_NAMES)}")
    sandbox.clear_faults(cast("FaultTarget | None", _target(target)), fault=cast("FaultName | None", fault))
    if target is None and fault is None:
        sandbox.clock_skew = 0.0
        if sandbox.refused_certificates:
            sandbox.accept_certificates()


def describe_faults(sandbox: Sandbox) -> dict[str, Any]:
    """Return the faults that are active, and the names of all."""
    return {
        "faults": [
            {"fault": each.name, "target": each.target, "times": each.times, "seconds": each.seconds}
            for each in sandbox.faults
        ],
        "clock_skew": sandbox.clock_skew,
        "refused_certificates": sorted(sandbox.refused_certificates),
        "names": [*FAULT_NAMES, *ACTIONS],
    }


def _target(target: str | None) -> str | None:
    if target not in (None, "token", "api"):
        raise ValueError("target: must be one of token, api")
    return target


def _count(text: str) -> int:
    if text.isascii() and text.isdecimal() and len(text) < 7:
        return int(text)
    raise ValueError("times: must be a number, or always")


def _number(field: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not abs(value) < 1e9:
        raise ValueError(f"{field}: must be a number of seconds")
    return value

"""`Fault`: the named failures of token and API responses."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import attrs

#: `500`, `503` and `429`: these statuses, the last two with `Retry-After`. `slow`: a delayed response. `reset`: the
#: connection is reset. `truncated`: half of the body. `html`: a page with status 200. `empty`: status 200 without a
#: body. `no-expires-in`: a token without a lifetime. `error-in-200`: an error body with status 200. `redirect`: 307 to
#: the same path of another host.
FaultName: TypeAlias = Literal[
    "500",
    "503",
    "429",
    "slow",
    "reset",
    "truncated",
    "html",
    "empty",
    "no-expires-in",
    "error-in-200",
    "redirect",
]
FaultTarget: TypeAlias = Literal["token", "api"]
FAULT_NAMES: tuple[str, ...] = get_args(FaultName)
FAULT_TARGETS: tuple[str, ...] = get_args(FaultTarget)
#: The faults that have seconds, and their default: `Retry-After`, or the delay.
FAULT_SECONDS = {"503": 5.0, "429": 5.0, "slow": 5.0}


@attrs.frozen(kw_only=True)
class Fault:
    """A failure of the next requests.

    Args:
        name: The failure.
        target: `token` for token requests, `api` for API requests.
        times: The number of requests; None for all until the faults are cleared.
        seconds: `Retry-After` of `503` and `429`, and the delay of `slow`; None for 5.

    Raises:
        ValueError: A value is out of range, or the fault does not have it.
    """

    name: FaultName
    target: FaultTarget = "token"
    times: int | None = 1
    seconds: float | None = None

    def __attrs_post_init__(self) -> None:
        if self.name not in FAULT_NAMES:
            raise ValueError(f"fault: must be one of {', '.join(FAULT_NAMES)}, not {self.name!r}")
        if self.target not in FAULT_TARGETS:
            raise ValueError(f"target: must be one of {', '.join(FAULT_TARGETS)}, not {self.target!r}")
        if self.name == "no-expires-in" and self.target != "token":
            raise ValueError("fault: no-expires-in is of token requests only")
        if self.times is not None and self.times < 1:
            raise ValueError(f"times: must be 1 or more, not {self.times}")
        if self.seconds is not None and (self.name not in FAULT_SECONDS or not 0 <= self.seconds <= 86400):
            raise ValueError(f"seconds: must be 0 to 86400, and only of {', '.join(FAULT_SECONDS)}")

    @property
    def effective_seconds(self) -> float:
        """The seconds, or their default."""
        return FAULT_SECONDS.get(self.name, 0.0) if self.seconds is None else self.seconds

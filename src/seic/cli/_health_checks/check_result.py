"""`CheckResult`, and `HealthState`: the facts that one check finds and the next ones use."""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Mapping
from typing import Any

import attrs

from seic._config import Config
from seic._errors import SeicError
from seic._event_types import Event
from seic.cli._exit_code import ExitCode, exit_code_of

#: OpenSSL's own words, which end messages about the server's certificate.
_OPENSSL = "; verification failed with: "


class Outcome(enum.StrEnum):
    """The outcome of a check."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@attrs.frozen
class CheckResult:
    """One line of the report.

    Args:
        name: The name of the check.
        outcome: Its outcome.
        found: The facts, or what is wrong.
        remedy: The remedy; None if there is nothing to do.
        code: The exit code of a failure.
        reason: The code of a certificate's or a handshake's problem, as in `seic.Reason`.
        details: Further facts, by name.
    """

    name: str
    outcome: Outcome
    found: str
    remedy: str | None = None
    code: ExitCode = ExitCode.OK
    reason: str | None = None
    details: Mapping[str, str] = attrs.field(factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the result for JSON."""
        fields = attrs.asdict(self, filter=lambda field, value: value not in (None, {}))
        return {**fields, "outcome": self.outcome.value, "code": int(self.code)}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> CheckResult:
        """Return the result that `to_dict` wrote.

        Raises:
            ValueError: It is not one.
        """
        try:
            return cls(
                name=str(fields["name"]),
                outcome=Outcome(fields["outcome"]),
                found=str(fields["found"]),
                remedy=None if fields.get("remedy") is None else str(fields["remedy"]),
                code=ExitCode(fields["code"]),
                reason=fields.get("reason"),
                details={str(name): str(value) for name, value in dict(fields.get("details", {})).items()},
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError("it is not a result") from error


@attrs.define
class HealthState:
    """A run of the checks, and its facts.

    Args:
        environ: The variables, with the profile.
        path: The path of the API call.
        timeout: Seconds for each connection.
        login: Whether the token is that of `seic login`.
        config: The configuration, with placeholders for what is missing; None if there can be none.
        problems: The errors of the settings.
        placeholders: The settings that have a placeholder, because they are missing or wrong.
        unreadable: Files that cannot be read, by setting.
        proxied: Whether connections go through a proxy.
        reached: The host that accepted a connection.
        accepted: Whether the server completed a TLS handshake and answered.
        server_time: The server's `Date`, and this machine's time of its arrival.
        token: Whether a token was obtained.
        events: The events of the library.
        results: The results so far.
        secrets: Each secret that was met, which no report may have.
    """

    environ: Mapping[str, str] = attrs.field(repr=False)
    path: str = "/"
    timeout: float = 5.0
    login: bool = False
    config: Config | None = None
    problems: list[SeicError] = attrs.field(factory=list)
    placeholders: set[str] = attrs.field(factory=set)
    unreadable: dict[str, str] = attrs.field(factory=dict)
    proxied: bool = False
    reached: bool = False
    accepted: bool = False
    server_time: tuple[dt.datetime, dt.datetime] | None = None
    token: bool = False
    events: list[Event] = attrs.field(factory=list)
    results: list[CheckResult] = attrs.field(factory=list)
    secrets: set[str] = attrs.field(factory=set, repr=False)

    def require_config(self) -> Config:
        """Return the configuration, for a check that runs only with one."""
        if self.config is None:
            raise RuntimeError("this check needs a configuration")
        return self.config

    @property
    def exit_code(self) -> ExitCode:
        """The code of the first failure, which is usually the cause of the others."""
        return next((result.code for result in self.results if result.outcome == Outcome.FAILED), ExitCode.OK)


def failure_of(name: str, error: BaseException, *, details: Mapping[str, str] | None = None) -> CheckResult:
    """Return the failed result for an error of the library, whose message ends with the remedy."""
    found, remedy = split_remedy(str(error))
    notes: list[str] = getattr(error, "__notes__", [])
    return CheckResult(
        name,
        Outcome.FAILED,
        found,
        remedy=" ".join(filter(None, [remedy, *notes])) or None,
        code=exit_code_of(error),
        reason=getattr(error, "reason", None),
        details=details or {},
    )


def split_remedy(message: str) -> tuple[str, str | None]:
    """Return a message of the library in two parts: the problem, and after the last semicolon the remedy."""
    message, cause, openssl = message.partition(_OPENSSL)
    found, _, remedy = message.rpartition("; ")
    return (f"{found}{cause}{openssl}", remedy) if found else (message + cause + openssl, None)

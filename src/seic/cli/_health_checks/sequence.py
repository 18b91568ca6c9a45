"""The order of the checks, and the run of all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeAlias

from seic.cli._exit_code import ExitCode
from seic.cli._health_checks.check_result import CheckResult, HealthState, Outcome
from seic.cli._health_checks.identity_checks import check_authorities, check_certificate, check_clock
from seic.cli._health_checks.network_checks import (
    check_connection,
    check_name,
    check_proxy,
    check_server_time,
    check_tls,
)
from seic.cli._health_checks.settings_checks import check_files, check_settings
from seic.cli._health_checks.token_checks import check_calls

_Check: TypeAlias = tuple[str, bool, Callable[[HealthState], Iterator[CheckResult]]]
#: The number of checks that send nothing, from the first.
_OFFLINE = 4
#: Each with its name, and whether it needs a configuration.
_CHECKS: tuple[_Check, ...] = (
    ("settings", False, check_settings),
    ("files", False, check_files),
    ("certificate", False, check_certificate),
    ("authorities", False, check_authorities),
    ("clock", False, check_clock),
    ("dns", True, check_name),
    ("proxy", True, check_proxy),
    ("tcp", True, check_connection),
    ("tls", True, check_tls),
    ("skew", True, check_server_time),
    ("token", True, check_calls),
)


def run_checks(
    environ: Mapping[str, str],
    *,
    path: str,
    timeout: float,
    login: bool = False,
    report: Callable[[CheckResult], None],
) -> HealthState:
    """Run all checks.

    Args:
        environ: The variables, with the profile.
        path: The path of the API call.
        timeout: Seconds for each connection.
        login: Whether the token is that of `seic login`.
        report: Called with each result as it comes.
    """
    state = HealthState(environ=environ, path=path, timeout=timeout, login=login)
    _run(_CHECKS, state, report)
    return state


def run_offline_checks(environ: Mapping[str, str]) -> HealthState:
    """Run the checks that send nothing; the arguments are those of `run_checks`."""
    state = HealthState(environ=environ)
    _run(_CHECKS[:_OFFLINE], state, lambda result: None)
    return state


def _run(checks: Iterable[_Check], state: HealthState, report: Callable[[CheckResult], None]) -> None:
    for name, needs_config, check in checks:
        for result in _results(name, check, state, needs_config=needs_config):
            state.results.append(result)
            report(result)


def _results(
    name: str,
    check: Callable[[HealthState], Iterator[CheckResult]],
    state: HealthState,
    *,
    needs_config: bool,
) -> Iterator[CheckResult]:
    if needs_config and state.config is None:
        yield CheckResult(name, Outcome.SKIPPED, "the settings name no host")
        return
    try:
        yield from check(state)
    except Exception as error:  # noqa: BLE001  # the next checks still help
        text = f"the check itself failed ({type(error).__name__}); please report it"
        yield CheckResult(name, Outcome.FAILED, text, code=ExitCode.FAILED)

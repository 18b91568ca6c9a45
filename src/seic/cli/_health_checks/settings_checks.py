"""The settings with their sources, and their files. Missing ones get placeholders, so that the next checks can run."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from seic._config import Config
from seic._errors import CertificateError, ConfigurationError
from seic._model.grants import ClientCredentials
from seic._model.secret import reveal
from seic._setting_names import PATHS, PATHS_OR_PEM, PREFIX, PROFILE
from seic._tls.certificate import ClientCertificate
from seic._x509.credential_files import is_material
from seic._x509.reasons import CertificateWarning
from seic.cli._exit_code import ExitCode
from seic.cli._health_checks.check_result import CheckResult, HealthState, Outcome, failure_of
from seic.cli._login_grant import LoginGrant
from seic.cli._setting_sources import SettingSource, list_settings

#: The value of a setting that is missing, while the other checks run.
_PLACEHOLDER = "missing"
_CREDENTIALS = ("client_id", "client_secret", "username", "password")
#: More mistakes than settings cannot be corrected one after the other.
_MAX_MISTAKES = 12


def check_settings(state: HealthState) -> Iterator[CheckResult]:
    """Read the settings as the library does; each mistake is a failure, and gets a placeholder."""
    for _ in range(_MAX_MISTAKES):
        try:
            settings = list_settings(state.environ)
        except ConfigurationError as error:
            yield failure_of("settings", error)
            if error.field not in state.environ or error.field == PROFILE:
                return
            # An unknown variable: the others can still be checked.
            state.environ = {name: value for name, value in state.environ.items() if name != error.field}
        else:
            break
    else:
        return
    state.secrets |= {setting.text for setting in settings if setting.is_secret}
    details = {setting.name: f"{setting.shown}  ({setting.source})" for setting in settings}
    _read_config(state, next((setting.text for setting in settings if setting.name == "username"), None))
    mistakes = [error for error in state.problems if isinstance(error, ConfigurationError)]
    for mistake in mistakes:
        yield failure_of("settings", mistake, details=details)
        details = {}
    if not mistakes and state.config is not None:
        state.secrets |= set(_secrets_of(state.config))
        target = f"{state.config.provider.name} at {state.config.base_url}"
        yield CheckResult("settings", Outcome.OK, f"{len(settings)} set; {target}", details=details)


def _secrets_of(config: Config) -> Iterator[str]:
    """Yield the secrets of a configuration, also those in files and of programs, so that no report has them."""
    for secret in (config.client_secret, getattr(config.grant, "password", None)):
        if secret is not None:
            # The token request names the mistake of a file or a program.
            with contextlib.suppress(ConfigurationError):
                yield reveal(secret, field="secret")


def _read_config(state: HealthState, username: str | None) -> None:
    changes: dict[str, Any] = {"grant": LoginGrant()} if state.login else {}
    for _ in range(_MAX_MISTAKES):
        try:
            # Warnings are repeated by the checks of the certificate and the authorities.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", CertificateWarning)
                state.config = Config.from_env(state.environ, **changes)
        except (CertificateError, ConfigurationError) as error:
            state.problems.append(error)
            further = _placeholders(error, username, state)
            if further.keys() <= changes.keys():
                return
            changes |= further
        else:
            return


def _placeholders(
    error: CertificateError | ConfigurationError, username: str | None, state: HealthState
) -> dict[str, Any]:
    """Return arguments in place of the wrong setting; of the credentials, in place of all that are missing."""
    name = (error.field or "").removeprefix("SEIC_").lower().rpartition(".")[2]
    name = name.removesuffix("_file").removesuffix("_command")
    wrong = {name}
    if name in _CREDENTIALS:
        # One error names all that are missing.
        wrong |= {one for one in _CREDENTIALS if f"{PREFIX}{one.upper()}" in error.message}
    state.placeholders |= wrong
    changes: dict[str, Any] = {one: _PLACEHOLDER for one in ("client_id", "client_secret") if one in wrong}
    if wrong & {"username", "password"}:
        changes["grant"] = ClientCredentials(username=username or _PLACEHOLDER, password=_PLACEHOLDER)
    if name.startswith("certificate"):
        # A callback keeps the host of the certificate without reading it.
        changes["certificate"] = _unusable
    if name in {"ca", "store", "proxy"}:
        changes[name] = None
    return changes


def _unusable() -> NoReturn:
    raise CertificateError("the certificate cannot be used")


def check_files(state: HealthState) -> Iterator[CheckResult]:
    """Check that each file of the settings can be read, and that no other user can read a secret."""
    try:
        settings = list_settings(state.environ)
    except ConfigurationError:
        yield CheckResult("files", Outcome.SKIPPED, "the settings cannot be read")
        return
    named = [setting for setting in settings if _is_file(setting)]
    details: dict[str, str] = {}
    concerns: list[tuple[str, str]] = []
    for setting in named:
        path = Path(setting.text).expanduser()
        problem = _problem_of(path)
        if problem is None:
            details[setting.name], concern = _describe(path, is_private=setting.name not in {"certificate", "ca"})
            if concern is not None:
                concerns.append(concern)
        else:
            state.unreadable[setting.name] = f"{path}: {problem}"
    if state.unreadable:
        names = ", ".join(state.unreadable)
        found = "; ".join(state.unreadable.values())
        remedy = f"correct {names}, or give this user access (it is {_user()})"
        yield CheckResult("files", Outcome.FAILED, found, remedy, ExitCode.CERTIFICATE, "not-found", details)
    elif concerns:
        yield CheckResult("files", Outcome.WARNING, concerns[0][0], concerns[0][1], details=details)
    elif named:
        yield CheckResult("files", Outcome.OK, f"{len(named)} can be read", details=details)
    else:
        yield CheckResult("files", Outcome.SKIPPED, "no setting names a file")


def _is_file(setting: SettingSource) -> bool:
    is_path = setting.name in PATHS_OR_PEM and "\n" not in setting.text and not is_material(setting.text)
    return is_path or setting.name in PATHS


def _problem_of(path: Path) -> str | None:
    try:
        if path.is_dir():
            with os.scandir(path):
                return None
        with path.open("rb") as file:
            return None if file.read(1) else "it is empty"
    except OSError as error:
        return error.strerror or "it cannot be read"
    except ValueError:
        return "no file can have this name"


def _describe(path: Path, *, is_private: bool) -> tuple[str, tuple[str, str] | None]:
    status = path.stat()
    mode = stat.S_IMODE(status.st_mode)
    changed = dt.datetime.fromtimestamp(status.st_mtime, dt.UTC)
    text = f"{path}, mode {mode:04o}, changed {changed:%Y-%m-%d %H:%M} UTC"
    if is_private and stat.S_ISREG(status.st_mode) and mode & 0o077 and os.name == "posix":
        return text, (f"{path}: other users can read it (mode {mode:04o})", f"chmod 600 {path}")
    return text, None


def _user() -> str:
    return f"user id {os.geteuid()}" if hasattr(os, "geteuid") else "the current user"


def certificate_problem(state: HealthState) -> CertificateError | None:
    """Return the error about the client certificate, if the settings have one."""
    return _problem(state, lambda name: name.startswith("certificate"))


def authorities_problem(state: HealthState) -> CertificateError | None:
    """Return the error about the authorities, if the settings have one."""
    return _problem(state, lambda name: name == "ca")


def _problem(state: HealthState, is_meant: Any) -> CertificateError | None:
    for error in state.problems:
        name = (getattr(error, "field", None) or "").removeprefix("SEIC_").lower().rpartition(".")[2]
        if isinstance(error, CertificateError) and is_meant(name):
            return error
    return None


def usable_certificate(state: HealthState) -> ClientCertificate | None:
    """Return the client certificate; None without one that can be read."""
    certificate = None if state.config is None else state.config.certificate
    return certificate if isinstance(certificate, ClientCertificate) else None

"""Exit codes of the command, and the code of each error."""

from __future__ import annotations

import enum


class ExitCode(enum.IntEnum):
    """The exit codes; their meaning never changes."""

    OK = 0
    FAILED = 1
    USAGE = 2
    SETTINGS = 3
    CERTIFICATE = 4
    NETWORK = 5
    TOKEN = 6
    API = 7
    INTERRUPTED = 130  # 128 and SIGINT, as shells count
    BROKEN_PIPE = 141  # 128 and SIGPIPE


def exit_code_of(error: BaseException) -> ExitCode:
    """Return the exit code of an error."""
    # Imported on the first error, so that `seic --help` is fast.
    import httpx

    import seic

    if isinstance(error, seic.CertificateError):
        return ExitCode.CERTIFICATE
    if isinstance(error, (seic.ConfigurationError, seic.HostNotAllowed)):
        return ExitCode.SETTINGS
    if isinstance(error, seic.TokenEndpointUnavailable) and error.status is None:
        return ExitCode.NETWORK
    if isinstance(error, seic.TokenError):
        return ExitCode.TOKEN
    if isinstance(error, seic.ApiError):
        return ExitCode.API
    return ExitCode.NETWORK if isinstance(error, httpx.HTTPError) else ExitCode.FAILED

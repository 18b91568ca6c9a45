"""The system's keyring: where `seic config init` keeps secrets, and the command that reads each one again.

A profile names that command as the value of `<secret>_command`, so that the library needs no keyring of its own.
"""

from __future__ import annotations

import sys

from seic._errors import ConfigurationError
from seic._oauth.redact import redact

_SERVICE = "seic"
#: A keyring with a lower priority does not protect secrets from other programs.
_LOWEST_PRIORITY = 1


def missing_keyring() -> str | None:
    """Return the reason why there is no keyring; None if there is one."""
    try:
        import keyring
    except ModuleNotFoundError:
        return 'the package keyring is not installed (pip install "seic[keyring]")'
    return None if keyring.get_keyring().priority >= _LOWEST_PRIORITY else "this system has no keyring"


def keep(name: str, secret: str) -> list[str]:
    """Keep a secret in the keyring, and return the command that prints it.

    Args:
        name: The profile and the setting, which replace an older secret.
        secret: The secret.

    Raises:
        ConfigurationError: The keyring refused it.
    """
    import keyring

    try:
        keyring.set_password(_SERVICE, name, secret)
    except Exception as error:  # noqa: BLE001  # each system has errors of its own
        reason = redact(f"{type(error).__name__}: {error}", [secret])
        raise ConfigurationError(
            f"keyring: does not keep the secret ({reason}); unlock it, or choose files", field="keyring"
        ) from None
    # By this interpreter: PATH may have no program `keyring`, or one without this system's.
    return [sys.executable, "-m", "keyring", "get", _SERVICE, name]

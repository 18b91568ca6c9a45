"""The names of settings, as variables and as keys of a profile, and hints for names that do not exist."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping

from seic._errors import ConfigurationError

PREFIX = "SEIC_"
PROFILE = f"{PREFIX}PROFILE"
#: The settings that can also be read from a file, which the same name with `_file` names.
SECRETS = ("client_secret", "password", "certificate_password")
PATHS_OR_PEM = ("certificate", "certificate_key", "ca")
PATHS = tuple(f"{secret}_file" for secret in SECRETS)
NAMES = (
    "provider",
    "environment",
    "client_id",
    "username",
    "api_host",
    "mtls_host",
    "store",
    *PATHS_OR_PEM,
    *SECRETS,
    *PATHS,
)
#: The setting of each field that `Config` and its values validate.
SETTING_OF_FIELD = {
    "environment": "environment",
    "client_id": "client_id",
    "client_secret": "client_secret",
    "grant.username": "username",
    "grant.password": "password",
    "ca": "ca",
    "certificate": "certificate",
    "hosts": "api_host",
    "hosts.api": "api_host",
    "hosts.mtls": "mtls_host",
}
#: By argument of `Config`: the words in messages, and the settings that a user of variables or a file sets instead.
SETTINGS_OF_ARGUMENT: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "hosts": {
        "hosts=seic.Hosts(api=..., mtls=...)": ("api_host", "mtls_host"),
        "hosts=seic.Hosts(api=...)": ("api_host",),
        "hosts=seic.Hosts(mtls=...)": ("mtls_host",),
    },
    "certificate": {
        "certificate=seic.ClientCertificate.load(...)": ("certificate",),
        "certificate=...": ("certificate",),
        "key=...": ("certificate_key",),
        "password=...": ("certificate_password",),
        "common_name=...": ("username",),
    },
    "ca": {"ca=...": ("ca",)},
}
_VARIABLES = sorted((PROFILE, *(f"{PREFIX}{name.upper()}" for name in NAMES)))
#: Variables that Kubernetes sets in each pod for a service named seic, or seic-something.
_KUBERNETES_VARIABLE = re.compile(r"SEIC_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_\w+)?)")
#: Names that a user tries who needs another grant than `client_credentials`.
_GRANT_NAME = re.compile(r"grant|token|code|saml|assertion", re.IGNORECASE)
_PASS_GRANT = (
    "variables and files configure client_credentials only; pass another grant in code, such as "
    "grant=seic.RefreshToken(refresh_token=...)"
)
_PROXY = "set HTTPS_PROXY (or ALL_PROXY) and NO_PROXY, or pass proxy=... in code"
#: Settings without a name here, and what sets them.
_ELSEWHERE = {
    **dict.fromkeys(("proxy", "https_proxy", "http_proxy", "all_proxy", "no_proxy"), _PROXY),
    **{
        name: f"pass {name}=... in code, for example to seic.Config.from_env()"
        for name in (
            "advisory_refresh",
            "dpop",
            "local_address",
            "mandatory_refresh",
            "probe_rotation",
            "strict_common_name",
            "token_timeout",
            "trust_env",
        )
    },
    **{
        name: f"pass grant=seic.ClientCredentials({name}=...) in code"
        for name in ("audience", "end_other_sessions", "resource", "scope")
    },
    "client_auth": "pass provider=seic.Provider(client_authentication=...) in code",
    "issuer": "pass provider=await seic.discover(issuer) in code",
    "timeout": "pass timeout=... in code, for example to seic.AsyncClient.from_env()",
    "token_url": "pass provider=seic.Provider(token_url=...) in code",
}


def hint_for_unknown(setting: str) -> str | None:
    """Return what sets a setting that has no name here; None if that is not known."""
    return _ELSEWHERE.get(setting.lower()) or (_PASS_GRANT if _GRANT_NAME.search(setting) else None)


def with_setting_names(text: str, names: Mapping[str, str]) -> str:
    """Return a hint in the words of the user's own configuration.

    Args:
        text: The hint, which names arguments, such as `pass ca=...`.
        names: The variable or key of each argument.
    """
    for argument, name in names.items():
        text = text.replace(argument, name)
    return text


def refuse_unknown(environ: Mapping[str, str]) -> None:
    """Raise for unknown `SEIC_*` variables: a misspelt certificate would select another host without an error."""
    for name in sorted(environ):
        upper = name.upper()
        if not upper.startswith(PREFIX) or name in _VARIABLES or not environ[name]:
            continue
        if _KUBERNETES_VARIABLE.fullmatch(upper):
            continue
        hint = hint_for_unknown(upper.removeprefix(PREFIX))
        if hint is None:
            # A certificate, key or CA variable takes the path itself, without _FILE.
            bare = upper.removesuffix("_FILE")
            near = [bare] if bare in _VARIABLES else difflib.get_close_matches(upper, _VARIABLES, n=1, cutoff=0.7)
            hint = f"did you mean {near[0]}?" if near else f"known variables: {', '.join(_VARIABLES)}"
        raise ConfigurationError(f"{name}: unknown variable; {hint}", field=name)

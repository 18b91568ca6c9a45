"""The names of settings, as variables and as keys of a profile, and hints for names that do not exist."""

from __future__ import annotations

import re
from collections.abc import Mapping

from seic._errors import ConfigurationError
from seic._setting_fields import SETTINGS, Kind

PREFIX = "SEIC_"
PROFILE = f"{PREFIX}PROFILE"
#: The settings by name, without the further names of secrets.
SETTING_BY_NAME = {setting.name: setting for setting in SETTINGS}


def _of_kind(kind: Kind) -> tuple[str, ...]:
    return tuple(setting.name for setting in SETTINGS if setting.kind is kind)


def _field_of(keyword: str) -> str:
    """Return the field of an argument in errors: `grant.scope` of `grant=ClientCredentials(scope=...)`."""
    return ".".join(re.findall(r"(\w+)=", keyword)) or keyword


#: The settings that can also be read from a file or a program, which `_file` and `_command` after the name tell.
SECRETS = _of_kind(Kind.SECRET)
PATHS_OR_PEM = _of_kind(Kind.PATH_OR_PEM)
PATHS = tuple(f"{secret}_file" for secret in SECRETS)
COMMANDS = tuple(f"{secret}_command" for secret in SECRETS)
NAMES = frozenset({*SETTING_BY_NAME, *PATHS, *COMMANDS})
#: The setting of each field that `Config` and its values validate.
SETTING_OF_FIELD = {
    field: setting.name for setting in SETTINGS for field in (_field_of(setting.keyword), *setting.fields)
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
    "provider": {
        "client_authentication=...": ("client_auth",),
        "seic.Provider(token_url=...)": ("token_url",),
    },
}
_VARIABLES = sorted((PROFILE, *(f"{PREFIX}{name.upper()}" for name in NAMES)))
#: The variables in messages: that each secret can be in a file is said once.
_KNOWN = ", ".join(name for name in _VARIABLES if name.removeprefix(PREFIX).lower() not in PATHS + COMMANDS)
#: Variables that Kubernetes sets in each pod for a service named seic, or seic-something.
_KUBERNETES_VARIABLE = r"SEIC_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_\w+)?)"
#: Names that a user tries for a grant that no variable configures.
_GRANT_NAME = r"(?i)code|session|device"
_PASS_GRANT = "pass this grant in code, such as grant=seic.AuthorizationCode(code=...)"
#: Settings without a name here, and what sets them.
_ELSEWHERE = {
    **dict.fromkeys(
        ("https_proxy", "http_proxy", "all_proxy", "no_proxy"),
        f"set {PREFIX}PROXY, or HTTPS_PROXY (or ALL_PROXY) and NO_PROXY",
    ),
    "authorize_url": "logins need code: pass provider=seic.Provider(authorize_url=...)",
    "dpop": "pass dpop=seic.DPoP(...) in code, for example to seic.Config.from_env()",
    "end_other_sessions": "pass grant=seic.ClientCredentials(end_other_sessions=...) in code",
    "timeout": f"set {PREFIX}TOKEN_TIMEOUT for tokens; for calls pass timeout=... in code, for example to "
    "seic.AsyncClient.from_env()",
}


def forms_of(setting: str) -> tuple[str, ...]:
    """Return the names of a setting: a secret has three."""
    return (setting, f"{setting}_file", f"{setting}_command") if setting in SECRETS else (setting,)


def hint_for_unknown(setting: str) -> str | None:
    """Return what sets a setting that has no name here; None if that is not known."""
    return _ELSEWHERE.get(setting.lower()) or (_PASS_GRANT if re.search(_GRANT_NAME, setting) else None)


def refuse_unknown(environ: Mapping[str, str]) -> None:
    """Raise for unknown `SEIC_*` variables: a misspelt certificate would select another host without an error."""
    unknown = {name: _hint_for(name.upper()) for name in sorted(environ) if environ[name] and _is_unknown(name)}
    if not unknown:
        return
    # The list of all is long, and is said once.
    problems = [f"{name}: unknown variable" + (f"; {hint}" if hint else "") for name, hint in unknown.items()]
    if not all(unknown.values()):
        problems.append(f"known variables: {_KNOWN}; secrets also with _FILE or _COMMAND")
    raise ConfigurationError("; ".join(problems), field=next(iter(unknown)))


def _is_unknown(name: str) -> bool:
    upper = name.upper()
    return upper.startswith(PREFIX) and name not in _VARIABLES and not re.fullmatch(_KUBERNETES_VARIABLE, upper)


def _hint_for(name: str) -> str | None:
    """Return what to set in place of an unknown variable; None if that is not known."""
    hint = hint_for_unknown(name.removeprefix(PREFIX))
    if hint is None:
        # A certificate, key or CA variable takes the path itself, without _FILE.
        import difflib

        bare = name.removesuffix("_FILE")
        near = [bare] if bare in _VARIABLES else difflib.get_close_matches(name, _VARIABLES, n=1, cutoff=0.7)
        hint = f"did you mean {near[0]}?" if near else None
    return hint

"""Grants from settings: the settings that each grant needs and takes, and the grant that they make."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from seic._errors import ConfigurationError
from seic._model.extension_grants import JwtBearer, SamlBearer, TokenExchange
from seic._model.grant_parameters import Grant
from seic._model.grants import SAML2_BEARER, ClientCredentials, RefreshToken
from seic._model.login_grants import Password, Saml2Bearer
from seic._setting_names import hint_for_unknown
from seic._setting_values import SettingReader

_Make = Callable[..., Grant]

_CLASSES: Mapping[str, _Make] = {
    "client_credentials": ClientCredentials,
    "password": Password,
    "refresh_token": RefreshToken,
    "jwt-bearer": JwtBearer,
    "saml2-bearer": SamlBearer,
    "token-exchange": TokenExchange,
}
#: The words for each grant: its own, and its registered URN.
GRANTS: Mapping[str, str] = {
    **{name: name for name in _CLASSES},
    **{kind.grant_type: kind.grant_type.rpartition(":")[2] for kind in (JwtBearer, SamlBearer, TokenExchange)},
    SAML2_BEARER: "saml2-bearer",
}
#: The settings that each grant needs, in words.
NEEDS: Mapping[str, Mapping[str, str]] = {
    "password": {"username": "a username", "password": "its password"},
    "refresh_token": {"refresh_token": "a refresh token"},
    "jwt-bearer": {"assertion": "a signed JWT"},
    "saml2-bearer": {"assertion": "a SAML assertion"},
    "token-exchange": {"subject_token": "the token to exchange"},
}
_SECRETS = ("password", "refresh_token", "assertion", "subject_token", "actor_token")
#: The settings that each grant takes.
_TAKES: Mapping[str, tuple[str, ...]] = {
    "client_credentials": ("username", "password"),
    "password": ("username", "password"),
    "refresh_token": ("refresh_token", "subject"),
    "jwt-bearer": ("assertion", "subject"),
    "saml2-bearer": ("assertion", "subject"),
    "token-exchange": (
        "subject_token",
        "subject_token_type",
        "actor_token",
        "actor_token_type",
        "requested_token_type",
        "subject",
    ),
}


class GrantReader:
    """Makes the grant of settings.

    Args:
        settings: The settings.
        provider: The provider, whose SAML grant may be its own; anything else is refused by `Config`.
    """

    def __init__(self, settings: SettingReader, provider: object) -> None:
        self._settings = settings
        if (word := settings.text("grant")) and word not in GRANTS and (hint := hint_for_unknown(word)):
            name = settings.name_of("grant")
            raise ConfigurationError(f"{name}: needs a user and has no settings; {hint}", field=name)
        #: The grant's own word.
        self.name = settings.one_of(GRANTS, "grant") or "client_credentials"
        grants = getattr(provider, "grants", None) or ()
        self._is_sei_saml = self.name == "saml2-bearer" and SAML2_BEARER in grants

    def read(self) -> Grant:
        """Return the grant.

        Raises:
            ConfigurationError: A setting belongs to another grant.
        """
        settings, takes = self._settings, _TAKES[self.name]
        for setting in dict.fromkeys(name for names in _TAKES.values() for name in names):
            if setting not in takes and settings.has(setting):
                self._refuse(setting)
        arguments: dict[str, Any] = {
            name: settings.secret(name) if name in _SECRETS else settings.text(name) for name in takes
        }
        if settings.has("actor_token_type"):
            settings.require_with("actor_token_type", "actor_token")
        resources = settings.words("resource")
        arguments |= {
            "scope": " ".join(settings.words("scope")) or None,
            "audience": settings.text("audience"),
            "resource": resources[0] if len(resources) == 1 else resources or None,
        }
        if self._is_sei_saml:
            arguments["saml_assertion"] = arguments.pop("assertion")
        make = Saml2Bearer if self._is_sei_saml else _CLASSES[self.name]
        return make(**{name: value for name, value in arguments.items() if value is not None})

    def credentials(self) -> list[str]:
        """Return the variables or keys of the account and the secrets that are set."""
        settings = self._settings
        return [settings.name_of(name) for name in ("username", *_SECRETS) if settings.has(name)]

    def _refuse(self, setting: str) -> None:
        settings = self._settings
        name = settings.name_of(setting)
        others = [grant for grant, takes in _TAKES.items() if setting in takes]
        raise ConfigurationError(
            f"{name}: unused by the grant {self.name}; set {settings.name_of('grant')} to {' or '.join(others)}, or "
            "remove it",
            field=name,
        )

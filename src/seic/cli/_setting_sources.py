"""Settings with their sources, as they may be shown: secrets are masked."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from seic._model.secret import HIDDEN, Unpicklable
from seic._setting_fields import SETTINGS
from seic._setting_names import COMMANDS, PATHS_OR_PEM, PREFIX, SECRETS, SETTING_BY_NAME
from seic._settings import read_values


@attrs.frozen
class SettingSource(Unpicklable):
    """A setting that is set, and the variable or key that sets it.

    Args:
        name: The name of the setting.
        text: Its value.
        source: The variable, or the profile and its key.
    """

    name: str
    text: str = attrs.field(repr=False)
    source: str

    @property
    def is_secret(self) -> bool:
        """Whether the value must not be shown."""
        return self.name in SECRETS + COMMANDS or (self.name in PATHS_OR_PEM and "-----BEGIN" in self.text)

    @property
    def shown(self) -> str:
        """The value, or a mask."""
        if self.name == "proxy":
            from seic._network.proxies import show_proxy

            return show_proxy(self.text).strip("'")
        # A URL of Redis may have a password.
        is_hidden = self.is_secret or (self.name == "store" and ("@" in self.text or "?" in self.text))
        return HIDDEN if is_hidden else self.text


def list_settings(environ: Mapping[str, str]) -> list[SettingSource]:
    """Return the settings that are set, in the library's order; variables take precedence over the profile.

    Raises:
        ConfigurationError: A variable is unknown, or the profile cannot be read.
    """
    values = read_values(environ)
    order = {setting.name: number for number, setting in enumerate(SETTINGS)}
    names = sorted(values, key=lambda name: (order.get(_without_suffix(name), 0), name))
    return [SettingSource(name, values[name].text, _source(values[name].name)) for name in names]


def _without_suffix(name: str) -> str:
    return name if name in SETTING_BY_NAME else name.rpartition("_")[0]


def _source(name: str) -> str:
    return name if name.startswith(PREFIX) else f"profile {name.partition('.')[0]}"

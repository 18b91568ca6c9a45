"""`TokenParameters`: the scope, audience and resource of the token of one request, from its extensions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import attrs

from seic._errors import ConfigurationError
from seic._model.grant_parameters import GrantParameters
from seic._setting_errors import SettingNames

#: The prefix of the extensions below.
_PREFIX = "seic."
#: The parameters of a request that needs a token of its own; each is an extension after the prefix.
_NAMES = ("scope", "audience", "resource")
#: The extensions of most requests, which need no further look: those of httpcore, and seic's own (`_httpx`, `_pool`).
USUAL_EXTENSIONS = frozenset({
    "timeout", "trace", "sni_hostname", "target", "seic.reattach", "seic.reattached", "seic.proofs", "seic.repeats",
})  # fmt: skip
#: The names of the parameters in errors about a grant that has them.
EXTENSION_NAMES = SettingNames({f"grant.{name}": f"{_PREFIX}{name}" for name in _NAMES})
#: All that a request may have; `rate_limit_timeout` is read by the transport (`_api/rate_limit_transport`).
_ALLOWED = [f"{_PREFIX}{name}" for name in (*_NAMES, "rate_limit_timeout")]
_KNOWN = USUAL_EXTENSIONS | set(_ALLOWED)


class TokenParameters(NamedTuple):
    """The parameters of a token that replace those of the grant; None leaves the grant's."""

    scope: str | None
    audience: str | None
    resource: str | tuple[str, ...] | None

    @classmethod
    def of(cls, extensions: Mapping[str, Any]) -> TokenParameters:
        """Return those of a request.

        Raises:
            ConfigurationError: One has the wrong type or is empty, or its name is unknown; its `field` is the name of
                the extension.
        """
        for name in extensions:
            if isinstance(name, str) and name.lower().startswith(_PREFIX) and name not in _KNOWN:
                raise _unknown(name)
        resource = extensions.get("seic.resource")
        if isinstance(resource, Sequence) and not isinstance(resource, str | bytes) and resource:
            resource = tuple(_text("seic.resource", each, "a string, or several") for each in resource)
        else:
            resource = _text("seic.resource", resource, "a string, or several")
        scope = _text("seic.scope", extensions.get("seic.scope"), "a string")
        return cls(scope, _text("seic.audience", extensions.get("seic.audience"), "a string"), resource)

    def apply(self, grant: object) -> GrantParameters:
        """Return a grant with these parameters.

        Raises:
            ConfigurationError: The grant has no such parameters, or cannot request a second token.
        """
        if not isinstance(grant, GrantParameters) or not grant.is_repeatable or grant.existing_token is not None:
            raise ConfigurationError(
                "grant: it can request one token only, or has no scope, audience and resource, so a request cannot "
                "have a token of its own; remove the extensions seic.scope, seic.audience and seic.resource, or use a "
                "grant such as seic.ClientCredentials",
                field="grant",
            )
        changes = {name: value for name, value in self._asdict().items() if value is not None}
        return attrs.evolve(grant, **changes)


def _unknown(name: str) -> ConfigurationError:
    import difflib

    near = difflib.get_close_matches(name.lower(), _ALLOWED, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(_ALLOWED)}"
    shown = name if name.isprintable() else f"{_PREFIX}*"
    return ConfigurationError(f"{shown}: unknown extension of a request; {hint}", field=shown)


def _text(name: str, value: object, wanted: str) -> Any:
    if value is None or (isinstance(value, str) and value):
        return value
    actual = "empty" if value in ("", [], ()) else type(value).__name__
    raise ConfigurationError(f"{name}: must be {wanted}, not {actual}", field=name)

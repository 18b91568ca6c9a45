"""Errors and hints in the words of the user's own configuration: the variables or keys in place of fields.

Each client needs this module; the table of all settings, in `_setting_names`, only a program that reads them.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping

import attrs

from seic._errors import CertificateError, ConfigurationError

#: The words in advice for the settings of a grant, of which each grant has others.
GRANT_CREDENTIALS = "the grant's credentials"
#: A field in advice, which is neither a part of a path nor an argument.
_FIELD = r"(?<![\w./\\-])[a-z]+(?:[._][a-z]+)+(?![\w(=/\\-]|\.\w)"


def with_setting_names(text: str, names: Mapping[str, str]) -> str:
    """Return a hint in the words of the user's own configuration.

    Args:
        text: The hint, which names arguments, such as `pass ca=...`.
        names: The variable or key of each argument.
    """
    for argument, name in names.items():
        text = text.replace(argument, name)
    return text


@attrs.frozen
class SettingNames:
    """The variables or keys that the values of a configuration came from; empty for values from code.

    Attributes:
        fields: By the field that errors name, and for `GRANT_CREDENTIALS` all those of the grant that are set.
        arguments: By the argument that hints name, such as `ca=...`.
    """

    fields: Mapping[str, str] = attrs.field(factory=dict)
    arguments: Mapping[str, str] = attrs.field(factory=dict)

    def in_advice(self, text: str) -> str:
        """Return advice that names fields, such as `grant.scope`, in the words of the user's own configuration."""
        text = text.replace(GRANT_CREDENTIALS, self.fields.get(GRANT_CREDENTIALS, GRANT_CREDENTIALS))
        return re.sub(_FIELD, lambda found: self.fields.get(found[0], found[0]), text)

    def of_error(self, error: CertificateError | ConfigurationError) -> CertificateError | ConfigurationError:
        """Return the error with the variable or key in place of the field; the same one if its field has none."""
        field = error.field or ""
        if (name := self.fields.get(field)) is None:
            return error
        renamed = error.fresh()
        renamed.field = name
        text = with_setting_names(error.message.removeprefix(field), self.arguments)
        renamed.message = f"{name}{self.in_advice(text)}"
        renamed.args = (renamed.message,)
        return renamed

    @contextlib.contextmanager
    def rename_errors(self) -> Iterator[None]:
        """Replace fields and arguments in errors of the block by the variables or keys that the user set."""
        try:
            yield
        except (CertificateError, ConfigurationError) as error:
            renamed = self.of_error(error)
            if renamed is error:
                raise
        else:
            return
        # Outside of the handler: the context of the first error holds what it was about.
        raise renamed from renamed.__cause__

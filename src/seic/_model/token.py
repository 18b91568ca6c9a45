"""`Token`: an access token and what the provider said about it."""

from __future__ import annotations

import datetime as dt
import hashlib
import math
from collections.abc import Mapping
from typing import Any

import attrs

from seic._errors import ConfigurationError
from seic._model.secret import Unpicklable, hide, strip_frames
from seic._public import publish
from seic._values import frozen

_FIRST, _LAST = dt.datetime.min.replace(tzinfo=dt.UTC), dt.datetime.max.replace(tzinfo=dt.UTC)
_NUMBERS = ("expires_in", "obtained_at", "refresh_expires_in")


def _fingerprint(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()[:8]


@frozen(kw_only=True)
class Token(Unpicklable):
    """An access token and what the provider said about it (RFC 6749 §5.1).

    Its repr shows `fingerprint` and times, never the token; it cannot be pickled. `to_dict` is for stores.

    Args:
        access_token: The token.
        token_type: As the provider wrote it (`Bearer`, the gateway's `BearerToken`); it is used as `Bearer` either way.
        expires_in: Lifetime in seconds, counted from `obtained_at`; None if the provider did not say.
        obtained_at: Seconds since the epoch by this machine's clock, just before the token was requested.
        scope: As the provider wrote it; empty if it named none.
        issued_at: The provider's own time of issue; for information, never for expiry (clocks differ).
        refresh_token: The refresh token, if there is one.
        refresh_expires_in: Lifetime of the refresh token in seconds, counted from `obtained_at`.
        tracking_id: The provider's id of the token request.
        login_id: A digest of the code or refresh token that its login started with, which tells a stored token from
            that of another login; None if the grant carries neither.
        extra: Every other member of the reply, unchanged.
    """

    access_token: str = attrs.field(repr=lambda secret: f"<sha256 {_fingerprint(secret)}>")
    token_type: str = "Bearer"
    expires_in: float | None = None
    obtained_at: float = 0.0
    scope: str = ""
    issued_at: dt.datetime | None = None
    refresh_token: str | None = attrs.field(default=None, repr=hide)
    refresh_expires_in: float | None = None
    tracking_id: str | None = None
    login_id: str | None = attrs.field(default=None, repr=False, eq=False)
    extra: Mapping[str, object] = attrs.field(factory=dict, repr=False, eq=False)

    @property
    def fingerprint(self) -> str:
        """Eight hex digits that tell tokens apart in a log and reveal nothing of them."""
        return _fingerprint(self.access_token)

    @property
    def expires_at(self) -> dt.datetime | None:
        """Expiry of the access token, in UTC by this machine's clock; None if the provider did not say."""
        if self.expires_in is None:
            return None
        return _end(self.obtained_at, self.expires_in)

    @property
    def ends_at(self) -> dt.datetime | None:
        """Expiry of access token and refresh token, in UTC by this machine's clock; None if the provider did not say.

        A store may delete the token after it.
        """
        lives = [self.expires_in] if self.refresh_token is None else [self.expires_in, self.refresh_expires_in]
        known = [life for life in lives if life is not None]
        if len(known) < len(lives):
            return None
        return _end(self.obtained_at, max(known))

    def to_dict(self) -> dict[str, Any]:
        """Return every field in a form that `json.dumps` takes, secrets included: encrypt it before you store it."""
        fields = {field.name: getattr(self, field.name) for field in attrs.fields(Token)}
        return {
            **fields,
            "issued_at": None if self.issued_at is None else self.issued_at.isoformat(),
            "extra": dict(self.extra),
        }

    @classmethod
    @strip_frames
    def from_dict(cls, fields: Mapping[str, Any]) -> Token:
        """Return the token that `to_dict` wrote.

        Args:
            fields: The fields. Unknown ones are ignored, and missing ones have their defaults, so that versions of
                seic can share a store.

        Raises:
            ConfigurationError: A field is missing or of the wrong type. `field` names it; the message never has its
                value.
        """
        if not isinstance(fields, Mapping):
            raise _invalid("token", "an object", fields)
        names = [field.name for field in attrs.fields(cls) if field.name in fields or field.name == "access_token"]
        known = {name: _read_field(name, fields.get(name)) for name in names}
        return cls(**known)


def _read_field(name: str, value: Any) -> Any:
    if value is None and attrs.fields_dict(Token)[name].default is None:
        return None
    if name == "extra":
        is_valid, wanted = isinstance(value, Mapping), "an object"
    elif name in _NUMBERS:
        is_valid, wanted = is_number(value), "a finite number of seconds"
    elif name == "access_token":
        is_valid, wanted = isinstance(value, str) and value != "", "a non-empty string"
    else:
        is_valid, wanted = isinstance(value, str), "a string"
    if not is_valid:
        raise _invalid(name, wanted, value)
    if isinstance(value, str) and not is_text(value):
        raise ConfigurationError(f"{name}: must be valid Unicode, without surrogates", field=name)
    if name == "issued_at":
        try:
            return dt.datetime.fromisoformat(str(value))
        except ValueError:
            raise ConfigurationError("issued_at: must be a time in ISO 8601", field=name) from None
    return value


def _end(start: float, seconds: float) -> dt.datetime:
    try:
        return dt.datetime.fromtimestamp(start + seconds, dt.UTC)
    except (OverflowError, ValueError, OSError):  # beyond the calendar: a store can hold any number
        return _LAST if seconds > -start else _FIRST


def is_number(value: object) -> bool:
    """Tell whether a value that anyone may have written is a number that fits a finite float."""
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        return False


def is_text(value: object) -> bool:
    """Tell whether a value that anyone may have written is a string that can be encoded: it has no surrogates."""
    return isinstance(value, str) and not any("\ud800" <= character <= "\udfff" for character in value)


def _invalid(field: str, wanted: str, value: object) -> ConfigurationError:
    actual = "an empty string" if value == "" else type(value).__name__
    return ConfigurationError(f"{field}: must be {wanted}, not {actual}", field=field)


publish("seic", ["Token"], globals())

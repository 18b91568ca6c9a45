"""`RefusedCredentials`: the memory of a refusal that processes share, so that a fleet does not lock an account.

It is an entry of the store, next to that of the token, with the refusal in a token's fields. The entry's key includes
the refused secrets, so that another secret is tried at once. Only an encrypted store can keep such a key secret.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from seic._errors import SeicError, TokenRequestRefused
from seic._model.token import Token
from seic._tokens.backoff import failure_backoff
from seic._tokens.clock import Clock
from seic._tokens.store_guard import StoreGuard

_NAME = "refused"
#: The time for which the number of refusals in a row is remembered after a pause, in seconds.
_REMEMBERED = 3600.0


@attrs.frozen(kw_only=True, eq=False)
class RefusedCredentials:
    """Remembers a refusal for all processes that share a store."""

    guard: StoreGuard | None
    clock: Clock
    host: str

    async def check(self, key: str, digest: str = "") -> None:
        """Raise the refusal of the configured credentials that another process met a moment ago.

        Args:
            key: The store's key of the token.
            digest: That of the secrets, if they are not constant: `SentSecrets.digest`.

        Raises:
            TokenRequestRefused: They were refused, and the pause has not passed.
        """
        if (entry := await self._load(key, digest)) is None or self.clock.wall() >= _number(entry, "until"):
            return
        told = {name: entry.extra.get(name) for name in ("status", "code", "description")}
        status, code, description = told.values()
        raise TokenRequestRefused(
            f"{self.host}: the credentials were refused a moment ago, in another process or client"
            + (f": {code}" if isinstance(code, str) else ""),
            status=status if isinstance(status, int) else None,
            code=code if isinstance(code, str) else None,
            description=description if isinstance(description, str) else None,
        )

    async def note(self, key: str, error: SeicError, digest: str, *, is_own: bool) -> None:
        """Remember a refusal of the configured credentials; each one in a row for longer."""
        if not is_own or not isinstance(error, TokenRequestRefused):
            return
        if (name := self._key(key, digest)) is None or self.guard is None:
            return
        entry = await self._load(key, digest)
        times = 1 if entry is None else round(min(_number(entry, "times"), 99.0)) + 1
        now = self.clock.wall()
        pause = failure_backoff(error, failures=times, ahead=False, chance=0.0).expired
        extra: dict[str, object] = {"until": now + pause, "times": times, "status": error.status}
        extra |= {"code": error.code, "description": error.description}
        fields = {"access_token": _NAME, "expires_in": pause + _REMEMBERED, "obtained_at": now, "extra": extra}
        await self.guard.note(name, Token.from_dict(fields))

    async def _load(self, key: str, digest: str) -> Token | None:
        if (name := self._key(key, digest)) is None or self.guard is None:
            return None
        return await self.guard.recall(name)

    def _key(self, key: str, digest: str) -> str | None:
        """Return the key of the refusal; None if it would not include all secrets, or not keep them."""
        if self.guard is None or not self.guard.keeps_keys_secret:
            return None
        name = "entry" if digest else "derive"
        derive: Callable[[str], str | None] | None = getattr(key, name, None)
        return None if derive is None else derive(f"{_NAME} {digest}" if digest else _NAME)


def _number(entry: Token, name: str) -> float:
    value = entry.extra.get(name)
    return float(value) if isinstance(value, int | float) else 0.0

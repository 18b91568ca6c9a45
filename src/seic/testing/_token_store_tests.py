"""`TokenStoreTests`: the tests that a store has to pass that processes share."""

from __future__ import annotations

import secrets
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from seic._model.token import Token
from seic._tokens.store import ClaimingStore

#: Seconds of a claim that a test lets expire.
_SHORT = 0.2
_LONG = 60.0
#: The longest wait for a claim to end, in seconds.
_PATIENCE = 10.0


class TokenStoreTests:
    """Tests of a store with claims (`seic.ClaimingStore`); pytest runs them in a subclass.

    ```python
    class TestPostgresStore(TokenStoreTests):
        def store(self):
            return PostgresStore(dsn)
    ```
    """

    def store(self) -> ClaimingStore:
        """Return a store as another process would create it: a new object for each call, with the same tokens."""
        raise NotImplementedError

    def test_a_token_is_loaded_with_all_its_fields(self) -> None:
        """Without `login_id` and `refresh_token`, a session ends at its first refresh."""
        key, token = _key(), _token("a", refresh_token="r", refresh_expires_in=7200.0, login_id="l", extra={"x": [1]})
        self.store().save(key, token)

        loaded = self.store().load(key)
        assert loaded is not None
        assert loaded.to_dict() == token.to_dict()

    def test_a_missing_token_is_none(self) -> None:
        """Neither load nor delete raises."""
        key, store = _key(), self.store()
        store.delete(key)

        assert store.load(key) is None

    def test_a_token_replaces_an_older_one(self) -> None:
        """The last save counts."""
        key = _key()
        self.store().save(key, _token("a"))
        self.store().save(key, _token("b"))

        assert _name(self.store(), key) == "b"

    def test_keys_have_tokens_of_their_own(self) -> None:
        """Keys of one client id have the same first digits."""
        key = _key()
        other = key[:16] + _key()[16:]
        store = self.store()
        store.save(key, _token("a"))
        store.save(other, _token("b"))
        store.delete(key)

        assert (store.load(key), _name(store, other)) == (None, "b")

    def test_a_deleted_token_is_gone_for_all(self) -> None:
        """A logout in one process counts in every process."""
        key = _key()
        store = self.store()
        store.save(key, _token("a"))
        self.store().delete(key)

        assert store.load(key) is None

    def test_one_process_has_the_claim(self) -> None:
        """Of many that claim a key at the same moment, one gets it, and no one waits."""
        key, stores = _key(), [self.store() for _ in range(8)]
        gate = threading.Barrier(len(stores))

        def claim(store: ClaimingStore) -> bool:
            gate.wait(_PATIENCE)
            return store.claim(key, _LONG)

        with ThreadPoolExecutor(len(stores)) as threads:
            assert sorted(threads.map(claim, stores)) == [False] * 7 + [True]

    def test_a_claim_ends_with_its_release(self) -> None:
        """The next process then claims the key."""
        key, one, other = _key(), self.store(), self.store()
        assert one.claim(key, _LONG)
        one.release(key)

        assert other.claim(key, _LONG)

    def test_a_claim_ends_with_its_time(self) -> None:
        """Its process may have been killed."""
        key, one, other = _key(), self.store(), self.store()
        assert one.claim(key, _SHORT)

        _claim_at_last(other, key)

    def test_a_claim_does_not_end_before_its_time(self) -> None:
        """Else a second process sends the same refresh token during a slow request."""
        key, short, one, other = _key(), _key(), self.store(), self.store()
        assert one.claim(key, _LONG)
        assert one.claim(short, _SHORT)
        _claim_at_last(other, short)

        assert not other.claim(key, _LONG)

    def test_claims_of_other_keys_are_independent(self) -> None:
        """A claim is of one token."""
        one, other = self.store(), self.store()

        assert one.claim(_key(), _LONG)
        assert other.claim(_key(), _LONG)

    def test_another_process_releases_no_claim(self) -> None:
        """A process whose claim has expired must not end that of its successor."""
        key, one, other = _key(), self.store(), self.store()
        assert one.claim(key, _SHORT)
        _claim_at_last(other, key)
        one.release(key)

        assert not self.store().claim(key, _LONG)

    def test_the_holder_of_a_claim_saves(self) -> None:
        """Before and after others."""
        key, one, other = _key(), self.store(), self.store()
        for store, name in [(one, "a"), (other, "b"), (one, "c")]:
            assert store.claim(key, _LONG)
            store.save(key, _token(name))
            store.release(key)

        assert _name(self.store(), key) == "c"

    def test_an_outdated_process_overwrites_no_newer_token(self) -> None:
        """It was frozen during its request, and another claimed the key and saved a token."""
        key, frozen, other = _key(), self.store(), self.store()
        assert frozen.claim(key, _SHORT)
        _claim_at_last(other, key)
        other.save(key, _token("new"))
        other.release(key)
        frozen.save(key, _token("outdated"))
        frozen.release(key)

        assert _name(self.store(), key) == "new"

    def test_an_outdated_process_restores_no_deleted_token(self) -> None:
        """Else a logout, or the eviction of a disclosed client, would not be final."""
        key, refreshing = _key(), self.store()
        refreshing.save(key, _token("old"))
        assert refreshing.claim(key, _LONG)
        self.store().delete(key)
        refreshing.save(key, _token("outdated"))
        refreshing.release(key)

        assert self.store().load(key) is None

    def test_a_token_is_saved_without_a_claim(self) -> None:
        """The store may have been down when the key was to be claimed; or it is the token of a new login."""
        key, one, other = _key(), self.store(), self.store()
        assert one.claim(key, _LONG)
        one.save(key, _token("a"))
        one.release(key)
        one.delete(key)
        other.save(key, _token("b"))
        one.save(key, _token("c"))

        assert _name(other, key) == "c"


def _key() -> str:
    return secrets.token_hex(32)


def _token(name: str, **fields: object) -> Token:
    return Token.from_dict({"access_token": name, "expires_in": 3600.0, "obtained_at": time.time(), **fields})


def _name(store: ClaimingStore, key: str) -> str | None:
    token = store.load(key)
    return None if token is None else token.access_token


def _claim_at_last(store: ClaimingStore, key: str) -> None:
    """Claim a key once another claim has expired."""
    ends = time.monotonic() + _PATIENCE
    while not store.claim(key, _LONG):
        assert time.monotonic() < ends, "a claim did not end after its time"
        time.sleep(_SHORT / 10)

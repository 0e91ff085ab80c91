"""A store behaves as a ``dict`` of bytes does."""

from __future__ import annotations

import collections.abc
import copy
import pickle
import weakref
from types import MappingProxyType
from typing import Any

import kvstore
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule


def test_basic_protocol(store: kvstore.Store) -> None:
    store[b"a"] = b"1"
    store[b"b"] = b""
    store[b""] = b"empty key"
    assert store[b"a"] == b"1"
    assert store[b"b"] == b""
    assert store[b""] == b"empty key"
    assert len(store) == 3
    assert b"a" in store and b"c" not in store
    del store[b"a"]
    assert b"a" not in store
    assert list(store) == [b"", b"b"]


def test_is_a_mutable_mapping(store: kvstore.Store) -> None:
    assert isinstance(store, collections.abc.MutableMapping)
    assert isinstance(store.keys(), collections.abc.KeysView)
    assert isinstance(store.values(), collections.abc.ValuesView)
    assert isinstance(store.items(), collections.abc.ItemsView)
    for name in dir(collections.abc.MutableMapping):
        if not name.startswith("_") or name in {"__contains__", "__eq__", "__ne__", "__iter__"}:
            assert hasattr(store, name), name


def test_is_no_sequence(store: kvstore.Store) -> None:
    assert not isinstance(store, collections.abc.Sequence)
    with pytest.raises(TypeError):
        store + store  # type: ignore[operator]


def test_matches_mapping_patterns(store: kvstore.Store) -> None:
    store[b"kind"] = b"user"
    match store:
        case {b"kind": kind}:
            assert kind == b"user"
        case _:
            pytest.fail("no match")


def test_truth_is_having_entries(store: kvstore.Store) -> None:
    assert not store
    store[b"a"] = b"1"
    assert store


@pytest.mark.parametrize("missing", [b"missing", bytearray(b"missing"), b""])
def test_missing_key_is_a_key_error_with_the_key_itself(
    store: kvstore.Store, missing: bytes
) -> None:
    for lookup in (
        lambda: store[missing],
        lambda: store.__delitem__(missing),
        lambda: store.pop(missing),
    ):
        with pytest.raises(KeyError) as caught:
            lookup()
        assert len(caught.value.args) == 1
        assert caught.value.args[0] is missing


def test_get(store: kvstore.Store) -> None:
    store[b"a"] = b"1"
    fallback = object()
    assert store.get(b"a") == b"1"
    assert store.get(b"a", fallback) == b"1"
    assert store.get(b"b") is None
    assert store.get(b"b", fallback) is fallback
    with pytest.raises(TypeError):
        store.get(key=b"a")  # type: ignore[call-overload]


def test_set_and_delete(store: kvstore.Store) -> None:
    for durability in (None, "sync", "os"):
        assert store.set(b"a", b"1", durability=durability) is None  # type: ignore[func-returns-value]
        assert store[b"a"] == b"1"
        assert store.delete(b"a", durability=durability) is True
        assert store.delete(b"a", durability=durability) is False


def test_pop(store: kvstore.Store) -> None:
    store[b"a"] = b"1"
    assert store.pop(b"a", None) == b"1"
    assert store.pop(b"a", None) is None
    assert store.pop(b"a", default=b"2") == b"2"
    assert len(store) == 0


def test_popitem_takes_keys_in_order(store: kvstore.Store) -> None:
    store.update({b"b": b"2", b"a": b"1"})
    assert store.popitem() == (b"a", b"1")
    assert store.popitem() == (b"b", b"2")
    with pytest.raises(KeyError, match="empty"):
        store.popitem()


def test_setdefault(store: kvstore.Store) -> None:
    assert store.setdefault(b"a", b"1") == b"1"
    assert store.setdefault(b"a", b"2") == b"1"
    assert store.setdefault(b"b", bytearray(b"3")) == b"3"
    assert store == {b"a": b"1", b"b": b"3"}


def test_update_takes_what_mutable_mapping_takes(store: kvstore.Store) -> None:
    class OnlyKeys:
        def keys(self) -> list[bytes]:
            return [b"k"]

        def __getitem__(self, key: bytes) -> bytes:
            return key * 2

    store.update()
    store.update({b"dict": b"1"})
    store.update(MappingProxyType({b"proxy": b"2"}))
    store.update([(b"tuple", b"3"), [b"list", b"4"]])  # type: ignore[list-item]
    store.update((bytes([i]), b"5") for i in range(2))
    store.update(OnlyKeys())
    store.update(store)
    expected = {
        b"dict": b"1",
        b"proxy": b"2",
        b"tuple": b"3",
        b"list": b"4",
        b"\x00": b"5",
        b"\x01": b"5",
        b"k": b"kk",
    }
    assert store == expected


def test_update_keeps_the_pairs_before_a_wrong_one(store: kvstore.Store) -> None:
    with pytest.raises(TypeError, match=r"value\.encode\(\)"):
        store.update([(b"a", b"1"), (b"b", "2")])  # type: ignore[list-item]
    assert store == {b"a": b"1"}
    with pytest.raises(ValueError, match="element 0 has 3 items"):
        store.update([(b"a", b"b", b"c")])  # type: ignore[list-item]
    with pytest.raises(TypeError):
        store.update([1])  # type: ignore[list-item]
    with pytest.raises(TypeError):
        store.update(None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"key\.encode\(\)"):
        store.update(a=b"1")  # type: ignore[arg-type]
    assert store == {b"a": b"1"}


def test_clear(store: kvstore.Store) -> None:
    store.update({bytes([i]): b"x" for i in range(100)})
    store.clear()
    assert len(store) == 0 and list(store) == []
    store.clear()


def test_get_many(store: kvstore.Store) -> None:
    store.update({b"%d" % i: b"v%d" % i for i in range(1000)})
    keys = [b"%d" % i for i in range(-1, 1001)]
    fallback = object()
    expected: list[Any] = [fallback, *(b"v%d" % i for i in range(1000)), fallback]
    assert store.get_many(keys, fallback) == expected
    assert store.get_many(keys)[0] is None
    assert store.get_many(tuple(keys), fallback) == expected
    assert store.get_many(iter(keys), fallback) == expected
    assert store.get_many(dict.fromkeys(keys), fallback) == expected
    assert store.get_many([]) == []
    assert store.get_many([bytearray(b"1"), memoryview(b"2")]) == [b"v1", b"v2"]
    for count in (127, 128, 129, 256):
        assert store.get_many(keys[1 : count + 1]) == expected[1 : count + 1]


def test_get_many_refuses_what_is_no_key(store: kvstore.Store) -> None:
    for keys in (["a"], "a", b"a", [b"a", None], 1, None):
        with pytest.raises(TypeError):
            store.get_many(keys)  # type: ignore[arg-type]


def test_delete_many(store: kvstore.Store) -> None:
    store.update({b"%d" % i: b"" for i in range(10)})
    assert store.delete_many([b"1", b"3", b"3", b"x"]) == 2
    assert store.delete_many(b"%d" % i for i in range(5)) == 3
    with pytest.raises(TypeError):
        store.delete_many([b"5", "6"])  # type: ignore[list-item]
    assert sorted(store) == [b"5", b"6", b"7", b"8", b"9"]  # nothing before the wrong key went


def test_equality_is_of_entries(store: kvstore.Store, tmp_path: Any) -> None:
    store.update({b"a": b"1", b"b": b"2"})
    assert store == store
    assert store == {b"a": b"1", b"b": b"2"}
    assert {b"a": b"1", b"b": b"2"} == store
    assert store == MappingProxyType({b"a": b"1", b"b": b"2"})
    assert store != {b"a": b"1", b"b": b"3"}
    assert store != {b"a": b"1", b"c": b"2"}
    assert store != {b"a": b"1"}
    assert store != MappingProxyType({b"a": b"1", b"c": b"2"})
    for other in (None, 1, [b"a", b"b"], "ab"):
        assert store != other and not store == other
    with kvstore.open(tmp_path / "other", durability="os") as other_store:
        assert store != other_store
        other_store.update(store)
        assert store == other_store


def test_is_not_hashable(store: kvstore.Store) -> None:
    assert not isinstance(store, collections.abc.Hashable)
    with pytest.raises(TypeError):
        hash(store)


def test_can_be_weakly_referenced(directory: str) -> None:
    store = kvstore.open(directory)
    reference = weakref.ref(store)
    assert reference() is store
    store.close()
    del store
    assert reference() is None


def test_cannot_be_made_copied_or_pickled(store: kvstore.Store) -> None:
    with pytest.raises(TypeError):
        kvstore.Store()
    for copied in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="cannot be pickled or copied"):
            copied(store)


def test_repr_and_properties(directory: str) -> None:
    with kvstore.open(directory) as store:
        assert repr(store) == f"<kvstore.Store {directory!r} open>"
        assert store.path == directory
        assert store.closed is False and store.readonly is False
    assert repr(store) == f"<kvstore.Store {directory!r} closed>"
    assert store.closed is True
    with kvstore.open(directory, "r") as store:
        assert repr(store) == f"<kvstore.Store {directory!r} open for reading>"
        assert store.readonly is True
    with pytest.raises(AttributeError):
        store.path = "elsewhere"


def test_stats_count(store: kvstore.Store) -> None:
    store.update({b"a": b"1", b"b": b"2"})
    del store[b"a"]
    stats = store.stats()
    assert stats["records"] == 1
    assert stats["writes"] == 3
    assert stats["groups"] == 3
    before = stats["syncs"]
    store.set(b"c", b"3", durability="sync")
    assert store.stats()["syncs"] > before


KEYS = st.binary(max_size=4)
VALUES = st.binary(max_size=40)


class StoreBesideDict(RuleBasedStateMachine):
    """Any sequence of calls leaves a store and a ``dict`` with the same entries."""

    keys = Bundle("keys")

    def __init__(self) -> None:
        super().__init__()
        import tempfile

        self.directory = tempfile.TemporaryDirectory()
        self.store = kvstore.open(self.directory.name, durability="os")
        self.model: dict[bytes, bytes] = {}

    def teardown(self) -> None:
        self.store.close()
        self.directory.cleanup()

    @rule(target=keys, key=KEYS)
    def a_key(self, key: bytes) -> bytes:
        return key

    @rule(key=keys, value=VALUES)
    def assign(self, key: bytes, value: bytes) -> None:
        self.store[key] = value
        self.model[key] = value

    @rule(key=keys)
    def remove(self, key: bytes) -> None:
        assert self.store.delete(key) == (self.model.pop(key, None) is not None)

    @rule(key=keys, value=VALUES)
    def setdefault(self, key: bytes, value: bytes) -> None:
        assert self.store.setdefault(key, value) == self.model.setdefault(key, value)

    @rule(key=keys)
    def pop(self, key: bytes) -> None:
        assert self.store.pop(key, None) == self.model.pop(key, None)

    @rule()
    def popitem(self) -> None:
        if self.model:
            key, value = self.store.popitem()
            assert key == min(self.model) and self.model.pop(key) == value

    @rule(pairs=st.dictionaries(KEYS, VALUES, max_size=8))
    def update(self, pairs: dict[bytes, bytes]) -> None:
        self.store.update(pairs)
        self.model.update(pairs)

    @rule(some=st.lists(keys, max_size=8))
    def delete_many(self, some: list[bytes]) -> None:
        there = {key for key in some if self.model.pop(key, None) is not None}
        assert self.store.delete_many(some) == len(there)

    @rule(some=st.lists(keys, max_size=8))
    def get_many(self, some: list[bytes]) -> None:
        assert self.store.get_many(some) == [self.model.get(key) for key in some]

    @rule(
        start=st.none() | KEYS,
        stop=st.none() | KEYS,
        prefix=st.none() | st.binary(max_size=2),
        reverse=st.booleans(),
        limit=st.none() | st.integers(0, 5),
    )
    def scan(
        self,
        start: bytes | None,
        stop: bytes | None,
        prefix: bytes | None,
        reverse: bool,
        limit: int | None,
    ) -> None:
        expected = [
            pair
            for pair in sorted(self.model.items(), reverse=reverse)
            if (start is None or pair[0] >= start)
            and (stop is None or pair[0] < stop)
            and pair[0].startswith(prefix or b"")
        ]
        found = self.store.scan(start, stop, prefix=prefix, reverse=reverse, limit=limit)
        assert list(found) == expected[:limit]

    @rule(checkpoint=st.sampled_from(["auto", "always", "never"]))
    def reopen(self, checkpoint: Any) -> None:
        self.store.close()
        self.store = kvstore.open(self.directory.name, durability="os", close_checkpoint=checkpoint)

    @rule()
    def clear(self) -> None:
        self.store.clear()
        self.model.clear()

    @invariant()
    def same(self) -> None:
        assert len(self.store) == len(self.model)
        assert list(self.store.items()) == sorted(self.model.items())
        assert self.store == self.model


TestStoreBesideDict = StoreBesideDict.TestCase
TestStoreBesideDict.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)

"""A transaction behaves as a ``dict`` of bytes does, and as a store."""

from __future__ import annotations

import collections.abc
import copy
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

import kvstore
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


@pytest.fixture
def transaction(store: kvstore.Store) -> Iterator[kvstore.Transaction]:
    """One over a store with ``a`` and ``b``, aborted at the end."""
    store.update({b"a": b"1", b"b": b"2"})
    opened = store.transaction()
    yield opened
    opened.abort()


def test_is_a_mutable_mapping(transaction: kvstore.Transaction) -> None:
    assert isinstance(transaction, collections.abc.MutableMapping)
    assert not isinstance(transaction, collections.abc.Hashable)
    with pytest.raises(TypeError):
        hash(transaction)
    for name in dir(collections.abc.MutableMapping):
        if not name.startswith("_") or name in {"__contains__", "__eq__", "__ne__", "__iter__"}:
            assert hasattr(transaction, name), name
    match transaction:
        case {b"a": value}:
            assert value == b"1"
        case _:
            pytest.fail("not a mapping to a match statement")
    assert transaction
    transaction.clear()
    assert not transaction


def test_equality_is_of_entries(store: kvstore.Store, transaction: kvstore.Transaction) -> None:
    transaction[b"c"] = b"3"
    del transaction[b"a"]
    expected = {b"b": b"2", b"c": b"3"}
    assert transaction == transaction
    assert transaction == expected and expected == transaction
    assert transaction == MappingProxyType(expected)
    assert transaction != {b"b": b"2"} and transaction != {**expected, b"c": b"4"}
    assert transaction != {b"b": b"2", b"d": b"3"}
    assert transaction != store and store != transaction
    for other in (None, 1, [b"b", b"c"]):
        assert transaction != other and not transaction == other
    transaction.commit()
    assert transaction == transaction and transaction != 1
    assert store == expected


def test_pop(transaction: kvstore.Transaction) -> None:
    transaction[b"c"] = b"3"
    assert transaction.pop(b"c") == b"3"
    assert transaction.pop(bytearray(b"a"), None) == b"1"
    assert transaction.pop(b"a", None) is None
    assert transaction.pop(b"a", default=b"x") == b"x"
    missing = bytearray(b"a")
    with pytest.raises(KeyError) as caught:
        transaction.pop(missing)
    assert caught.value.args[0] is missing
    assert transaction == {b"b": b"2"}


def test_popitem_takes_keys_in_order(transaction: kvstore.Transaction) -> None:
    transaction[b"aa"] = b"3"
    pairs = [transaction.popitem(), transaction.popitem(), transaction.popitem()]
    assert pairs == [(b"a", b"1"), (b"aa", b"3"), (b"b", b"2")]
    with pytest.raises(KeyError, match=r"popitem\(\): the transaction sees no key"):
        transaction.popitem()
    transaction[b"0"] = b""
    assert transaction.popitem() == (b"0", b"")


def test_setdefault(transaction: kvstore.Transaction) -> None:
    assert transaction.setdefault(b"a", b"3") == b"1"
    assert transaction.setdefault(b"c", bytearray(b"3")) == b"3"
    assert transaction.setdefault(b"c", b"4") == b"3"
    with pytest.raises(TypeError, match="default must be bytes-like, not str"):
        transaction.setdefault(b"d", "4")  # type: ignore[arg-type]
    assert transaction == {b"a": b"1", b"b": b"2", b"c": b"3"}


def test_update(store: kvstore.Store, transaction: kvstore.Transaction) -> None:
    class OnlyKeys:
        def keys(self) -> list[bytes]:
            return [b"k"]

        def __getitem__(self, key: bytes) -> bytes:
            return key * 2

    transaction.clear()
    transaction.update()
    transaction.update({b"c": b"3"})
    transaction.update(MappingProxyType({b"d": b"4"}))
    transaction.update([(b"e", b"5"), [b"f", b"6"]])  # type: ignore[list-item]
    transaction.update(OnlyKeys())
    transaction.update(transaction)
    expected = {b"c": b"3", b"d": b"4", b"e": b"5", b"f": b"6", b"k": b"kk"}
    assert transaction == expected
    transaction.update(store)
    assert transaction == {**expected, b"a": b"1", b"b": b"2"}


def test_update_keeps_the_pairs_before_a_wrong_one(transaction: kvstore.Transaction) -> None:
    with pytest.raises(TypeError, match=r"value\.encode\(\)"):
        transaction.update([(b"c", b"3"), (b"d", "4")])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="update takes pairs .* element 0 has 3 items"):
        transaction.update([(b"a", b"b", b"c")])  # type: ignore[list-item]
    with pytest.raises(TypeError, match=r"key\.encode\(\)"):
        transaction.update(a=b"1")  # type: ignore[arg-type]
    assert transaction == {b"a": b"1", b"b": b"2", b"c": b"3"}


def test_clear(store: kvstore.Store, transaction: kvstore.Transaction) -> None:
    transaction[b"c"] = b"3"
    transaction.clear()
    assert len(transaction) == 0 and list(transaction) == [] and len(store) == 2
    transaction[b"d"] = b"4"
    transaction.commit()
    assert store == {b"d": b"4"}


def test_many(transaction: kvstore.Transaction) -> None:
    transaction[b"a"] = b"10"
    assert transaction.get_many([b"b", b"z", bytearray(b"a")]) == [b"2", None, b"10"]
    assert transaction.get_many(iter([b"z"]), 7) == [7] and transaction.get_many([]) == []
    transaction.set_many({b"c": b"3"})
    transaction.set_many([(b"d", memoryview(b"4"))])
    with pytest.raises(ValueError, match="set_many takes pairs .* element 1 has 1 items"):
        transaction.set_many([(b"e", b"5"), (b"f",)])  # type: ignore[list-item]
    with pytest.raises(TypeError, match=r"value\.encode\(\)"):
        transaction.set_many([(b"e", b"5"), (b"f", "6")])  # type: ignore[list-item]
    assert transaction.delete_many([b"b", b"b", b"z"]) == 1
    for call in (transaction.get_many, transaction.delete_many):
        with pytest.raises(TypeError, match=r"key\.encode\(\)"):
            call([b"a", "c"])  # type: ignore[operator]
    assert transaction == {b"a": b"10", b"c": b"3", b"d": b"4"}


def test_compare_and_set(transaction: kvstore.Transaction) -> None:
    assert not transaction.compare_and_set(b"a", None, b"x")
    assert transaction.compare_and_set(b"a", bytearray(b"1"), memoryview(b"x"))
    assert not transaction.compare_and_set(b"a", b"1", b"y")
    assert transaction.compare_and_set(b"a", b"x", None)
    assert transaction.compare_and_set(b"c", None, b"3")
    assert transaction.compare_and_set(b"d", None, None)
    with pytest.raises(TypeError, match="expected must be bytes-like, not str"):
        transaction.compare_and_set(b"a", "1", b"2")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="new must be bytes-like"):
        transaction.compare_and_set(b"a", None, 2)  # type: ignore[arg-type]
    assert transaction == {b"b": b"2", b"c": b"3"}


def test_increment(store: kvstore.Store, transaction: kvstore.Transaction) -> None:
    assert transaction.increment(b"n") == 1
    assert transaction.increment(b"n", -3) == -2
    assert transaction[b"n"] == (-2).to_bytes(8, "big", signed=True)
    assert transaction.increment(b"zero", 0) == 0 and b"zero" in transaction
    transaction[b"n"] = (2**63 - 1).to_bytes(8, "big", signed=True)
    with pytest.raises(OverflowError):
        transaction.increment(b"n", 2**63)
    for key, words in ((b"n", "range"), (b"a", "1 bytes")):
        with pytest.raises(ValueError, match=words) as inside:
            transaction.increment(key)
        before, after = dict(store), dict(transaction)
        transaction.abort()
        store.update(after)
        with pytest.raises(ValueError, match=words) as outside:
            store.increment(key)
        assert str(inside.value) == str(outside.value)
        store.clear()
        store.update(before)
        transaction = store.transaction()
        transaction.update(after)
    transaction.abort()


def test_what_is_too_long_is_refused_where_the_store_refuses_it(directory: str) -> None:
    with kvstore.open(directory, durability="os", max_key_len=4, max_value_len=8) as store:
        with store.transaction() as transaction:
            for call in (
                lambda: transaction.increment(b"too long"),
                lambda: transaction.compare_and_set(b"a", None, b"much too long"),
            ):
                with pytest.raises(kvstore.TooLargeError, match="more than the limit"):
                    call()
            transaction.increment(b"n")
        assert list(store) == [b"n"]


CALLS: list[Callable[[kvstore.Transaction], object]] = [
    lambda t: t == {},
    lambda t: t.pop(b"a"),
    lambda t: t.pop(b"a", None),
    lambda t: t.popitem(),
    lambda t: t.setdefault(b"a", b"1"),
    lambda t: t.update(),
    lambda t: t.update({b"a": b"1"}),
    lambda t: t.clear(),
    lambda t: t.get_many([]),
    lambda t: t.set_many({}),
    lambda t: t.delete_many([]),
    lambda t: t.compare_and_set(b"a", None, None),
    lambda t: t.increment(b"a"),
    bool,
]


@pytest.mark.parametrize("call", CALLS)
def test_after_its_end_everything_is_refused(
    transaction: kvstore.Transaction, call: Callable[[kvstore.Transaction], object]
) -> None:
    transaction.commit()
    with pytest.raises(kvstore.ClosedError, match="ended"):
        call(transaction)


def test_cannot_be_copied_or_pickled(transaction: kvstore.Transaction) -> None:
    for copied in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError, match="cannot be pickled or copied"):
            copied(transaction)


KEYS = st.sampled_from([b"", b"a", b"b", b"bb", b"c"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("__setitem__"), KEYS, st.binary(max_size=2)),
        st.tuples(st.just("setdefault"), KEYS, st.binary(max_size=2)),
        st.tuples(st.just("pop"), KEYS, st.none()),
        st.tuples(st.just("pop"), KEYS),
        st.tuples(st.just("__delitem__"), KEYS),
        st.tuples(st.just("update"), st.dictionaries(KEYS, st.binary(max_size=2))),
        st.tuples(st.just("clear")),
        st.tuples(st.just("popitem")),
    ),
    max_size=20,
)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stored=st.dictionaries(KEYS, st.binary(max_size=2)), steps=STEPS)
def test_it_does_what_a_dict_does(
    tmp_path: Path, stored: dict[bytes, bytes], steps: list[tuple[Any, ...]]
) -> None:
    def outcome(mapping: Any, name: str, *arguments: Any) -> Any:
        if name == "popitem" and isinstance(mapping, dict) and mapping:
            return min(mapping), mapping.pop(min(mapping))
        try:
            return getattr(mapping, name)(*arguments)
        except KeyError:
            return KeyError

    with kvstore.open(tmp_path / "data", "n", durability="os", close_checkpoint="never") as store:
        store.update(stored)
        model = dict(stored)
        with store.transaction() as transaction:
            for step in steps:
                assert outcome(transaction, *step) == outcome(model, *step)
                assert transaction == model and len(transaction) == len(model)
            assert list(transaction.items()) == sorted(model.items())
            assert store == stored
        assert store == model

"""Iterating: order, ranges, and one instant whatever is written meanwhile."""

from __future__ import annotations

import gc
import operator
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import kvstore
import pytest


@pytest.fixture
def letters(store: kvstore.Store) -> kvstore.Store:
    store.update({letter.encode(): letter.upper().encode() for letter in "dacbe"})
    return store


def test_everything_is_in_ascending_order(letters: kvstore.Store) -> None:
    assert list(letters) == [b"a", b"b", b"c", b"d", b"e"]
    assert list(letters.keys()) == list(letters)
    assert list(letters.values()) == [b"A", b"B", b"C", b"D", b"E"]
    assert list(letters.items()) == list(zip(letters.keys(), letters.values()))
    assert list(letters.scan()) == list(letters.items())


def test_order_is_of_unsigned_bytes(store: kvstore.Store) -> None:
    keys = [b"", b"\x00", b"\x00\x00", b"\x00\xff", b"\x7f", b"\x80", b"\xff", b"\xff\x00"]
    store.update((key, b"") for key in reversed(keys))
    assert list(store) == keys == sorted(keys)


def test_reversed(letters: kvstore.Store) -> None:
    for view in (letters, letters.keys(), letters.values(), letters.items()):
        assert list(reversed(view)) == list(view)[::-1]


def test_scan_bounds(letters: kvstore.Store) -> None:
    def keys(*arguments: Any, **named: Any) -> bytes:
        return b"".join(key for key, _ in letters.scan(*arguments, **named))

    assert keys(b"b") == b"bcde"
    assert keys(b"b", b"d") == b"bc"
    assert keys(None, b"c") == b"ab"
    assert keys(stop=b"c", reverse=True) == b"ba"
    assert keys(b"d", b"b") == b""
    assert keys(b"b", b"b") == b""
    assert keys(b"bb", b"cc") == b"c"
    assert keys(limit=2) == b"ab"
    assert keys(limit=2, reverse=True) == b"ed"
    assert keys(limit=0) == b""
    assert keys(limit=99) == b"abcde"
    assert keys(prefix=b"") == b"abcde"
    assert keys(b"b", prefix=b"a") == b""


def test_scan_prefix(store: kvstore.Store) -> None:
    keys = [b"a", b"a\x00", b"a\xff", b"a\xff\xff", b"b", b"\xff", b"\xff\xff"]
    store.update((key, key) for key in keys)
    assert [key for key, _ in store.scan(prefix=b"a")] == keys[:4]
    assert [key for key, _ in store.scan(prefix=b"a\xff")] == keys[2:4]
    assert [key for key, _ in store.scan(prefix=b"\xff")] == keys[5:]
    assert [key for key, _ in store.scan(b"a\x01", b"a\xff\xff", prefix=b"a")] == [b"a\xff"]


@pytest.mark.parametrize("limit", [-1, 1 << 70, "1", 1.0])
def test_a_wrong_limit_is_refused(store: kvstore.Store, limit: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="limit must be None or an int, 0 or more"):
        store.scan(limit=limit)


def test_iterating_while_writing_sees_one_instant(letters: kvstore.Store) -> None:
    before = dict(letters)
    seen = {}
    for key, value in letters.items():
        seen[key] = value
        letters[key] = b"changed"
        letters[key + b"+"] = b"new"
        letters.delete(b"e")
    assert seen == before
    assert letters[b"a"] == b"changed" and b"e" not in letters and len(letters) == 9


@pytest.mark.parametrize(
    "make",
    [
        iter,
        reversed,
        lambda store: iter(store.values()),
        lambda store: iter(store.items()),
        lambda store: store.scan(reverse=True),
    ],
)
def test_an_iterator_is_of_the_instant_it_was_made(
    letters: kvstore.Store, make: Callable[[kvstore.Store], Iterator[Any]]
) -> None:
    expected = list(make(letters))
    started, untouched = make(letters), make(letters)
    first = next(started)
    letters.clear()
    letters.close()
    assert [first, *started] == expected
    assert list(untouched) == expected
    assert next(started, None) is None and next(started, None) is None


def test_length_hints(letters: kvstore.Store) -> None:
    keys = iter(letters)
    assert operator.length_hint(keys) == 5
    next(keys)
    assert operator.length_hint(keys) == 4
    assert operator.length_hint(letters.scan(limit=3)) == 3
    assert operator.length_hint(letters.scan(b"z")) == 0
    list(keys)
    assert operator.length_hint(keys) == 0


def test_views_follow_the_store(store: kvstore.Store) -> None:
    keys, values, items = store.keys(), store.values(), store.items()
    assert len(keys) == len(values) == len(items) == 0
    store[b"a"] = b"1"
    assert len(keys) == len(values) == len(items) == 1
    assert b"a" in keys and b"b" not in keys
    assert b"1" in values and b"2" not in values
    assert (b"a", b"1") in items and (b"a", b"2") not in items and (b"b", b"1") not in items


def test_views_are_sets(letters: kvstore.Store) -> None:
    assert letters.keys() & {b"a", b"z"} == {b"a"}
    assert letters.keys() | {b"z"} == {*letters, b"z"}
    assert letters.keys() - {b"a"} == {b"b", b"c", b"d", b"e"}
    assert letters.keys() == set(letters)
    assert letters.items() & {(b"a", b"A"), (b"a", b"B")} == {(b"a", b"A")}
    assert letters.items() == dict(letters).items()


def test_an_iterator_may_be_used_from_a_finalizer_of_its_own_garbage(store: kvstore.Store) -> None:
    """Making a pair may collect garbage, and garbage may run anything, this iterator included."""
    store.update((b"%06d" % i, b"") for i in range(3000))
    pairs = store.scan()
    taken: list[Any] = []

    class Garbage:
        def __init__(self) -> None:
            self.cycle = self

        def __del__(self) -> None:
            taken.extend(next(pairs, None) for _ in range(1))

    def consume(them: Iterable[Any]) -> None:
        for pair in them:
            Garbage()
            taken.append(pair)

    threshold = gc.get_threshold()
    gc.set_threshold(1)
    try:
        consume(pairs)
    finally:
        gc.set_threshold(*threshold)
        gc.collect()
    found = [pair for pair in taken if pair is not None]
    assert len(found) == len(set(found)) == 3000

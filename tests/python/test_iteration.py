"""Iterating: order, ranges, and one instant whatever is written meanwhile."""

from __future__ import annotations

import gc
import inspect
import operator
import signal
import sys
import threading
import tracemalloc
import weakref
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


def test_scan_keys_is_scan_without_values(letters: kvstore.Store) -> None:
    arguments: list[dict[str, Any]] = [
        {},
        {"start": b"b"},
        {"stop": b"d", "reverse": True},
        {"prefix": b"c"},
        {"limit": 2},
        {"start": b"b", "stop": b"e", "reverse": True, "limit": 2},
    ]
    for named in arguments:
        expected = [key for key, _ in letters.scan(**named)]
        assert list(letters.scan_keys(**named)) == expected
        with letters.view() as view:
            assert list(view.scan_keys(**named)) == expected
            assert [key for key, _ in view.scan(**named)] == expected


@pytest.mark.parametrize("count", [1, 3, 4, 5, 11, 12, 13, 63, 64, 65, 127, 128, 129, 1000])
def test_what_is_fetched_ahead_shows_nowhere(store: kvstore.Store, count: int) -> None:
    """Iterators fetch records in batches, which grow."""
    pairs = [(b"%04d" % number, b"v%d" % number) for number in range(count)]
    store.update(pairs)
    assert list(store.scan()) == pairs
    assert list(store.scan(reverse=True)) == pairs[::-1]
    assert list(store) == [key for key, _ in pairs]
    for limit in (0, 1, count // 2, count - 1, count, count + 1):
        assert list(store.scan(limit=limit)) == pairs[:limit]
    taken, iterator = 0, store.scan()
    while operator.length_hint(iterator) == count - taken and next(iterator, None):
        taken += 1
    assert taken == count


def test_large_values_are_not_fetched_ahead(store: kvstore.Store) -> None:
    large, count = 1 << 20, 64
    store.update((b"%04d" % number, bytes([number]) * large) for number in range(count))
    tracemalloc.start()
    try:
        for number, (key, value) in enumerate(store.scan()):
            assert key == b"%04d" % number and value[0] == value[-1] == number
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * large, "this one, the one before, and the next"


def test_a_dropped_iterator_frees_what_it_fetched(store: kvstore.Store) -> None:
    store.update((b"%06d" % number, bytes(100)) for number in range(1000))
    list(store.scan())
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(100):
            iterator = store.scan()
            for _ in range(5):
                next(iterator)
        del iterator
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert after - before < 20_000


def test_threads_share_an_iterator(store: kvstore.Store) -> None:
    """Each record is yielded once, to one of them."""
    count, threads = 20_000, 8
    store.update((b"%06d" % number, b"%d" % number) for number in range(count))
    iterator, interval = store.scan(), sys.getswitchinterval()
    taken: list[list[tuple[bytes, bytes]]] = [[] for _ in range(threads)]

    def take(into: list[tuple[bytes, bytes]]) -> None:
        for pair in iterator:
            into.append(pair)

    sys.setswitchinterval(1e-6)
    try:
        workers = [threading.Thread(target=take, args=(into,)) for into in taken]
        for worker in workers:
            worker.start()
        store.close()
        for worker in workers:
            worker.join()
    finally:
        sys.setswitchinterval(interval)
    for into in taken:
        assert into == sorted(into)
    together = sorted(pair for into in taken for pair in into)
    assert together == [(b"%06d" % number, b"%d" % number) for number in range(count)]


def test_pairs_may_be_part_of_whatever_a_program_makes_of_them(store: kvstore.Store) -> None:
    """They are not tracked by the garbage collector; what holds them is, and is collected."""
    store.update((b"%06d" % number, b"") for number in range(100))

    class Holder:
        def __init__(self, pair: tuple[bytes, bytes]) -> None:
            self.pair, self.cycle = pair, self

    references = [weakref.ref(Holder(pair)) for pair in store.scan()]
    gc.collect()
    assert all(reference() is None for reference in references)
    assert not any(gc.is_tracked(pair) for pair in store.scan())


@pytest.mark.parametrize("limit", [-1, 1 << 70, "1", 1.0])
def test_a_wrong_limit_is_refused(store: kvstore.Store, limit: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="limit must be None or an int, 0 or more"):
        store.scan(limit=limit)


@pytest.mark.parametrize("name", ["scan", "scan_keys"])
def test_a_reverse_that_is_no_bool_is_named(store: kvstore.Store, name: str) -> None:
    with store.view() as view, store.transaction() as transaction:
        for mapping in (store, view, transaction):
            with pytest.raises(TypeError, match="reverse must be a bool, not 5"):
                getattr(mapping, name)(reverse=5)
            text = "(start=None, stop=None, *, prefix=None, reverse=False, limit=None)"
            assert str(inspect.signature(getattr(mapping, name))) == text


def test_a_list_of_a_long_scan_lets_signals_and_threads_in_between(store: kvstore.Store) -> None:
    store.set_many((b"%07d" % number, b"value") for number in range(200_000))
    seen: set[int] = set()

    def look(*_: object) -> None:
        seen.add(operator.length_hint(scan))

    scan = store.scan()
    previous = signal.signal(signal.SIGALRM, look)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
        for _ in range(20):
            scan = store.scan()
            assert len(list(scan)) == 200_000
            if any(0 < left < 200_000 for left in seen):
                break
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert any(0 < left < 200_000 for left in seen), "no handler ran in the middle of a list()"


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

"""Writes that take effect together, and those that depend on the value before."""

from __future__ import annotations

import threading
from collections.abc import Callable

import kvstore
import pytest


def test_a_batch_is_written_when_the_block_ends(store: kvstore.Store) -> None:
    store[b"gone"] = b"1"
    with store.batch() as batch:
        batch[b"a"] = b"1"
        batch.set(bytearray(b"b"), memoryview(b"2"))
        batch[b"a"] = b"3"
        del batch[b"gone"]
        batch.delete(b"never there")
        assert len(batch) == 5
        assert dict(store) == {b"gone": b"1"}
    assert dict(store) == {b"a": b"3", b"b": b"2"}
    assert len(batch) == 0


def test_a_batch_is_discarded_after_an_exception(store: kvstore.Store) -> None:
    with pytest.raises(KeyboardInterrupt), store.batch() as batch:
        batch[b"a"] = b"1"
        raise KeyboardInterrupt
    assert len(store) == 0
    batch.commit()
    assert len(store) == 0


def test_a_batch_can_be_filled_again(store: kvstore.Store) -> None:
    batch = store.batch()
    assert batch, "a batch is true, also when it is empty"
    for number in range(3):
        batch[b"%d" % number] = b"x"
        batch.commit()
    assert list(store) == [b"0", b"1", b"2"]
    batch[b"not wanted"] = b""
    batch.clear()
    batch.commit()
    assert len(store) == 3


def test_a_batch_that_cannot_be_written_is_kept(directory: str) -> None:
    with kvstore.open(directory, durability="os", max_value_len=10) as store:
        batch = store.batch()
        batch[b"a"] = b"fits"
        batch[b"b"] = b"does not fit"
        with pytest.raises(kvstore.TooLargeError, match="limit of 10"):
            batch.commit()
        assert len(store) == 0
        assert len(batch) == 2


def test_what_is_wrong_is_refused_and_the_batch_stays(store: kvstore.Store) -> None:
    batch = store.batch(durability="sync")
    batch[b"a"] = b"1"
    with pytest.raises(TypeError, match=r"key must be bytes-like, not str: use key.encode\(\)"):
        batch["b"] = b"2"  # type: ignore[index]
    with pytest.raises(TypeError, match="value must be bytes-like"):
        batch[b"b"] = 2  # type: ignore[assignment]
    with pytest.raises(TypeError, match="key must be bytes-like"):
        batch.delete(None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="durability"):
        store.batch(durability="never")  # type: ignore[arg-type]
    assert len(batch) == 1
    batch.commit()
    assert dict(store) == {b"a": b"1"}


def test_a_batch_of_a_closed_store(directory: str) -> None:
    store = kvstore.open(directory)
    batch = store.batch()
    batch[b"a"] = b"1"
    store.close()
    with pytest.raises(kvstore.ClosedError):
        batch.commit()
    with pytest.raises(kvstore.ClosedError):
        store.batch()
    with kvstore.open(directory) as again:
        assert len(again) == 0


def test_a_batch_of_a_store_that_is_read_only(directory: str) -> None:
    kvstore.open(directory).close()
    with kvstore.open(directory, "r") as store:
        batch = store.batch()
        batch[b"a"] = b"1"
        with pytest.raises(kvstore.ReadOnlyError):
            batch.commit()


def test_set_many_sets_all_or_nothing(store: kvstore.Store) -> None:
    store.set_many({b"a": b"1", b"b": b"2"})
    store.set_many((key, b"3") for key in (b"b", b"c"))
    assert dict(store) == {b"a": b"1", b"b": b"3", b"c": b"3"}
    store.set_many([])
    with pytest.raises(TypeError, match="value must be bytes-like"):
        store.set_many([(b"d", b"4"), (b"e", "5")])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="set_many takes pairs"):
        store.set_many([(b"d", b"4"), (b"e",)])  # type: ignore[list-item]
    assert b"d" not in store


def test_nobody_sees_a_part_of_a_batch(store: kvstore.Store) -> None:
    keys = [b"key %d" % number for number in range(50)]
    store.set_many((key, b"0") for key in keys)
    done = threading.Event()
    seen: list[set[bytes]] = []

    def read(values: Callable[[], list[bytes]]) -> None:
        while not done.is_set():
            found = set(values())
            if len(found) != 1:
                seen.append(found)
                return

    readers = [
        threading.Thread(target=read, args=(values,))
        for values in (
            lambda: store.get_many(keys, b""),
            lambda: [value for _, value in store.scan()],
            lambda: store.view().get_many(keys, b""),
        )
    ]
    for reader in readers:
        reader.start()
    for number in range(300):
        store.set_many((key, b"%d" % number) for key in keys)
    done.set()
    for reader in readers:
        reader.join()
    assert seen == []


def test_compare_and_set(store: kvstore.Store) -> None:
    assert not store.compare_and_set(b"a", b"1", b"2")
    assert b"a" not in store
    assert store.compare_and_set(b"a", None, b"1")
    assert not store.compare_and_set(b"a", None, b"2")
    assert not store.compare_and_set(b"a", b"2", None)
    assert store.compare_and_set(b"a", b"1", bytearray(b"2"), durability="sync")
    assert store[b"a"] == b"2"
    assert store.compare_and_set(b"a", b"2", None)
    assert store.compare_and_set(b"a", None, None)
    assert len(store) == 0
    with pytest.raises(TypeError, match="expected must be bytes-like, not str"):
        store.compare_and_set(b"a", "1", b"2")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="new must be bytes-like"):
        store.compare_and_set(b"a", None, 2)  # type: ignore[arg-type]


def test_increment(store: kvstore.Store) -> None:
    assert store.increment(b"n") == 1
    assert store.increment(b"n", -3) == -2
    assert store[b"n"] == (-2).to_bytes(8, "big", signed=True)
    assert store.increment(b"zero", 0) == 0
    assert b"zero" in store
    store[b"n"] = (2**63 - 1).to_bytes(8, "big", signed=True)
    with pytest.raises(ValueError, match="range"):
        store.increment(b"n")
    with pytest.raises(OverflowError):
        store.increment(b"n", 2**63)
    with pytest.raises(TypeError):
        store.increment(b"n", 1.5)  # type: ignore[arg-type]
    store[b"text"] = b"forty-two"
    with pytest.raises(ValueError, match="9 bytes"):
        store.increment(b"text")
    assert store[b"text"] == b"forty-two"


@pytest.mark.parametrize("durability", ["os", "sync"])
def test_threads_lose_no_update(directory: str, durability: str) -> None:
    rounds = 200 if durability == "os" else 25

    def work() -> None:
        for _ in range(rounds):
            store.increment(b"counted")
            while True:
                value = store.get(b"swapped")
                new = b"%d" % (int(value or b"0") + 1)
                if store.compare_and_set(b"swapped", value, new):
                    break

    with kvstore.open(directory, durability=durability) as store:  # type: ignore[arg-type]
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert store.increment(b"counted", 0) == 4 * rounds
        assert store[b"swapped"] == b"%d" % (4 * rounds)


def test_setdefault_and_pop_are_one_step(store: kvstore.Store) -> None:
    got: list[bytes] = []
    popped: list[bytes | None] = []

    def work(name: bytes) -> None:
        for number in range(300):
            got.append(store.setdefault(b"%d" % number, name))
        for number in range(300):
            popped.append(store.pop(b"%d" % number, None))

    barrier = [threading.Thread(target=work, args=(b"%d" % name,)) for name in range(4)]
    for thread in barrier:
        thread.start()
    for thread in barrier:
        thread.join()
    assert len(got) == 4 * 300
    assert len([value for value in popped if value is not None]) >= 300
    assert len(store) == 0

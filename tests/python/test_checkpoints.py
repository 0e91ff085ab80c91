"""Checkpoints of an open store, and the figures about them."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import kvstore
import pytest


def test_a_checkpoint_empties_the_log(store: kvstore.Store) -> None:
    store.update({b"a": b"1", b"b": b"2"})
    iterator = iter(store.items())
    view = store.get_view(b"a")
    assert store.stats()["log_bytes"] > 0
    store.checkpoint()
    stats = store.stats()
    assert (stats["log_bytes"], stats["checkpoints"], stats["checkpoint_error"]) == (0, 1, None)
    assert stats["snapshot_bytes"] == stats["checkpoint_bytes"] > 0
    assert not stats["checkpoint_running"]
    store[b"a"] = b"3"
    assert list(iterator) == [(b"a", b"1"), (b"b", b"2")]
    assert view is not None and bytes(view) == b"1"
    assert dict(store) == {b"a": b"3", b"b": b"2"}
    files = {path.name for path in Path(store.path).iterdir()}
    assert files == {"LOCK", "snapshot.dat", "wal.log"}


def test_one_that_fails_loses_nothing_and_is_told(directory: str) -> None:
    with kvstore.open(directory, durability="os") as store:
        store[b"a"] = b"1"
        in_its_way = Path(directory) / "snapshot.dat.tmp"
        in_its_way.mkdir()
        with pytest.raises(kvstore.StorageError) as caught:
            store.checkpoint()
        stats = store.stats()
        assert stats["checkpoints_failed"] == 1 and stats["checkpoints"] == 0
        assert stats["checkpoint_error"] is not None
        assert "snapshot.dat.tmp" in stats["checkpoint_error"]
        assert "snapshot.dat.tmp" in str(caught.value)
        store[b"b"] = b"2"
        assert dict(store) == {b"a": b"1", b"b": b"2"}
        in_its_way.rmdir()
        store.checkpoint()
        assert store.stats()["checkpoint_error"] is None
    with kvstore.open(directory) as store:
        assert dict(store) == {b"a": b"1", b"b": b"2"}


def test_a_thread_does_it_when_the_log_is_long(directory: str) -> None:
    with kvstore.open(directory, durability="os", checkpoint_bytes=1 << 20) as store:
        deadline = time.monotonic() + 60
        number = 0
        while store.stats()["checkpoints"] < 3:
            assert time.monotonic() < deadline, store.stats()
            store[b"%d" % (number % 100)] = bytes(1000)
            number += 1
        assert store.stats()["log_bytes"] < 3 << 20
    with kvstore.open(directory) as store:
        assert len(store) == min(number, 100)


def test_none_is_made_without_being_asked_for_when_that_is_switched_off(directory: str) -> None:
    with kvstore.open(directory, durability="os", checkpoint_bytes=0) as store:
        for number in range(1000):
            store[b"%d" % number] = bytes(1000)
        assert store.stats()["checkpoints"] == 0
        store.checkpoint()
        assert store.stats()["checkpoints"] == 1


def test_threads_go_on_meanwhile(store: kvstore.Store) -> None:
    store.set_many((b"key %d" % number, b"0") for number in range(1000))
    done = threading.Event()
    failures: list[str] = []

    def write(which: int) -> None:
        number = 0
        while not done.is_set():
            key, value = b"key %d" % (which + 4 * (number % 250)), b"%d" % number
            store[key] = value
            if store[key] != value:
                failures.append(f"{key!r} is not {value!r}")
            number += 1

    threads = [threading.Thread(target=write, args=(which,)) for which in range(4)]
    for thread in threads:
        thread.start()
    for number in range(20):
        # However little the threads get to, there is something new.
        store[b"own"] = b"%d" % number
        with store.view() as view:
            before = dict(view)
            store.checkpoint()
            if dict(view) != before or len(before) != 1001:
                failures.append("a view has changed")
    done.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert store.stats()["checkpoints"] == 20


def test_of_a_store_that_is_closed_or_read_only(directory: str) -> None:
    store = kvstore.open(directory)
    store.close()
    with pytest.raises(kvstore.ClosedError):
        store.checkpoint()
    with kvstore.open(directory, "r") as reader, pytest.raises(kvstore.ReadOnlyError):
        reader.checkpoint()


def test_what_opening_found_is_among_the_figures(store: kvstore.Store) -> None:
    stats = store.stats()
    assert stats["recovery"] == store.recovery_report()
    assert stats["records_per_group"] == 0.0
    store.set_many([(b"a", b"1"), (b"b", b"2"), (b"c", b"3")])
    assert store.stats()["records_per_group"] == 3.0
    list(store)
    assert store.stats()["view_bytes"] > 0

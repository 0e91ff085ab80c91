"""Many Python threads on one store."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import kvstore
import pytest


def together(count: int, work: Callable[[int], Any]) -> list[Any]:
    """Runs ``work(0) .. work(count - 1)``, each in a thread; their results, or the first error."""
    barrier = threading.Barrier(count)

    def run(number: int) -> Any:
        barrier.wait()
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return [future.result() for future in [pool.submit(run, i) for i in range(count)]]


@pytest.mark.parametrize("durability", ["os", "sync"])
def test_every_write_of_every_thread_arrives(directory: str, durability: Any) -> None:
    per_thread = 2000 if durability == "os" else 40

    def work(number: int) -> None:
        for i in range(per_thread):
            key = b"%d:%d" % (number, i)
            store[key] = key[::-1]
            assert store[key] == key[::-1]
            if i % 3 == 0:
                del store[key]

    with kvstore.open(directory, durability=durability) as store:
        together(8, work)
        expected = {b"%d:%d" % (n, i) for n in range(8) for i in range(per_thread) if i % 3}
        assert set(store) == expected
    with kvstore.open(directory) as store:
        assert store.keys() == expected
        assert all(value == key[::-1] for key, value in store.items())


def test_readers_beside_a_writer_see_whole_values(store: kvstore.Store) -> None:
    stop = threading.Event()
    keys = [b"%d" % i for i in range(20)]
    store.update((key, bytes([0]) * 300) for key in keys)

    def work(number: int) -> int:
        rounds = 0
        if number == 0:
            deadline = time.monotonic() + 1
            while time.monotonic() < deadline:
                rounds += 1
                for key in keys:
                    store[key] = bytes([rounds % 256]) * 300
            stop.set()
            return rounds
        while not stop.is_set():
            rounds += 1
            for value in (*store.get_many(keys), *store.values(), store[keys[number]]):
                assert value is not None and len(value) == 300 and len(set(value)) == 1
        return rounds

    assert all(together(5, work))


def test_mixed_durabilities_do_not_deadlock(store: kvstore.Store) -> None:
    """An "os" write keeps the interpreter lock, a "sync" write waits for the disk without it."""

    def work(number: int) -> None:
        for i in range(60):
            key = b"%d:%d" % (number, i)
            match number % 4:
                case 0:
                    store.set(key, b"", durability="sync")
                case 1:
                    for j in range(20):
                        store.set(key + b"%d" % j, b"", durability="os")
                case 2:
                    store.sync()
                    assert list(store) is not None
                case _:
                    store.set(key, bytes(300 << 10), durability="os")
                    store.delete(key)

    together(8, work)


def test_other_threads_run_while_one_waits_for_the_disk(directory: str) -> None:
    """A thread that only counts must not stand still for as long as each sync takes."""
    done = threading.Event()
    longest = 0.0

    def count() -> None:
        nonlocal longest
        last = time.perf_counter()
        while not done.is_set():
            now = time.perf_counter()
            longest = max(longest, now - last)
            last = now

    with kvstore.open(directory, durability="sync") as store:
        counter = threading.Thread(target=count)
        counter.start()
        started = time.perf_counter()
        for i in range(50):
            store[b"%d" % i] = b"x" * 1000
        busy = time.perf_counter() - started
        done.set()
        counter.join()
    # The main thread needs the lock for microseconds at a time; nearly all of `busy` is waiting.
    assert longest < max(0.1, busy / 2)


def test_popping_threads_share_the_pairs(store: kvstore.Store) -> None:
    store.update((b"%d" % i, b"") for i in range(200))

    def take(_: int) -> list[bytes]:
        taken = []
        while True:
            try:
                taken.append(store.popitem()[0])
            except KeyError:
                return taken

    taken = [key for keys in together(4, take) for key in keys]
    assert len(taken) == len(set(taken)) == 200 and len(store) == 0

    store.update((b"%d" % i, b"") for i in range(200))
    popped = together(4, lambda _: sum(store.pop(b"%d" % i, None) is not None for i in range(200)))
    assert sum(popped) == 200


def test_closing_beside_readers_and_writers(directory: str) -> None:
    store = kvstore.open(directory, durability="os")
    writing = threading.Semaphore(0)

    def work(number: int) -> int:
        if number == 0:
            for _ in range(4):
                writing.acquire()
            store.close()
            return 0
        count = 0
        try:
            while True:
                store[b"%d:%d" % (number, count)] = b"x"
                assert store[b"%d:%d" % (number, count)] == b"x"
                count += 1
                if count == 50:
                    writing.release()
                if count % 20 == 0:
                    list(store.scan(limit=5))
        except kvstore.ClosedError:
            return count

    counts = together(5, work)
    with kvstore.open(directory) as again:
        for number, count in enumerate(counts):
            assert all(b"%d:%d" % (number, i) in again for i in range(count))
        assert sum(counts) <= len(again) <= sum(counts) + 4


def test_one_iterator_in_many_threads(store: kvstore.Store) -> None:
    store.update((b"%06d" % i, b"") for i in range(20_000))
    keys = iter(store)
    taken = together(4, lambda _: list(keys))
    assert sorted(key for some in taken for key in some) == list(store)

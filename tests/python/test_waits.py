"""Waiting for another thread's transaction: for as long as is allowed, unless a signal ends it."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import kvstore
import pytest


class Interrupted(Exception):
    """What the signal handler raises."""


@contextmanager
def interrupted_after(seconds: float) -> Iterator[None]:
    """A signal comes after so many seconds, and its handler raises."""

    def interrupt(*_: object) -> None:
        raise Interrupted

    previous = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


@contextmanager
def busy(store: kvstore.Store) -> Iterator[None]:
    """Another thread has a transaction open, which it aborts."""
    began, end = threading.Event(), threading.Event()

    def hold() -> None:
        with pytest.raises(InterruptedError), store.transaction() as transaction:
            transaction[b"held"] = b""
            began.set()
            end.wait(60)
            raise InterruptedError

    holder = threading.Thread(target=hold)
    holder.start()
    began.wait(60)
    try:
        yield
    finally:
        end.set()
        holder.join()


def commit_of_batch(store: kvstore.Store) -> None:
    batch = store.batch()
    batch[b"new"] = b"1"
    try:
        batch.commit()
    finally:
        assert len(batch) == 1


WAITS: dict[str, Callable[[kvstore.Store], object]] = {
    "set": lambda store: store.set(b"new", b"1"),
    "set synced": lambda store: store.set(b"new", b"1", durability="sync"),
    "setitem": lambda store: store.__setitem__(b"new", b"1"),
    "delete": lambda store: store.delete(b"old"),
    "delete synced": lambda store: store.delete(b"old", durability="sync"),
    "delitem": lambda store: store.__delitem__(b"old"),
    "delete_many": lambda store: store.delete_many([b"old"]),
    "clear": lambda store: store.clear(),
    "batch": commit_of_batch,
    "set_many": lambda store: store.set_many({b"new": b"1"}),
    "update": lambda store: store.update({b"new": b"1"}),
    "compare_and_set": lambda store: store.compare_and_set(b"new", None, b"1"),
    "increment": lambda store: store.increment(b"new"),
    "pop": lambda store: store.pop(b"old"),
    "popitem": lambda store: store.popitem(),
    "setdefault": lambda store: store.setdefault(b"new", b"1"),
    "transaction": lambda store: store.transaction(),
    "close": lambda store: store.close(),
}


@pytest.mark.parametrize("timeout", [60, float("inf")])
@pytest.mark.parametrize("name", WAITS)
def test_a_signal_ends_the_wait_and_nothing_was_written(
    directory: str, name: str, timeout: float
) -> None:
    with kvstore.open(directory, durability="os", transaction_timeout=timeout) as store:
        store[b"old"] = b"0"
        with busy(store):
            started = time.monotonic()
            with pytest.raises(Interrupted), interrupted_after(0.01):
                WAITS[name](store)
            # Far less than the transaction takes, and than a busy machine may need.
            assert time.monotonic() - started < 20
            assert dict(store) == {b"old": b"0"}
        store[b"after"] = b"1"
        assert dict(store) == {b"after": b"1", b"old": b"0"}


@pytest.mark.parametrize("name", WAITS)
def test_the_whole_time_is_waited_and_then_it_is_a_lock_timeout(directory: str, name: str) -> None:
    with kvstore.open(directory, durability="os", transaction_timeout=0.12) as store:
        store[b"old"] = b"0"
        with busy(store):
            started = time.monotonic()
            with pytest.raises(kvstore.LockTimeout, match=r"open for longer than 120ms"):
                WAITS[name](store)
            assert time.monotonic() - started >= 0.11
        assert dict(store) == {b"old": b"0"}


def test_without_a_timeout_nobody_waits(directory: str) -> None:
    with kvstore.open(directory, durability="os", transaction_timeout=0) as store, busy(store):
        with pytest.raises(kvstore.LockTimeout, match="longer than 0ns"):
            store[b"a"] = b"1"


def test_a_handler_that_raises_nothing_does_not_end_the_wait(directory: str) -> None:
    with kvstore.open(directory, durability="os", transaction_timeout=60) as store:
        # The handler runs amid the wait, and ends what is waited for.
        end, done = threading.Event(), threading.Event()

        def hold() -> None:
            with store.transaction() as transaction:
                transaction[b"counter"] = (41).to_bytes(8, "big")
                done.set()
                end.wait(60)

        holder = threading.Thread(target=hold)
        holder.start()
        done.wait(60)
        previous = signal.signal(signal.SIGALRM, lambda *_: end.set())
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.01)
            assert store.increment(b"counter") == 42
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)
        holder.join()
        assert end.is_set()


def test_each_write_of_a_call_has_its_own_time(directory: str) -> None:
    """And none is lost or done twice."""
    keys = [b"%04d" % number for number in range(2000)]
    with kvstore.open(directory, durability="os", transaction_timeout=60) as store:
        store.set_many((key, b"0") for key in keys)
        begun = threading.Event()

        def disturb() -> None:
            for _ in range(4):
                with store.transaction() as transaction:
                    begun.set()
                    transaction[b"turns"] = transaction.get(b"turns", b"") + b"."
                    time.sleep(0.06)  # longer than a slice of the wait

        other = threading.Thread(target=disturb)
        other.start()
        begun.wait(60)
        assert store.delete_many(keys) == len(keys)
        other.join()
        assert dict(store) == {b"turns": b"...."}

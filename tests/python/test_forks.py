"""Forked children: refused everything, and harmless."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import kvstore
import pytest

def in_a_fork(work: Callable[[], None]) -> int:
    """Runs ``work`` in a forked child; the child's exit code."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            work()
            status = 0
        except BaseException as error:
            os.write(2, (repr(error) + "\n").encode())
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


# Every public attribute of a store, as a call that a forked child must be refused. The views look
# at nothing before they are used.
REFUSED: dict[str, Callable[[kvstore.Store], object]] = {
    "__contains__": lambda store: b"a" in store,
    "__delitem__": lambda store: store.__delitem__(b"a"),
    "__enter__": lambda store: store.__enter__(),
    "__exit__": lambda store: store.__exit__(None, None, None),
    "__getitem__": lambda store: store[b"a"],
    "__iter__": lambda store: iter(store),
    "__len__": lambda store: len(store),
    "__reversed__": lambda store: reversed(store),
    "__setitem__": lambda store: store.__setitem__(b"a", b"x"),
    "batch": lambda store: store.batch(),
    "backup": lambda store: store.backup(store.path + "-backup"),
    "checkpoint": lambda store: store.checkpoint(),
    "clear": lambda store: store.clear(),
    "close": lambda store: store.close(),
    "compare_and_set": lambda store: store.compare_and_set(b"a", None, b"x"),
    "delete": lambda store: store.delete(b"a"),
    "delete_many": lambda store: store.delete_many([b"a"]),
    "get": lambda store: store.get(b"a"),
    "get_many": lambda store: store.get_many([b"a"]),
    "get_view": lambda store: store.get_view(b"a"),
    "increment": lambda store: store.increment(b"n"),
    "items": lambda store: list(store.items()),
    "keys": lambda store: list(store.keys()),
    "pop": lambda store: store.pop(b"a"),
    "popitem": lambda store: store.popitem(),
    "recovery_report": lambda store: store.recovery_report(),
    "scan": lambda store: store.scan(),
    "scan_keys": lambda store: store.scan_keys(),
    "set": lambda store: store.set(b"a", b"x"),
    "set_many": lambda store: store.set_many({b"a": b"x"}),
    "setdefault": lambda store: store.setdefault(b"z", b"x"),
    "stats": lambda store: store.stats(),
    "sync": lambda store: store.sync(),
    "transaction": lambda store: store.transaction(),
    "update": lambda store: store.update({b"a": b"x"}),
    "values": lambda store: list(store.values()),
    "view": lambda store: store.view(),
}


def test_the_calls_that_a_forked_child_is_refused_are_all_there_are() -> None:
    harmless = {"path", "closed", "readonly"}
    public = {
        name
        for name in set(dir(kvstore.Store)) - set(dir(object))
        if not name.startswith("_") or name in REFUSED
    }
    assert public == REFUSED.keys() | harmless


def test_a_forked_child_is_refused_and_harmless(directory: str) -> None:
    store = kvstore.open(directory, durability="os")
    store.update({b"a": b"1", b"b": b"2"})
    iterator = iter(store)
    view = store.get_view(b"a")

    def child() -> None:
        nonlocal store
        for name, call in REFUSED.items():
            with pytest.raises(kvstore.ForkedError) as caught:
                call(store)
            assert isinstance(caught.value, RuntimeError), name
        with pytest.raises(kvstore.ForkedError):
            assert store == {b"a": b"1", b"b": b"2"}
        # What was obtained before the fork can be read.
        assert list(iterator) == [b"a", b"b"] and bytes(view or b"") == b"1"
        assert store.path == directory and not store.readonly
        assert not store.closed and "kvstore.Store" in repr(store)
        with pytest.raises(kvstore.LockedError) as locked:
            kvstore.open(directory)
        assert locked.value.pid == os.getppid()
        del store  # no warning: there is nothing of this process to close

    assert in_a_fork(child) == 0
    store[b"c"] = b"3"
    with pytest.raises(kvstore.LockedError):
        kvstore.open(directory)  # the child's end did not unlock
    assert list(iterator) == [b"a", b"b"] and bytes(view or b"") == b"1"
    store.close()
    with kvstore.open(directory) as store:
        assert store == {b"a": b"1", b"b": b"2", b"c": b"3"}


def test_closing_in_a_forked_child_neither_writes_nor_unlocks(directory: str) -> None:
    store = kvstore.open(directory, durability="os")
    store[b"a"] = b"1"

    def child() -> None:
        try:
            store.close()
        except kvstore.ForkedError:
            pass

    before = {path.name: path.stat().st_mtime_ns for path in Path(directory).iterdir()}
    assert in_a_fork(child) == 0
    after = {path.name: path.stat().st_mtime_ns for path in Path(directory).iterdir()}
    assert after == before
    with pytest.raises(kvstore.LockedError):
        kvstore.open(directory)
    store[b"b"] = b"2"
    store.close()


def test_a_forked_child_may_leave_a_with_block_by_an_exception(directory: str) -> None:
    with kvstore.open(directory) as store:

        def child() -> None:
            with pytest.raises(kvstore.ForkedError):
                store.__exit__(None, None, None)
            store.__exit__(SystemExit, SystemExit(), None)

        assert in_a_fork(child) == 0
        store[b"a"] = b"1"


def test_a_fork_beside_writing_threads(directory: str) -> None:
    stop = threading.Event()

    def write() -> None:
        i = 0
        while not stop.is_set():
            i += 1
            store.set(b"%d" % (i % 100), b"x" * 100, durability="sync" if i % 50 == 0 else "os")

    def child() -> None:
        with pytest.raises(kvstore.ForkedError):
            store.set(b"a", b"x")

    with kvstore.open(directory, durability="os") as store:
        threads = [threading.Thread(target=write) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            assert [in_a_fork(child) for _ in range(10)] == [0] * 10
        finally:
            stop.set()
            for thread in threads:
                thread.join()
